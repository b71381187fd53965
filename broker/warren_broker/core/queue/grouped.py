"""GroupedQueue: a queue whose messages belong to keys (`x-group-by`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warren_broker.core.queue.entry import SETTLED
from warren_broker.core.queue.group_modes import GROUP_MODES
from warren_broker.core.queue.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Iterable

    from warren_broker.core.arguments import QueueArguments
    from warren_broker.core.message import Message
    from warren_broker.core.queue.consumer import Consumer
    from warren_broker.core.queue.entry import Entry
    from warren_broker.core.queue.groups import Groups


class GroupedQueue(Queue):
    """A queue that looks at the key of a message before it hands it out.

    Between two turns it may hold ready entries although a consumer has room: their
    keys are busy, or somebody else's.

    Attributes:
        groups: the backlog, as what it is.
    """

    __slots__ = ("groups",)

    groups: Groups

    def _make_backlog(self, rules: QueueArguments) -> Groups:
        assert rules.group_by is not None
        self.groups = GROUP_MODES[rules.group_mode](rules.group_by, rules.max_priority)
        return self.groups

    def _entry(self, message: Message, sequence: int) -> Entry:
        return self.groups.entry(message, self, sequence)

    def _offer(self, entry: Entry) -> None:
        self.groups.push(entry)
        served = self._hand_out_free(entry)
        owner = self.groups.owner_of(entry)
        if owner is not None:
            served[owner] = None
        self._hand_out_owned(served, entry)
        self.trim()

    def dispatch(self) -> None:
        self._hand_out_free()
        self._hand_out_owned(self.groups.waiting_owners())

    def _hand_out_free(self, fresh: Entry | None = None) -> dict[Consumer, None]:
        """Hand out what anybody may have; `fresh` even with a time to live of 0.

        Return who was served: more of that may now be his alone.
        """
        groups, roster = self.groups, self.roster
        served: dict[Consumer, None] = {}
        while groups.can_give() and (consumer := roster.next_ready()) is not None:
            self._give(consumer, fresh)
            served[consumer] = None
        return served

    def _hand_out_owned(
        self, owners: Iterable[Consumer], fresh: Entry | None = None
    ) -> None:
        """Hand out what only one of `owners` may have."""
        groups = self.groups
        for owner in owners:
            while owner.has_room() and groups.can_give_own(owner):
                self._give(owner, fresh)
            if not owner.has_room():
                owner.wait_for_window()

    def _give(self, consumer: Consumer, fresh: Entry | None) -> None:
        entry = self.groups.take(consumer)
        if entry is None:
            return
        if entry is not fresh and self._is_expired(entry):
            self._drop_taken(entry)
            return
        self._deliver(entry, consumer)
        if entry.state == SETTLED:  # nobody will ack it
            self.groups.release(entry)

    def _take(self) -> Entry | None:
        return self.groups.take(None)

    def _drop_taken(self, entry: Entry) -> None:
        self.groups.release(entry)
        super()._drop_taken(entry)

    def settle(self, entry: Entry) -> None:
        """`entry` was acked: its key may go on, and so may its consumer."""
        entry.state = SETTLED
        if entry.position:
            self.forget(entry)
        consumer = self._release_and_list(entry)
        if consumer is not None:
            consumer.window.reopen()
        served = self._hand_out_free()
        if consumer is not None:
            served[consumer] = None
        self._hand_out_owned(served)

    def _release(self, entry: Entry) -> Consumer | None:
        consumer = super()._release(entry)
        self.groups.release(entry)
        return consumer

    def detach(self, consumer: Consumer) -> None:
        self.groups.forget_owner(consumer)
        super().detach(consumer)
