"""What the model of a broker is made of: plain values, and rules about one of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tests.model_queue import Entry, Queue

AMPLE = 10**9
UNROUTED, ACCEPTED, REFUSED, PENDING = range(4)  # what becomes of a publish


class Refused(Exception):
    """The broker must refuse this, with this reply code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Death(NamedTuple):
    queue: str
    reason: str
    count: int


@dataclass(frozen=True)
class Message:
    identity: int
    exchange: str
    key: str
    size: int = 3
    priority: int = 0
    expiration_ms: int | None = None
    headers: dict[str, object] = field(default_factory=dict)
    deaths: tuple[Death, ...] = ()  # the most recent first

    @property
    def unique(self) -> object:
        """Its id for queues that want no duplicates."""
        return self.headers.get("x-deduplication-header")

    @property
    def keys(self) -> list[str]:
        return [self.key, *self.headers.get("CC", []), *self.headers.get("BCC", [])]


@dataclass(eq=False)
class Binding:
    kind: str
    name: str
    key: str
    arguments: dict[str, object]

    def is_same(self, other: Binding) -> bool:
        return vars(self) == vars(other)


@dataclass(eq=False)
class Exchange:
    name: str
    type: str
    auto_delete: bool = False
    internal: bool = False
    alternate: str | None = None
    bindings: list[Binding] = field(default_factory=list)


@dataclass(eq=False)
class Channel:
    name: str
    connection: str
    tag: int = 0
    unacked: dict[int, Held] = field(default_factory=dict)
    overdue: dict[int, Entry] = field(default_factory=dict)  # taken back, by old tag
    window: int = AMPLE
    prefetch: int = AMPLE
    is_flowing: bool = True
    heard_at: float = 0.0  # when its peer was heard
    knows_cancel: bool = True  # its peer can be told that a consumer ends
    is_late: bool = False  # it is to be closed
    consumers: dict[str, Consumer] = field(default_factory=dict, repr=False)


@dataclass(eq=False)
class Consumer:
    tag: str
    channel: Channel = field(repr=False)
    queue: Queue = field(repr=False)
    no_ack: bool = False
    exclusive: bool = False
    priority: int = 0
    lease: Lease = field(kw_only=True)
    is_stopped: bool = False  # it will be cancelled
    served_at: int = 0  # moments of `Model.clock`, for the fairness of turns
    has_room_since: int | None = None

    def has_room(self) -> bool:
        if self.is_stopped or not self.channel.is_flowing:
            return False
        held = [one.consumer for one in self.channel.unacked.values() if one.consumer]
        mine = held.count(self)
        return self.no_ack or (
            mine < self.channel.prefetch and len(held) < self.channel.window
        )


class Lease(NamedTuple):
    """On which terms somebody is given entries; seconds."""

    timeout: float
    action: str
    renews: bool
    longest: float


@dataclass(eq=False)
class Held:
    entry: Entry
    consumer: Consumer | None  # None: basic.get
    since: float
    extended_until: float = -math.inf


class Delivered(NamedTuple):
    """What the broker says it has handed out."""

    queue: str
    identity: int
    routing_key: str
    attempts: int
    channel: str
    consumer: str
    tag: int


def dead(message: Message, queue: Queue, reason: str) -> Message:
    """The message as it goes on when `queue` has given it up."""
    key = queue.rules.get("x-dead-letter-routing-key")
    dropped = {"BCC"} if key is None else {"CC", "BCC"}
    same = [d for d in message.deaths if (d.queue, d.reason) == (queue.name, reason)]
    others = [death for death in message.deaths if death not in same]
    count = sum(death.count for death in same) + 1
    return replace(
        message,
        exchange=queue.rules["x-dead-letter-exchange"],
        key=message.key if key is None else key,
        expiration_ms=None,
        headers={k: v for k, v in message.headers.items() if k not in dropped},
        deaths=(Death(queue.name, reason, count), *others),
    )


def is_cycle(queue: str, deaths: tuple[Death, ...]) -> bool:
    """It was in `queue` before, and nobody has rejected it since."""
    for position, death in enumerate(deaths):
        if death.queue == queue:
            by_consumers = {"rejected", "consumer_timeout"}
            return all(one.reason not in by_consumers for one in deaths[: position + 1])
    return False


def matches(kind: str, binding: Binding, key: str, headers: dict[str, object]) -> bool:
    """Whether a binding of an exchange of this type takes the message."""
    if kind == "fanout":
        return True
    if kind == "direct":
        return binding.key == key
    if kind == "topic":
        return topic_matches(words_of(binding.key), words_of(key))
    mode = binding.arguments.get("x-match", "all")
    wanted = {k: v for k, v in binding.arguments.items() if not k.startswith("x-")}
    met = [k in headers and v in {None, headers[k]} for k, v in wanted.items()]
    return any(met) if mode == "any" else all(met)


def words_of(key: str) -> list[str]:
    return key.split(".") if key else []


def topic_matches(pattern: list[str], words: list[str]) -> bool:
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(topic_matches(pattern[1:], words[i:]) for i in range(len(words) + 1))
    return bool(words) and (
        pattern[0] in {"*", words[0]} and topic_matches(pattern[1:], words[1:])
    )
