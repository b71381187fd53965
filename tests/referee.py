"""Referee: what a server may never send, whatever its client did.

It sees the methods of both directions and knows, for each channel, what must be true:
deliveries are numbered without gaps and only for consumers that were announced and are
not cancelled; nothing is confirmed twice; on a closed channel there is silence, and
after connection.close there is nothing but close-ok.
"""

from __future__ import annotations

from typing import Final

from warren.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicGetOk,
    BasicNack,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpenOk,
    ConnectionClose,
    ConnectionCloseOk,
    Method,
)

CROSSINGS: Final = (ChannelClose, ChannelCloseOk)


class ChannelRules:
    """What the referee knows of one channel."""

    def __init__(self) -> None:
        self.is_open = False
        self.delivery_tag = 0
        self.confirmed = 0  # all up to here are
        self.confirmed_ahead: set[int] = set()
        self.consumers: set[str] = set()

    def heard(self, method: Method) -> None:
        if isinstance(method, ChannelOpenOk):
            assert not self.is_open, "opened twice"
            self.__init__()  # type: ignore[misc]
            self.is_open = True
            return
        if isinstance(method, CROSSINGS):
            self.is_open = False
            return
        assert self.is_open, f"{method} on a closed channel"
        if isinstance(method, BasicDeliver):
            assert method.consumer_tag in self.consumers, "no such consumer"
        if isinstance(method, BasicDeliver | BasicGetOk):
            self.delivery_tag += 1
            assert method.delivery_tag == self.delivery_tag, "tags have gaps"
        elif isinstance(method, BasicAck | BasicNack):
            self.answered(method.delivery_tag, multiple=method.multiple)
        elif isinstance(method, BasicConsumeOk):
            self.consumers.add(method.consumer_tag)
        elif isinstance(method, BasicCancelOk | BasicCancel):
            self.consumers.discard(method.consumer_tag)

    def answered(self, tag: int, *, multiple: bool) -> None:
        """What is pending may be overtaken, but nothing is answered twice."""
        ahead = self.confirmed_ahead
        assert tag > self.confirmed, "confirmed twice"
        assert tag not in ahead, "confirmed twice"
        ahead.add(tag)
        if multiple:
            self.confirmed = tag
            ahead -= {each for each in ahead if each <= tag}
        while self.confirmed + 1 in ahead:
            self.confirmed += 1
            ahead.remove(self.confirmed)


class Referee:
    """Watches one connection; a broken rule is an AssertionError."""

    def __init__(self) -> None:
        self._channels: dict[int, ChannelRules] = {}
        self._is_closing = False
        self._is_closed = False

    def sent(self, channel: int, method: Method) -> None:
        """The client is about to send `method`."""
        if isinstance(method, BasicConsume) and method.no_wait:
            self._rules(channel).consumers.add(method.consumer_tag)

    def heard(self, channel: int, method: Method) -> None:
        """The client received `method`."""
        assert not self._is_closed, f"{method} after connection.close-ok"
        assert method.by_server, f"{method} is not a server's"
        if isinstance(method, ConnectionCloseOk):
            self._is_closed = True
            return
        assert not self._is_closing, f"{method} after connection.close"
        if isinstance(method, ConnectionClose):
            self._is_closing = True
        if channel:
            assert method.class_id != ConnectionClose.class_id
            self._rules(channel).heard(method)
        else:
            assert method.class_id == ConnectionClose.class_id

    def _rules(self, channel: int) -> ChannelRules:
        return self._channels.setdefault(channel, ChannelRules())
