"""Class confirm (85): publisher confirms, RabbitMQ's."""

from warren.wire.fields import Bit
from warren.wire.methods.base import Method, Side


class ConfirmSelect(Method, index=(85, 10), by=Side.CLIENT):
    """Have everything published on this channel confirmed."""

    no_wait: Bit = False


class ConfirmSelectOk(Method, index=(85, 11), by=Side.SERVER):
    """The next message published is number 1."""
