"""A queue of the model, its entries, and what its rules say about one of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from tests.model_parts import AMPLE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.model_parts import Consumer, Message
    from tests.model_room import Receipt


@dataclass(eq=False)
class Entry:
    message: Message
    queue: Queue = field(repr=False)
    place: int
    expires_at: float | None
    attempts: int = 0

    @property
    def seen(self) -> tuple[int, str, int]:
        """It as far as a delivery tells."""
        return self.message.identity, self.message.key, self.attempts

    @property
    def own_delay(self) -> float:
        return self.message.headers.get("x-retry-delay", 0) / 1000.0

    @property
    def key(self) -> object:
        """What it has in common with its group; without that it is alone."""
        source, _, name = self.queue.rules["x-group-by"].partition(":")
        if source == "routing-key":
            return self.message.key
        found = self.message.headers.get(name)
        if found is None:
            return "" if self.queue.mode == "fair" else self.place
        return str(found)


class Delayed(NamedTuple):
    """An entry that is in its queue, and yet neither ready nor unacked."""

    entry: Entry
    until: float
    reason: str | None = None  # why it is given up then; None: it is ready
    is_returned: bool = False


@dataclass(eq=False)
class Waiting:
    """A message that waits for room."""

    message: Message
    since: float
    receipt: Receipt | None = None


@dataclass(eq=False)
class Room:
    """Where messages wait for a queue."""

    queue: Queue = field(repr=False)
    line: list[Waiting] = field(default_factory=list)


@dataclass(eq=False)
class Queue:
    name: str
    owner: str | None  # the connection that has it exclusive
    auto_delete: bool
    arguments: dict[str, object]
    used_at: float
    rules: dict[str, object] = field(init=False)  # what holds at present
    ready: list[Entry] = field(default_factory=list)
    delayed: list[Delayed] = field(default_factory=list)
    consumers: list[Consumer] = field(default_factory=list, repr=False)
    received: int = 0
    fates: Counter[str] = field(default_factory=Counter)  # of entries that left
    timed_out: int = 0
    late_acks: int = 0
    is_deleted: bool = False
    key_owners: dict[object, Consumer] = field(default_factory=dict)  # sticky
    seen: dict[object, float] = field(default_factory=dict)  # ids, and until when
    newest: dict[object, Entry] = field(default_factory=dict)  # by id
    survivors: dict[object, Entry] = field(default_factory=dict)  # of purges
    duplicates: int = 0
    room: Room = field(init=False, repr=False)
    clock: int = 0  # moments of turns of keys, fair
    key_served_at: Counter[object] = field(default_factory=Counter)
    key_ready_since: dict[object, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rules = self.arguments
        self.room = Room(self)

    @property
    def mode(self) -> str | None:
        """How it goes by the keys of messages; None if it does not."""
        if "x-group-by" not in self.rules:
            return None
        return self.rules.get("x-group-mode", "ordered")

    @property
    def unique_mode(self) -> str | None:
        """What becomes of duplicates; None if nobody asks."""
        if self.rules.get("x-message-deduplication") or "x-unique-mode" in self.rules:
            has_window = not {"x-cache-size", "x-cache-ttl"}.isdisjoint(self.rules)
            default = "drop" if has_window else "until-ack"
            return self.rules.get("x-unique-mode", default)
        return None

    @property
    def limits(self) -> tuple[int, int]:
        """Of messages, and of bytes."""
        return (
            self.rules.get("x-max-length", AMPLE),
            self.rules.get("x-max-length-bytes", AMPLE),
        )

    @property
    def overflow(self) -> str:
        if self.limits == (AMPLE, AMPLE):
            return "none"
        return self.rules.get("x-overflow", "drop-head")

    def level(self, entry: Entry) -> int:
        return min(entry.message.priority, self.rules.get("x-max-priority", 0))

    def put(self, entry: Entry) -> None:
        self.ready.append(entry)
        self.ready.sort(key=lambda entry: (-self.level(entry), entry.place))
        self.note_keys()

    def take(self, entry: Entry) -> None:
        self.ready.remove(entry)
        self.note_keys()

    def empty(self) -> int:
        """Let all go but what somebody holds."""
        count = len(self.ready) + len(self.delayed)
        self.ready.clear()
        self.delayed.clear()
        self.key_owners.clear()
        self.note_keys()
        self.survivors |= self.newest
        self.newest = {}
        return count

    def oldest(self) -> Entry:
        """What makes room first."""
        return min(self.ready, key=lambda one: (self.level(one), one.place))

    def is_over(self, extra: Iterable[Message] = ()) -> bool:
        waiting = [*self.ready, *(delayed.entry for delayed in self.delayed)]
        messages = [*(entry.message for entry in waiting), *extra]
        total = sum(message.size for message in messages)
        limit, limit_bytes = self.limits
        return len(messages) > limit or total > limit_bytes

    # Times

    def lifetime_ends(self, message: Message, since: float) -> float | None:
        times = [message.expiration_ms, self.rules.get("x-message-ttl")]
        known = [since + time / 1000.0 for time in times if time is not None]
        return min(known, default=None)

    def deliver_at(self, message: Message) -> float:
        """When it is to be ready, if a header says so that the rules name."""
        name = self.rules.get("x-deliver-at-header")
        return message.headers.get(name, 0) / 1000.0

    def retry_delay(self, entry: Entry, *, failed: bool) -> float:
        """How long what has come back waits: the longer the more often."""
        if entry.own_delay:
            return entry.own_delay
        kind = self.rules.get("x-delayed-retry-type", "disabled")
        if kind not in {"all", "failed" if failed else "returned"}:
            return 0.0
        delay = self.rules["x-delayed-retry-min"] * entry.attempts
        return min(delay, self.rules.get("x-delayed-retry-max", AMPLE)) / 1000.0

    def unused_until(self) -> float | None:
        """When `x-expires` deletes a queue that nobody uses."""
        expires = self.rules.get("x-expires")
        if expires is None or self.consumers:
            return None
        return self.used_at + expires / 1000.0

    # Turns of keys

    def note_keys(self) -> None:
        """Write down since when each key has had something ready."""
        if self.mode != "fair":
            return
        keys = {entry.key for entry in self.ready}
        self.clock += 1
        self.key_ready_since = {
            key: self.key_ready_since.get(key, self.clock) for key in keys
        }

    def take_key_turn(self, entry: Entry) -> None:
        """No key is served twice while another has something ready all the time."""
        if self.mode != "fair":
            return
        for key, since in self.key_ready_since.items():
            assert since >= self.key_served_at[entry.key], (
                f"{entry.key} was served twice while {key} waited"
            )
        self.clock += 1
        self.key_served_at[entry.key] = self.clock
        self.key_ready_since[entry.key] = self.clock
