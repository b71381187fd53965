"""Class exchange (40): where messages are published to. Specification, section 1.6.

`bind` and `unbind`, from one exchange to another, are RabbitMQ's.
"""

from dataclasses import field

from warren.wire.fields import Arguments, Bit, Short, ShortStr
from warren.wire.methods.base import Method, Side


class ExchangeDeclare(Method, index=(40, 10), by=Side.CLIENT):
    """Create an exchange if there is none, or look whether there is."""

    reserved_1: Short = 0
    exchange: ShortStr = ""
    type: ShortStr = "direct"
    passive: Bit = False
    durable: Bit = False
    auto_delete: Bit = False
    internal: Bit = False
    no_wait: Bit = False
    arguments: Arguments = field(default_factory=dict)


class ExchangeDeclareOk(Method, index=(40, 11), by=Side.SERVER):
    """The exchange is there."""


class ExchangeDelete(Method, index=(40, 20), by=Side.CLIENT):
    """Delete an exchange and its bindings."""

    reserved_1: Short = 0
    exchange: ShortStr = ""
    if_unused: Bit = False
    no_wait: Bit = False


class ExchangeDeleteOk(Method, index=(40, 21), by=Side.SERVER):
    """The exchange is gone."""


class ExchangeBind(Method, index=(40, 30), by=Side.CLIENT):
    """Bind the exchange `destination` to the exchange `source`."""

    reserved_1: Short = 0
    destination: ShortStr = ""
    source: ShortStr = ""
    routing_key: ShortStr = ""
    no_wait: Bit = False
    arguments: Arguments = field(default_factory=dict)


class ExchangeBindOk(Method, index=(40, 31), by=Side.SERVER):
    """The binding is there."""


class ExchangeUnbind(Method, index=(40, 40), by=Side.CLIENT):
    """Take a binding between two exchanges away."""

    reserved_1: Short = 0
    destination: ShortStr = ""
    source: ShortStr = ""
    routing_key: ShortStr = ""
    no_wait: Bit = False
    arguments: Arguments = field(default_factory=dict)


class ExchangeUnbindOk(Method, index=(40, 51), by=Side.SERVER):
    """The binding is gone. Its number is 51, not the 41 one would expect."""
