"""Class access (30): of AMQP 0-8, still asked for by old clients."""

from warren.wire.fields import Bit, Short, ShortStr
from warren.wire.methods.base import Method, Side


class AccessRequest(Method, index=(30, 10), by=Side.CLIENT):
    """Ask for a ticket, which nothing looks at."""

    realm: ShortStr = "/data"
    exclusive: Bit = False
    passive: Bit = True
    active: Bit = True
    write: Bit = True
    read: Bit = True


class AccessRequestOk(Method, index=(30, 11), by=Side.SERVER):
    """Here is the ticket."""

    ticket: Short = 1
