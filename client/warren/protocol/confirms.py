"""The confirm ledger: what was published on one channel and not yet answered.

Publishes are numbered from 1 in the order they are sent after ``confirm.select``. The
server acks and nacks numbers, one by one or "all up to this one", in any order, and it
sends ``basic.return`` for an unroutable message before that message's ack (RabbitMQ,
"Consumer Acknowledgements and Publisher Confirms").

A return names no number. It is matched by what the message says of itself, its *mark*;
a mark is unique as long as its message id is, and the channel sees to that. Where a
caller repeats a message id, the oldest of the same mark is taken.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple, final

from warren.errors import CommandInvalid
from warren.protocol.events import Settlement
from warren.protocol.failures import Nacked

if TYPE_CHECKING:
    from collections.abc import Iterable

    from warren.errors import WarrenError


class Mark(NamedTuple):
    """By what a returned message is known again."""

    exchange: str
    routing_key: str
    message_id: str | None


@final
class _Publish:
    """One unsettled publish."""

    __slots__ = ("error", "mark")

    def __init__(self, mark: Mark | None) -> None:
        self.mark: Mark | None = mark
        self.error: WarrenError | None = None  # set when it was returned


@final
class ConfirmLedger:
    """The unsettled publishes of one channel, by sequence."""

    __slots__ = ("_lowest", "_marked", "_unsettled", "last_sequence")

    def __init__(self) -> None:
        self.last_sequence: int = 0
        self._lowest: int = 1  # nothing below it is unsettled
        self._unsettled: dict[int, _Publish] = {}
        self._marked: dict[Mark, deque[int]] = {}  # neither returned nor settled

    def __len__(self) -> int:
        return len(self._unsettled)

    def publish(self, mark: Mark | None) -> int:
        """Enter a publish and return its sequence. `mark` if it may be returned."""
        self.last_sequence += 1
        self._unsettled[self.last_sequence] = _Publish(mark)
        if mark is not None:
            self._marked.setdefault(mark, deque()).append(self.last_sequence)
        return self.last_sequence

    def return_(self, mark: Mark, error: WarrenError) -> int | None:
        """Note that a message came back. Return its sequence, None if unknown."""
        sequences = self._marked.get(mark)
        if not sequences:
            return None
        sequence = sequences[0]
        self._unmark(mark, sequence)
        self._unsettled[sequence].error = error
        return sequence

    def ack(self, tag: int, *, multiple: bool) -> list[Settlement]:
        """Settle `tag`, or all up to it; those that had come back with their error."""
        return [
            Settlement(sequence, publish.error)
            for sequence, publish in self._take(tag, multiple=multiple)
        ]

    def nack(self, tag: int, *, multiple: bool) -> list[Settlement]:
        """Settle `tag`, or all up to it, as refused."""
        return [
            Settlement(sequence, Nacked(f"publish {sequence} was refused"))
            for sequence, _ in self._take(tag, multiple=multiple)
        ]

    def abandon(self) -> list[int]:
        """Forget all. Return the sequences whose fate nobody will tell."""
        sequences = list(self._unsettled)
        self._unsettled.clear()
        self._marked.clear()
        return sequences

    def _take(self, tag: int, *, multiple: bool) -> Iterable[tuple[int, _Publish]]:
        """Remove what an ack or a nack names; what was settled before is passed over.

        Tag 0 with `multiple` means all (specification, basic.ack, delivery-tag).
        Raises `CommandInvalid` for a number that was never published.
        """
        if tag > self.last_sequence or (tag == 0 and not multiple):
            raise CommandInvalid(f"confirm of publish {tag}, which was never made")
        if not multiple:
            sequences = range(tag, tag + 1)
        else:
            sequences = range(self._lowest, (tag or self.last_sequence) + 1)
            self._lowest = max(self._lowest, sequences.stop)
        return [
            (sequence, self._settle(sequence))
            for sequence in sequences
            if sequence in self._unsettled
        ]

    def _settle(self, sequence: int) -> _Publish:
        publish = self._unsettled.pop(sequence)
        if publish.mark is not None and publish.error is None:
            self._unmark(publish.mark, sequence)
        return publish

    def _unmark(self, mark: Mark, sequence: int) -> None:
        sequences = self._marked[mark]
        sequences.remove(sequence)  # one long, but for repeated message ids
        if not sequences:
            del self._marked[mark]
