"""Deduplication: which ids of messages were seen lately.

An id is the header `x-deduplication-header`, as in RabbitMQ's plugin
`rabbitmq_message_deduplication` and in LavinMQ. It is remembered in few bytes whatever
the publisher wrote there, until its time is over or enough others came after it.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple, final

from warren_broker.core.arguments.canonical import canonical
from warren_broker.core.arguments.deduplication import (
    DeduplicationRules,
    parse_deduplication,
)
from warren_broker.core.arguments.reading import DURATION_MAX_MS

if TYPE_CHECKING:
    from warren_broker.core.exchange import Exchange
    from warren_broker.core.message import Message
    from warren_broker.core.vhost import VHost

ID_HEADER: Final = "x-deduplication-header"
TTL_HEADER: Final = "x-cache-ttl"

IDS_MAX: Final = 1_000_000
ID_MAX_BYTES: Final = 48
"""Longer ids are remembered by a digest; a UUID or a hash in hexadecimal is shorter."""
_DIGEST_BYTES: Final = 16
_MILLISECONDS: Final = 1000.0

_FORGOTTEN_AT_ONCE_MAX: Final = 4
"""Expired ids that a new one lets go of: more than come, so that they get fewer."""


class UniqueId(NamedTuple):
    """What tells a message apart, and for how long if it says so itself."""

    key: bytes
    ttl_seconds: float | None


def unique_id(message: Message) -> UniqueId | None:
    """Return the id of `message`; None if it has none, and may come again and again.

    A header without a value is none. A time to live that cannot be is ignored, as
    LavinMQ does; the plugin does not survive it.
    """
    headers = message.header.headers()
    value = headers.get(ID_HEADER)
    if value is None:
        return None
    return UniqueId(_key(value), _ttl_seconds(headers.get(TTL_HEADER)))


def _key(value: object) -> bytes:
    """Return a short key: equal for equal values, text and its bytes alike."""
    if isinstance(value, str):
        raw = b"=" + value.encode()
    elif isinstance(value, bytes):
        raw = b"=" + value
    else:
        raw = b":" + repr(canonical(value)).encode()
    if len(raw) <= ID_MAX_BYTES:
        return raw
    return b"#" + blake2b(raw, digest_size=_DIGEST_BYTES).digest()


def _ttl_seconds(value: object) -> float | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value / _MILLISECONDS if 0 < value <= DURATION_MAX_MS else None


@final
class IdBudget:
    """How many ids may be remembered together, one virtual host over.

    When it is spent, whoever has got no new id for the longest time forgets its oldest.

    Attributes:
        ids_used: how many are remembered now.
    """

    __slots__ = ("_holders", "_ids_max", "ids_used")

    def __init__(self, ids_max: int) -> None:
        self.ids_used = 0
        self._ids_max = ids_max
        self._holders: OrderedDict[SeenIds, None] = OrderedDict()

    def take(self, holder: SeenIds) -> None:
        """Make room for one more id of `holder`."""
        if self.ids_used >= self._ids_max:
            next(iter(self._holders)).pop()
        self.ids_used += 1
        self._holders[holder] = None
        self._holders.move_to_end(holder)

    def give_back(self, holder: SeenIds) -> None:
        """`holder` has forgotten one id."""
        self.ids_used -= 1
        if not len(holder):
            del self._holders[holder]

    def give_back_all(self, holder: SeenIds) -> None:
        """`holder` will forget all that it has."""
        self.ids_used -= len(holder)
        self._holders.pop(holder, None)


@final
class ForgottenIds:
    """Ids that are still to be freed, see `Sweeper`."""

    __slots__ = ("_expiries",)

    def __init__(self, expiries: OrderedDict[bytes, float]) -> None:
        self._expiries = expiries

    def __len__(self) -> int:
        return len(self._expiries)

    def pop(self) -> None:
        """Free one."""
        self._expiries.popitem()


@final
class SeenIds:
    """The last ids of one exchange or queue: `size_max` of them, each for its time.

    An id that is over its time still counts among the last; hence the order in which
    ids came is all there is to keep.
    """

    __slots__ = ("_budget", "_expiries", "_size_max", "_ttl_seconds")

    def __init__(
        self, budget: IdBudget, size_max: int, ttl_seconds: float | None
    ) -> None:
        """Remember each id for `ttl_seconds`; None: until enough others came."""
        self._budget = budget
        self._size_max = size_max
        self._ttl_seconds = ttl_seconds
        self._expiries: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._expiries)

    def knows(self, unique: UniqueId, now: float) -> bool:
        """Whether `unique` was seen, and is not forgotten at `now`."""
        expires_at = self._expiries.get(unique.key)
        return expires_at is not None and now < expires_at

    def add(self, unique: UniqueId, now: float) -> None:
        """`unique` was seen at `now`."""
        if self._expiries.pop(unique.key, None) is not None:
            self._budget.give_back(self)
        self._forget_expired(now)
        if len(self._expiries) >= self._size_max:
            self.pop()
        self._budget.take(self)
        ttl_seconds = unique.ttl_seconds or self._ttl_seconds
        self._expiries[unique.key] = inf if ttl_seconds is None else now + ttl_seconds

    def pop(self) -> None:
        """Forget the oldest id; KeyError if there is none."""
        self._expiries.popitem(last=False)
        self._budget.give_back(self)

    def close(self) -> ForgottenIds:
        """Forget all ids, and return them to be freed."""
        self._budget.give_back_all(self)
        forgotten, self._expiries = self._expiries, OrderedDict()
        return ForgottenIds(forgotten)

    def _forget_expired(self, now: float) -> None:
        """Let go of the oldest if they are over their time, a few at once."""
        for _ in range(min(_FORGOTTEN_AT_ONCE_MAX, len(self._expiries))):
            if next(iter(self._expiries.values())) > now:
                break
            self.pop()


@final
class Deduplication:
    """What makes messages unique that pass one exchange.

    Attributes:
        refuses: publishers of duplicates are told; otherwise they notice nothing.
        seen: what has passed.
        duplicate_count: messages that did not pass.
    """

    __slots__ = ("duplicate_count", "refuses", "seen")

    def __init__(self, rules: DeduplicationRules, budget: IdBudget) -> None:
        self.refuses = rules.refuses
        self.seen = new_seen_ids(rules.cache_size, rules.cache_ttl_ms, budget)
        self.duplicate_count = 0


def deduplication_for(exchange: Exchange, vhost: VHost) -> Deduplication | None:
    """Return what the arguments of `exchange` ask for; None if nothing.

    Raises PreconditionFailed, see `parse_deduplication`.
    """
    rules = parse_deduplication(
        exchange.arguments,
        exchange.type,
        exchange.name,
        vhost.name,
        ids_max=vhost.broker.limits.unique_ids_max,
    )
    if rules is None:
        return None
    return Deduplication(rules, vhost.surroundings.id_budget)


def new_seen_ids(size_max: int, ttl_ms: int | None, budget: IdBudget) -> SeenIds:
    """Return an empty memory of `size_max` ids, each for `ttl_ms` milliseconds."""
    ttl_seconds = None if ttl_ms is None else ttl_ms / _MILLISECONDS
    return SeenIds(budget, size_max, ttl_seconds)
