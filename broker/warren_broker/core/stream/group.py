"""Group: consumers that share the partitions of a stream, one reader for each.

When somebody joins or leaves, as few partitions as possible go to another member. One
goes when what its reader has out is settled, or given back, or after a while; the next
reader begins where the last one had settled everything, so no record is left out.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, final

from warren_broker.core.deadlines import DeadlineOwner
from warren_broker.core.stream.sharing import share

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from warren_broker.core.stream.reader import Reader
    from warren_broker.core.stream.stream import Stream
    from warren_broker.core.stream.subscription import Subscription

    Groups = dict[str, "Group"]

SINGLE_ACTIVE: str = ""
"""The group of all consumers where only a single one is to be active; it has no name,
and is over with its last member."""

_MILLISECONDS: float = 1000.0


@final
class Group(DeadlineOwner):
    """The members of a group and who reads what.

    It is one of `groups` as long as it has members, or somebody holds what one had.
    """

    __slots__ = (
        "_deadlines",
        "_doubts",
        "_groups",
        "_leaving",
        "_members",
        "_name",
        "_offsets",
        "_readers",
        "_streams",
    )

    def __init__(self, name: str, streams: Sequence[Stream], groups: Groups) -> None:
        self._deadlines = streams[0].vhost.broker.deadlines
        self._name = name
        self._streams = list(streams)
        self._groups = groups
        self._members: dict[Subscription, None] = {}
        self._readers: dict[Stream, Reader] = {}
        self._leaving: dict[Stream, float] = {}  # and until when it may take
        self._offsets: dict[Stream, int] = {}
        self._doubts: dict[Stream, int] = {}

    def join(self, member: Subscription) -> None:
        """`member` wants its share."""
        self._groups[self._name] = self
        self._members[member] = None
        self._rebalance()

    def leave(self, member: Subscription) -> None:
        """`member` reads no more; its readers are closed."""
        self._members.pop(member, None)
        for stream, reader in list(self._readers.items()):
            if reader.subscription is member:
                self._let_go(stream, reader)
        self._rebalance()

    def extend(self, stream: Stream) -> None:
        """There is one more partition."""
        self._streams.append(stream)
        for member in self._members:
            member.extend(stream)
        self._offsets[stream] = 0
        self._rebalance()

    def on_left(self, reader: Reader) -> None:
        """Nobody holds anything of a reader that was to let go.

        The others are given it in a turn of their own: once, when a channel that held
        records of many partitions ends.
        """
        if self._readers.get(reader.stream) is reader:
            self._free(reader.stream)
            self._deadlines.set(self, reader.vhost.broker.now)

    def on_deadline(self, now: float) -> None:
        """Wait no longer for those who hold what they were given."""
        for stream, until in list(self._leaving.items()):
            if until <= now:
                self._free(stream)
        self._rebalance()

    def _rebalance(self) -> None:
        """Let every partition have the reader that it should have."""
        self._forget_deleted()
        if not self._members and not self._readers:
            self._groups.pop(self._name, None)
        if not self._members or not self._streams:
            self._arm()
            return
        owners = {
            stream: reader.subscription
            for stream, reader in self._readers.items()
            if stream not in self._leaving
        }
        members = self._candidates(owners)
        for stream, member in share(self._streams, members, owners).items():
            reader = self._readers.get(stream)
            if reader is not None and reader.subscription is not member:
                self._let_go(stream, reader)
            if stream not in self._readers:
                self._give(stream, member)
        self._arm()

    def _candidates(self, owners: Mapping[Stream, Subscription]) -> list[Subscription]:
        """Return the members that may get something; of very many most just wait."""
        enough = 2 * len(self._streams)
        if len(self._members) <= enough:
            return list(self._members)
        active = [each for each in owners.values() if each in self._members]
        return list(dict.fromkeys((*active, *islice(self._members, enough))))

    def _give(self, stream: Stream, member: Subscription) -> None:
        offset, doubt_until = self._offsets.get(stream), self._doubts.get(stream, 0)
        reader = member.open(stream, offset, doubt_until)
        if reader is not None:
            self._readers[stream] = reader
            reader.dispatch()

    def _let_go(self, stream: Stream, reader: Reader) -> None:
        """Take `stream` from `reader`, now or when it holds nothing any more."""
        if reader.close():
            self._free(stream)
        elif stream not in self._leaving:
            broker = stream.vhost.broker
            wait_seconds = broker.limits.handover_ms / _MILLISECONDS
            self._leaving[stream] = broker.now + wait_seconds

    def _free(self, stream: Stream) -> None:
        """Take note how far the reader of `stream` has come; it is nobody's now."""
        self._leaving.pop(stream, None)
        reader = self._readers.pop(stream)
        if reader.is_begun:
            self._offsets[stream] = reader.settled_until
        self._doubts[stream] = max(self._doubts.get(stream, 0), reader.position)
        reader.subscription.readers.pop(stream, None)
        reader.retire()

    def _forget_deleted(self) -> None:
        """Partitions that are gone are nobody's, whatever is out of them."""
        for stream in [each for each in self._streams if each.is_deleted]:
            self._streams.remove(stream)
            reader = self._readers.get(stream)
            if reader is not None:
                reader.close()
                self._free(stream)
            self._offsets.pop(stream, None)
            self._doubts.pop(stream, None)

    def _arm(self) -> None:
        deadlines = self._deadlines
        if self._leaving:
            deadlines.set(self, min(self._leaving.values()))
        else:
            deadlines.cancel(self)
