"""ClientChannel: one channel of a client connection.

* `send` takes any method that a client may send. If the server answers it, the answer
  is the event `Replied`: to the oldest request that it can be the answer to.
* `publish` takes a message. After ``confirm.select`` it returns the number under which
  the message's fate is told, see `warren.protocol.confirms`.
* What the server says of its own accord becomes an event through `_HANDLERS`.

A channel that has been opened may be used at once: the server reads in order, so there
is no need to wait for each answer. But what follows a ``tx.commit`` is held back until
that is answered: RabbitMQ closes a channel on which it is told anything before.
"""

from __future__ import annotations

from collections import deque
from copy import copy
from typing import TYPE_CHECKING, Any, Final, final

from warren.errors import CommandInvalid, ReplyCode, WarrenError, error_for
from warren.protocol.confirms import ConfirmLedger, Mark
from warren.protocol.deliveries import AckRun
from warren.protocol.events import (
    ChannelEnded,
    ConsumerCancelled,
    Delivered,
    Replied,
    Returned,
    Settled,
)
from warren.protocol.failures import ChannelClosed, Unroutable, again
from warren.protocol.requests import replies_to
from warren.protocol.states import CHANNEL_RECEIVED, ChannelState, following
from warren.protocol.writer import FrameWriter, Held
from warren.wire.content import ContentAssembler
from warren.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicDeliver,
    BasicGetOk,
    BasicNack,
    BasicReject,
    BasicReturn,
    ChannelClose,
    ChannelCloseOk,
    ChannelFlow,
    ChannelFlowOk,
    ChannelOpen,
    ConfirmSelect,
    TxCommit,
    TxCommitOk,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from warren.protocol.events import Event
    from warren.wire.content import Content
    from warren.wire.methods import BasicPublish, Method
    from warren.wire.properties import Properties

_IS_USABLE: Final = {ChannelState.OPENING, ChannelState.OPEN}


@final
class ClientChannel:
    """One channel. Made by `ClientConnection.open_channel`."""

    __slots__ = (
        "_acking",
        "_acks",
        "_assembler",
        "_awaited",
        "_events",
        "_held",
        "_ledger",
        "_message_ids",
        "_open_writer",
        "_writer",
        "error",
        "number",
        "state",
    )

    def __init__(
        self,
        number: int,
        writer: FrameWriter,
        events: list[Event],
        message_ids: Iterator[str],
        acking: list[ClientChannel],
    ) -> None:
        """`acking` is where it puts itself when acks wait to be sent."""
        self.number: int = number
        self.state: ChannelState = ChannelState.OPENING
        self.error: WarrenError | None = None
        self._acking: list[ClientChannel] = acking
        self._acks: AckRun = AckRun(number)
        self._open_writer: FrameWriter = writer
        self._writer: FrameWriter = writer
        self._held: deque[Held] = deque()  # behind each commit that is not answered
        self._events: list[Event] = events
        self._message_ids: Iterator[str] = message_ids
        self._awaited: deque[tuple[type[Method], ...]] = deque()
        self._assembler: ContentAssembler = ContentAssembler()
        self._ledger: ConfirmLedger | None = None
        self.send(ChannelOpen())

    @property
    def unsettled_count(self) -> int:
        """How many publishes wait for their ack or nack."""
        return 0 if self._ledger is None else len(self._ledger)

    @property
    def confirms(self) -> bool:
        """Whether publishes are confirmed."""
        return self._ledger is not None

    # --- what this side says

    def send(self, method: Method) -> None:
        """Send a method without content.

        Raises the error that closed the channel, or `ChannelClosed`; `ValueError` for
        arguments that cannot be encoded. In both cases nothing was sent.
        """
        self._check_usable()
        self.write_acks()
        self._writer.write_method(self.number, method)
        if isinstance(method, BasicReject | BasicNack):
            self._acks.note(method.delivery_tag)
        if replies := replies_to(method):
            self._awaited.append(replies)
        if isinstance(method, ConfirmSelect) and self._ledger is None:
            self._ledger = ConfirmLedger()
        if isinstance(method, TxCommit):
            self._hold_back()

    def publish(
        self, method: BasicPublish, properties: Properties, body: bytes
    ) -> int | None:
        """Publish a message. Return its sequence with confirms, None without.

        A mandatory message without a message id is given one when confirms are on:
        without it a return could not be told from another's. Raises as `send` does.
        """
        self._check_usable()
        ledger = self._ledger
        mark = None
        if ledger is not None and method.mandatory:
            if properties.message_id is None:
                properties = copy(properties)
                properties.message_id = next(self._message_ids)
            mark = Mark(method.exchange, method.routing_key, properties.message_id)
        self.write_acks()
        self._writer.write_content(self.number, method, properties, body)
        return None if ledger is None else ledger.publish(mark)

    def ack(self, delivery_tag: int) -> None:
        """Accept a delivery, soon, together with others. Raises as `send` does."""
        self._check_usable()
        if self._acks.is_empty:
            self._acking.append(self)
        if frame := self._acks.add(delivery_tag):
            self._writer.write(frame)

    def close(self) -> None:
        """Ask the server to close the channel; the rest of what it sends is dropped.

        `ChannelEnded` follows when it has answered. Does nothing a second time.
        """
        if self.state in _IS_USABLE:
            self.write_acks()
            method = ChannelClose(reply_code=ReplyCode.REPLY_SUCCESS)
            self._writer.write_method(self.number, method)
            self.state = ChannelState.CLOSING

    def write_acks(self) -> None:
        """Have the acks sent that wait for it."""
        if frame := self._acks.take():
            self._writer.write(frame)

    def _hold_back(self) -> None:
        """A commit is said: what follows waits."""
        held = Held()
        self._held.append(held)
        self._writer = FrameWriter(held, self._open_writer.frame_size_max)

    def _let_go(self) -> None:
        """The first commit is answered: say what was behind it, up to the next one."""
        for chunk in self._held.popleft().chunks:
            self._open_writer.write(chunk)
        if not self._held:
            self._writer = self._open_writer

    def _check_usable(self) -> None:
        if self.state not in _IS_USABLE:
            raise again(self.error or ChannelClosed(f"channel {self.number} is closed"))

    # --- what the server says: called by the connection

    def on_method(self, method: Method) -> None:
        """Act on a method. Raises `ConnectionError_` for one that is out of place."""
        self.state = following(CHANNEL_RECEIVED, self.state, method)
        if isinstance(method, ChannelClose | ChannelCloseOk):
            self._on_close(method)
        elif self.state is ChannelState.CLOSING:
            if isinstance(method, TxCommitOk) and self._held:
                self._let_go()  # our close may be behind it
            return  # sent before the server had read our close
        elif method.has_content:
            self._assembler.begin(method)
        else:
            self._assembler.check_idle()
            handler = _HANDLERS.get(type(method), ClientChannel._on_reply)
            handler(self, method)

    def on_deliver(self, method: BasicDeliver) -> None:
        """Act on a `basic.deliver` as `on_method` does: it changes no state."""
        if self.state is not ChannelState.CLOSING:
            self._assembler.begin(method)

    def on_header(self, payload: bytes) -> None:
        """Act on a content header. Raises `ConnectionError_` as `on_method` does."""
        if self.state is not ChannelState.CLOSING:
            self._on_content(self._assembler.header(payload))

    def on_body(self, payload: bytes) -> None:
        """Act on a piece of a body. Raises `ConnectionError_` as `on_method` does."""
        if self.state is not ChannelState.CLOSING:
            self._on_content(self._assembler.body(payload))

    def end(self, error: WarrenError | None) -> None:
        """The channel is over, or its connection is."""
        unsettled = [] if self._ledger is None else self._ledger.abandon()
        self.state = ChannelState.CLOSED
        self.error = self.error or error
        self._awaited.clear()
        self._events.append(ChannelEnded(self.number, self.error, unsettled))

    def _on_close(self, method: ChannelClose | ChannelCloseOk) -> None:
        if isinstance(method, ChannelClose):
            self.error = error_for(method.reply_code, method.reply_text)
            self._open_writer.write_method(self.number, ChannelCloseOk())
        if self.state is ChannelState.CLOSED:
            self.end(self.error)

    def _on_reply(self, method: Method, content: Content | None = None) -> None:
        kind = type(method)
        for place, answers in enumerate(self._awaited):
            if kind in answers:
                del self._awaited[place]
                self._events.append(Replied(self.number, method, content, place))
                return
        raise CommandInvalid(f"{method.name} answers no request")

    def _on_content(self, content: Content | None) -> None:
        """A whole message, or None while there is more to come."""
        if content is not None:
            handler = _CONTENT_HANDLERS.get(type(content.method))
            if handler is None:
                raise CommandInvalid(f"{content.method.name} is not for clients")
            handler(self, content.method, content)

    def _on_deliver(self, method: BasicDeliver, content: Content) -> None:
        self._events.append(Delivered(self.number, content))

    def _on_return(self, method: BasicReturn, content: Content) -> None:
        exchange, key = method.exchange, method.routing_key
        sequence = None
        if self._ledger is not None:
            mark = Mark(exchange, key, content.properties.message_id)
            sequence = self._ledger.return_(mark, Unroutable(exchange, key))
        self._events.append(
            Returned(self.number, method, content.properties, content.body, sequence)
        )

    def _on_ack(self, method: BasicAck) -> None:
        ledger = self._confirming(method)
        settlements = ledger.ack(method.delivery_tag, multiple=method.multiple)
        self._events.append(Settled(self.number, settlements))

    def _on_nack(self, method: BasicNack) -> None:
        ledger = self._confirming(method)
        settlements = ledger.nack(method.delivery_tag, multiple=method.multiple)
        self._events.append(Settled(self.number, settlements))

    def _on_commit_ok(self, method: TxCommitOk) -> None:
        self._on_reply(method)
        self._let_go()

    def _on_cancel(self, method: BasicCancel) -> None:
        tag = method.consumer_tag
        self._events.append(ConsumerCancelled(self.number, tag))
        if not method.no_wait:
            self._writer.write_method(self.number, BasicCancelOk(consumer_tag=tag))

    def _on_flow(self, method: ChannelFlow) -> None:
        """Publishing goes on: the server has TCP to slow us down, as RabbitMQ's do."""
        self._writer.write_method(self.number, ChannelFlowOk(active=method.active))

    def _confirming(self, method: Method) -> ConfirmLedger:
        if self._ledger is None:
            raise CommandInvalid(f"{method.name} without confirms")
        return self._ledger


_HANDLERS: Final[dict[type[Method], Callable[[ClientChannel, Any], None]]] = {
    BasicAck: ClientChannel._on_ack,
    BasicNack: ClientChannel._on_nack,
    BasicCancel: ClientChannel._on_cancel,
    ChannelFlow: ClientChannel._on_flow,
    TxCommitOk: ClientChannel._on_commit_ok,
}
"""What the server says without being asked. All else must be an answer."""

_CONTENT_HANDLERS: Final[
    dict[type[Method], Callable[[ClientChannel, Any, Content], None]]
] = {
    BasicDeliver: ClientChannel._on_deliver,
    BasicReturn: ClientChannel._on_return,
    BasicGetOk: ClientChannel._on_reply,
}
"""The same with content, called when it is whole."""
