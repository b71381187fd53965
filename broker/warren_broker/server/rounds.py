"""Rounds: what the disk is to do, one thing after the other, and what follows from it.

There is neither thread nor clock here: a pair of hands does what it is asked for, and
that is the only thing a round ever waits for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, final

from warren_broker.storage.outcome import Outcome

if TYPE_CHECKING:
    from warren_broker.core.broker import Broker
    from warren_broker.server.group_commit import GroupCommit
    from warren_broker.server.journal_store import JournalStore
    from warren_broker.storage.disk import Disk
    from warren_broker.storage.journal import Journal

LAZY_BYTES: Final = 1 << 20
"""How much may wait of what nobody was promised."""


class JournalFailed(Exception):
    """The disk did not do what it was asked: nothing can be promised any more."""


class Task(Protocol):
    """Something for the disk to do: a group commit, or a piece of upkeep."""

    def run(self, disk: Disk) -> None:
        """Do it, once, in any thread."""


class Hands(Protocol):
    """Who does what a round asks for."""

    async def do(self, task: Task) -> None:
        """Run `task`. Raises what it raises."""

    async def wait_for_room(self) -> None:
        """Give the disk some time, it is full."""

    async def before_commit(self) -> None:
        """All that was said is about to be taken; some may still say more."""

    def after_commit(self, commit: GroupCommit, *, is_full: bool) -> None:
        """The store knows what has become of `commit`: promises can be kept."""


@final
class Rounds:
    """Decides what is written when. One coroutine at a time may be under way.

    Attributes:
        is_stopping: nobody waits for room any more.
    """

    __slots__ = ("_broker", "_hands", "_journal", "_store", "is_stopping")

    def __init__(
        self, journal: Journal, store: JournalStore, broker: Broker, hands: Hands
    ) -> None:
        self._journal = journal
        self._store = store
        self._broker = broker
        self._hands = hands
        self.is_stopping = False

    @property
    def is_behind(self) -> bool:
        """Whether turns have said what is not safe yet."""
        return self._store.committed < self._store.said

    @property
    def is_urgent(self) -> bool:
        """Whether somebody waits for what is to be written, or it is much."""
        return bool(self._broker.promises) or (
            self._store.streams.is_watched
            or self._store.waiting_bytes > LAZY_BYTES
            or self.is_stopping
        )

    async def write(self) -> None:
        """Write what there is, and go on as long as somebody waits for more.

        Raises JournalFailed.
        """
        store = self._store
        while (commit := await self._next_commit()) is not None:
            is_full = await self._write_commit(commit)
            if is_full and not self.is_stopping:
                await self._hands.wait_for_room()
                await self._let_go()  # it may be a stream that waits for that
            elif store.is_holding and not is_full:
                await self._make_room()
            elif is_full or not (self.is_behind and self.is_urgent):
                break  # what is left to be done may find no room, again and again
            await self._reserve()

    async def tidy(self) -> bool:
        """Do a piece of upkeep; return whether there may be more of it.

        Raises JournalFailed.
        """
        has_moved = await self._move()
        return await self._reserve() or has_moved

    async def write_end(self) -> None:
        """Write the last one: the next start will know that nothing is missing.

        Raises JournalFailed.
        """
        self._store.release()
        last = self._store.take_commit(is_last=True)
        if last is None:
            return
        await self._hands.do(last)
        error = last.error
        if error is not None:
            raise JournalFailed(f"journal: not ended cleanly: {error}") from error

    async def _next_commit(self) -> GroupCommit | None:
        await self._hands.before_commit()
        return self._store.take_commit()

    async def _write_commit(self, commit: GroupCommit) -> bool:
        """Write `commit`; return whether the disk is full."""
        await self._hands.do(commit)
        outcome = self._store.on_written(commit)
        if outcome is Outcome.FAILED:
            raise JournalFailed(f"journal: {commit.error}") from commit.error
        is_full = outcome is Outcome.FULL
        self._hands.after_commit(commit, is_full=is_full)
        return is_full

    async def _make_room(self) -> None:
        """Let go of what is still in the way; if nothing is, say what was held back."""
        if not await self._let_go():
            self._store.release()

    async def _let_go(self) -> bool:
        """Read old segments again, until there is something to be written of one."""
        while await self._move():
            if self._journal.is_dirty:
                return True
        return False

    async def _move(self) -> bool:
        """Read one piece of an old segment again, if that lets it go."""
        move = self._journal.take_move()
        if move is None:
            return False
        error: Exception | None = None
        try:
            await self._hands.do(move)
        except Exception as raised:  # noqa: BLE001 - the segment is left alone
            error = raised
        self._store.on_moved(move, error)
        return True

    async def _reserve(self) -> bool:
        """Make one more piece of the reserve, if it was given up and there is room."""
        piece = self._journal.take_reserve()
        if piece is None:
            return False
        error: OSError | None = None
        try:
            await self._hands.do(piece)
        except OSError as raised:
            error = raised
        self._journal.on_reserved(piece, error)
        if error is not None:
            raise JournalFailed(f"journal: {error}") from error
        return piece.is_done
