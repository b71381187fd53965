"""Super-stream exchange: one name for several streams, its partitions.

Each message goes to one partition: by the hash of its key, which is its routing key or
a header, so that messages of one key stay in their order. The partitions are bound
under their numbers and go with the exchange.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, cast, final

from warren.errors import PreconditionFailed
from warren_broker.core.arguments.modes import QueueType
from warren_broker.core.arguments.super_stream import parse_super_stream
from warren_broker.core.exchange.base import Binding, Exchange
from warren_broker.core.exchange.murmur import murmur3_32
from warren_broker.core.named_queue import NamedQueue

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from warren_broker.core.destination import Destination
    from warren_broker.core.message import Header
    from warren_broker.core.stream.group import Group

SEED: Final = 104_729
"""That of RabbitMQ's stream clients."""


def partition_name(name: str, number: int | str) -> str:
    """Return the name of a partition, as RabbitMQ's tools make it."""
    return f"{name}-{number}"


@final
class SuperStreamExchange(Exchange):
    """Routes to the partition of a message's key.

    Attributes:
        groups: the consumer groups that share the partitions, by name.
    """

    __slots__ = ("_by_number", "_rules", "groups")

    type: ClassVar[str] = "x-super-stream"
    chooses_one: ClassVar[bool] = True
    groups: dict[str, Group]

    @property
    def has_fixed_routes(self) -> bool:
        """True if the routing key is the key."""
        return self._rules.key_header is None

    @property
    def partition_count(self) -> int:
        """How many partitions it was declared with."""
        return self._rules.partitions

    @property
    def is_used(self) -> bool:
        """True if somebody consumes from one of its partitions."""
        return any(partition.consumer_count for partition in self.owned())

    def match(self, routing_key: str, header: Header) -> Iterable[Destination]:
        """Return one partition; none if a message names one that is not there."""
        rules = self._rules
        directives = header.directives
        number = None if directives is None else directives.partition
        if number is None:
            key: object = routing_key
            if rules.key_header is not None:
                key = header.headers().get(rules.key_header, routing_key)
            number = murmur3_32(str(key).encode(), SEED) % rules.partitions
        partition = self._by_number.get(number)
        return () if partition is None else (partition,)

    def owned(self) -> Iterable[NamedQueue]:
        """Return its partitions, in the order of their numbers."""
        numbers = sorted(self._by_number)
        return cast("list[NamedQueue]", [self._by_number[each] for each in numbers])

    def has_partition(self, number: int) -> bool:
        """Return True if partition `number` is there: one may have been deleted."""
        return number in self._by_number

    def argue(self, arguments: Mapping[str, object]) -> None:
        """It has these arguments from now on."""
        self.arguments = dict(arguments)
        self._rules = parse_super_stream(self.arguments)

    def bind(
        self, destination: Destination, key: str, arguments: Mapping[str, object]
    ) -> Binding | None:
        """See `Exchange.bind`.

        Raises PreconditionFailed unless it is a partition that is not there yet: what
        is bound is read as a stream, and goes with the exchange.
        """
        is_number = key.isascii() and key.isdecimal() and str(int(key)) == key
        is_missing = (
            is_number
            and int(key) < self.partition_count
            and not self.has_partition(int(key))
        )
        is_stream = (
            isinstance(destination, NamedQueue)
            and destination.rules.queue_type is QueueType.STREAM
        )
        is_named_so = destination.name == partition_name(self.name, key)
        if not (is_missing and is_stream and is_named_so):
            raise PreconditionFailed(
                f"nothing can be bound to super stream '{self.name}' but its partitions"
            )
        return super().bind(destination, key, arguments)

    def _create_index(self) -> None:
        self._rules = parse_super_stream(self.arguments)
        self._by_number: dict[int, Destination] = {}
        self.groups = {}

    def _add(self, binding: Binding) -> None:
        self._by_number[int(binding.key)] = binding.destination

    def _remove(self, binding: Binding) -> None:
        self._by_number.pop(int(binding.key), None)
