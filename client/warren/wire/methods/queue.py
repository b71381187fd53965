"""Class queue (50): where messages wait. Specification, section 1.7."""

from dataclasses import field

from warren.wire.fields import Arguments, Bit, Long, Short, ShortStr
from warren.wire.methods.base import Method, Side


class QueueDeclare(Method, index=(50, 10), by=Side.CLIENT):
    """Create a queue if there is none, or look whether there is."""

    reserved_1: Short = 0
    queue: ShortStr = ""
    passive: Bit = False
    durable: Bit = False
    exclusive: Bit = False
    auto_delete: Bit = False
    no_wait: Bit = False
    arguments: Arguments = field(default_factory=dict)


class QueueDeclareOk(Method, index=(50, 11), by=Side.SERVER):
    """The queue is there, with so many messages ready and so many consumers."""

    queue: ShortStr = ""
    message_count: Long = 0
    consumer_count: Long = 0


class QueueBind(Method, index=(50, 20), by=Side.CLIENT):
    """Bind a queue to an exchange."""

    reserved_1: Short = 0
    queue: ShortStr = ""
    exchange: ShortStr = ""
    routing_key: ShortStr = ""
    no_wait: Bit = False
    arguments: Arguments = field(default_factory=dict)


class QueueBindOk(Method, index=(50, 21), by=Side.SERVER):
    """The binding is there."""


class QueuePurge(Method, index=(50, 30), by=Side.CLIENT):
    """Drop all messages that are ready."""

    reserved_1: Short = 0
    queue: ShortStr = ""
    no_wait: Bit = False


class QueuePurgeOk(Method, index=(50, 31), by=Side.SERVER):
    """So many messages were dropped."""

    message_count: Long = 0


class QueueDelete(Method, index=(50, 40), by=Side.CLIENT):
    """Delete a queue, its bindings and its messages."""

    reserved_1: Short = 0
    queue: ShortStr = ""
    if_unused: Bit = False
    if_empty: Bit = False
    no_wait: Bit = False


class QueueDeleteOk(Method, index=(50, 41), by=Side.SERVER):
    """The queue is gone, and so many messages with it."""

    message_count: Long = 0


class QueueUnbind(Method, index=(50, 50), by=Side.CLIENT):
    """Take a binding of a queue away."""

    reserved_1: Short = 0
    queue: ShortStr = ""
    exchange: ShortStr = ""
    routing_key: ShortStr = ""
    arguments: Arguments = field(default_factory=dict)


class QueueUnbindOk(Method, index=(50, 51), by=Side.SERVER):
    """The binding is gone."""
