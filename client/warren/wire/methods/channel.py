"""Class channel (20): one channel's life. Specification, section 1.5."""

from warren.wire.fields import Bit, LongStr, Short, ShortStr
from warren.wire.methods.base import Method, Side


class ChannelOpen(Method, index=(20, 10), by=Side.CLIENT):
    """Open the channel of this frame's number."""

    reserved_1: ShortStr = ""


class ChannelOpenOk(Method, index=(20, 11), by=Side.SERVER):
    """The channel is ready for use."""

    reserved_1: LongStr = b""


class ChannelFlow(Method, index=(20, 20), by=Side.EITHER):
    """Ask the peer to halt its content, or to go on."""

    active: Bit = True


class ChannelFlowOk(Method, index=(20, 21), by=Side.EITHER):
    """Confirm the state of the flow."""

    active: Bit = True


class ChannelClose(Method, index=(20, 40), by=Side.EITHER):
    """End the channel; with 0 and 0 if no method was at fault."""

    reply_code: Short = 0
    reply_text: ShortStr = ""
    failing_class_id: Short = 0
    failing_method_id: Short = 0


class ChannelCloseOk(Method, index=(20, 41), by=Side.EITHER):
    """The channel has ended, its number is free."""
