"""Faults: an error of the core or of the peer, as the method that tells of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from warren.wire.methods import ChannelClose, ConnectionClose

if TYPE_CHECKING:
    from warren.errors import AMQPError

_METHOD_ID: Final = 0xFFFF


def channel_close(error: AMQPError, method_index: int) -> ChannelClose:
    """Return the channel.close for `error`; `method_index` 0: no method failed."""
    return ChannelClose(
        error.code, error.reply_text, method_index >> 16, method_index & _METHOD_ID
    )


def connection_close(error: AMQPError, method_index: int) -> ConnectionClose:
    """Return the connection.close for `error`; `method_index` 0: no method failed."""
    return ConnectionClose(
        error.code, error.reply_text, method_index >> 16, method_index & _METHOD_ID
    )
