"""Class basic (60): publishing, consuming, settling. Specification, section 1.8.

`nack`, and the server's `ack` and `cancel`, are RabbitMQ's.
"""

from dataclasses import field

from warren.wire.fields import Arguments, Bit, Long, LongLong, Short, ShortStr
from warren.wire.methods.base import Method, Side


class BasicQos(Method, index=(60, 10), by=Side.CLIENT):
    """Limit what may be unacked. `global_` is the specification's `global`."""

    prefetch_size: Long = 0
    prefetch_count: Short = 0
    global_: Bit = False


class BasicQosOk(Method, index=(60, 11), by=Side.SERVER):
    """The limit holds."""


class BasicConsume(Method, index=(60, 20), by=Side.CLIENT):
    """Start a consumer; the server makes a tag if it is empty."""

    reserved_1: Short = 0
    queue: ShortStr = ""
    consumer_tag: ShortStr = ""
    no_local: Bit = False
    no_ack: Bit = False
    exclusive: Bit = False
    no_wait: Bit = False
    arguments: Arguments = field(default_factory=dict)


class BasicConsumeOk(Method, index=(60, 21), by=Side.SERVER):
    """The consumer is there, under this tag."""

    consumer_tag: ShortStr = ""


class BasicCancel(Method, index=(60, 30), by=Side.EITHER):
    """End a consumer; from the server: its queue is gone."""

    consumer_tag: ShortStr = ""
    no_wait: Bit = False


class BasicCancelOk(Method, index=(60, 31), by=Side.EITHER):
    """The consumer has ended."""

    consumer_tag: ShortStr = ""


class BasicPublish(Method, index=(60, 40), by=Side.CLIENT, has_content=True):
    """A message for an exchange."""

    reserved_1: Short = 0
    exchange: ShortStr = ""
    routing_key: ShortStr = ""
    mandatory: Bit = False
    immediate: Bit = False


class BasicReturn(Method, index=(60, 50), by=Side.SERVER, has_content=True):
    """A message that was published but could not be routed."""

    reply_code: Short = 0
    reply_text: ShortStr = ""
    exchange: ShortStr = ""
    routing_key: ShortStr = ""


class BasicDeliver(Method, index=(60, 60), by=Side.SERVER, has_content=True):
    """A message for a consumer."""

    consumer_tag: ShortStr = ""
    delivery_tag: LongLong = 0
    redelivered: Bit = False
    exchange: ShortStr = ""
    routing_key: ShortStr = ""


class BasicGet(Method, index=(60, 70), by=Side.CLIENT):
    """Ask for one message."""

    reserved_1: Short = 0
    queue: ShortStr = ""
    no_ack: Bit = False


class BasicGetOk(Method, index=(60, 71), by=Side.SERVER, has_content=True):
    """The message, and how many are still ready."""

    delivery_tag: LongLong = 0
    redelivered: Bit = False
    exchange: ShortStr = ""
    routing_key: ShortStr = ""
    message_count: Long = 0


class BasicGetEmpty(Method, index=(60, 72), by=Side.SERVER):
    """No message is ready."""

    reserved_1: ShortStr = ""


class BasicAck(Method, index=(60, 80), by=Side.EITHER):
    """Accept deliveries; from the server: confirm what was published."""

    delivery_tag: LongLong = 0
    multiple: Bit = False


class BasicReject(Method, index=(60, 90), by=Side.CLIENT):
    """Refuse one delivery."""

    delivery_tag: LongLong = 0
    requeue: Bit = True


class BasicRecoverAsync(Method, index=(60, 100), by=Side.CLIENT):
    """As `recover`, without an answer."""

    requeue: Bit = False


class BasicRecover(Method, index=(60, 110), by=Side.CLIENT):
    """Have everything unacked delivered again."""

    requeue: Bit = False


class BasicRecoverOk(Method, index=(60, 111), by=Side.SERVER):
    """What was unacked is on its way again."""


class BasicNack(Method, index=(60, 120), by=Side.EITHER):
    """Refuse deliveries; from the server: what was published is not safe."""

    delivery_tag: LongLong = 0
    multiple: Bit = False
    requeue: Bit = True
