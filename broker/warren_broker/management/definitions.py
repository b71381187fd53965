"""Definitions as RabbitMQ's JSON has them: what can be taken of a document, and given.

The keys are those of `rabbitmqctl export_definitions` and of `/api/definitions`. What
means nothing here is not refused but told, each key of a section once; what cannot be
is a problem, and one problem makes the whole document one.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, TypeVar, final

import attrs

from warren.errors import WarrenError
from warren.wire.table import encode_table
from warren_broker.core.access import HashAlgorithm, PasswordHash, Permissions
from warren_broker.core.names import clean_name
from warren_broker.core.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from warren_broker.core.broker import Broker
    from warren_broker.core.vhost import VHost

T = TypeVar("T")

NAME_MAX_BYTES: Final = 255
_PROBLEMS_MAX: Final = 20
_OPERATOR_POLICY: Final = "operator_policy"
_REQUIRED: Final[Any] = object()


class DefinitionsError(WarrenError):
    """A document cannot be taken: a line for each problem."""

    def __init__(self, problems: list[str]) -> None:
        more = len(problems) - _PROBLEMS_MAX
        rest = [f"and {more} more"] if more > 0 else []
        super().__init__("\n".join(problems[:_PROBLEMS_MAX] + rest))


@attrs.frozen
class Imported:
    """What was taken of a document."""

    counts: Mapping[str, int]
    """Entries by section; those that were there already count as well."""
    ignored: tuple[str, ...]
    """What means nothing here, a line each."""

    def __str__(self) -> str:
        return ", ".join(f"{count} {name}" for name, count in self.counts.items())


def parse_document(data: bytes) -> dict[str, Any]:
    """Read a document. Raises DefinitionsError."""
    try:
        document = json.loads(data)
        json.dumps(document, ensure_ascii=False).encode()  # no half characters
    except (ValueError, RecursionError) as error:
        raise DefinitionsError([f"this is no JSON: {error}"]) from None
    if not isinstance(document, dict):
        raise DefinitionsError(["this is no object with definitions"])
    return document


def apply_document(
    broker: Broker, document: Mapping[str, Any], vhost: str | None = None
) -> Imported:
    """Give `broker` what `document` defines, in a turn; what is there already stays.

    `vhost` is where things go that name none, as in what RabbitMQ exports of one
    virtual host. Raises DefinitionsError; what came before the first problem is there
    then, so it is best asked of a broker that can be thrown away.
    """
    reading = _Reading(broker, vhost)
    if vhost is not None:
        reading.read("vhosts", [{"name": vhost}], _take_vhost)
    for section, take in _SECTIONS.items():
        reading.read(section, document.get(section, []), take)
    for key in document.keys() - _SECTIONS.keys() - _ABOUT:
        reading.ignore(key, "the section")
    if reading.problems:
        raise DefinitionsError(reading.problems)
    return Imported(dict(reading.counts), tuple(reading.told()))


@final
class _Reading:
    """One document on its way into a broker."""

    def __init__(self, broker: Broker, vhost: str | None) -> None:
        self.broker = broker
        self.vhost = vhost
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self._ignored: Counter[tuple[str, str]] = Counter()

    def read(
        self, section: str, entries: object, take: Callable[[_Reading, _Entry], None]
    ) -> None:
        if not isinstance(entries, list):
            self.problems.append(f"{section}: this is no list")
            return
        for index, values in enumerate(entries):
            try:
                entry = _Entry(values)
                take(self, entry)
            except (ValueError, TypeError, WarrenError) as error:
                self.problems.append(f"{section}[{index}]: {error}")
                continue
            if entry.is_taken:
                self.counts[section] += 1
            for key in entry.unread():
                self.ignore(section, f"the key '{key}'")

    def ignore(self, section: str, what: str) -> None:
        self._ignored[section, what] += 1

    def told(self) -> list[str]:
        return [
            f"{section}: {what} means nothing here"
            + (f" ({count} times)" if count > 1 else "")
            for (section, what), count in sorted(self._ignored.items())
        ]

    def vhost_of(self, entry: _Entry) -> VHost:
        name = entry.get("vhost", str, _REQUIRED if self.vhost is None else self.vhost)
        vhost = self.broker.vhosts.get(name)
        if vhost is None:
            raise ValueError(f"there is no vhost '{name}'")
        return vhost


@final
class _Entry:
    """One entry of a section: its keys are read, and what was not is known.

    Attributes:
        is_taken: it has become something.
    """

    def __init__(self, values: object) -> None:
        if not isinstance(values, dict):
            raise TypeError("this is no object")
        self._values: dict[str, Any] = values
        self._read: set[str] = set()
        self.is_taken = True

    def get(self, key: str, kind: type[T], default: T = _REQUIRED) -> T:
        """Return the value of `key`. Raises ValueError, TypeError."""
        self._read.add(key)
        value = self._values.get(key, default)
        if value is _REQUIRED:
            raise ValueError(f"the key '{key}' is missing")
        if type(value) is not kind:
            raise TypeError(f"{key} is {value!r}")
        return value

    def name(self, key: str = "name") -> str:
        """Return a name that AMQP can have."""
        name = clean_name(self.get(key, str))
        if not 0 < len(name.encode()) <= NAME_MAX_BYTES:
            raise ValueError(f"a {key} has 1 to {NAME_MAX_BYTES} bytes")
        return name

    def arguments(self) -> dict[str, Any]:
        """Return arguments that AMQP can have."""
        arguments: dict[str, Any] = self.get("arguments", dict, {})
        encode_table(arguments)
        return arguments

    def is_without(self, key: str) -> bool:
        """Whether `key` is not there, or says nothing; it counts as read then."""
        is_without = not self._values.get(key)
        if is_without:
            self._read.add(key)
        return is_without

    def skip(self) -> None:
        """Nothing comes of it, and somebody has said so."""
        self.is_taken = False
        self._read |= self._values.keys()

    def unread(self) -> list[str]:
        """Return the keys that nobody has asked for."""
        return sorted(self._values.keys() - self._read)


def _take_vhost(reading: _Reading, entry: _Entry) -> None:
    reading.broker.administration.create_vhost(entry.get("name", str))


def _take_user(reading: _Reading, entry: _Entry) -> None:
    name = entry.get("name", str)
    password: PasswordHash | None = None
    if not entry.is_without("password_hash"):
        algorithm = entry.get("hashing_algorithm", str, HashAlgorithm.SHA256.value)
        if algorithm not in set(HashAlgorithm):
            raise ValueError(f"user '{name}': {algorithm} is not supported")
        encoded = entry.get("password_hash", str)
        password = PasswordHash.decode(encoded, HashAlgorithm(algorithm))
    elif not entry.is_without("password"):
        password = PasswordHash.of(entry.get("password", str).encode())
    entry.is_without("limits")
    reading.broker.administration.put_user(name, password, _tags_of(entry))


def _tags_of(entry: _Entry) -> list[str]:
    """Return the tags; before RabbitMQ 3.9 they were one text with commas."""
    try:
        tags = entry.get("tags", list, [])
    except TypeError:
        tags = [tag.strip() for tag in entry.get("tags", str).split(",") if tag.strip()]
    if not all(isinstance(tag, str) for tag in tags):
        raise TypeError(f"tags is {tags!r}")
    return tags


def _take_permission(reading: _Reading, entry: _Entry) -> None:
    permissions = Permissions(
        configure=entry.get("configure", str),
        write=entry.get("write", str),
        read=entry.get("read", str),
    )
    vhost = reading.vhost_of(entry).name
    user = entry.get("user", str)
    reading.broker.administration.set_permissions(user, vhost, permissions)


def _take_topic_permission(reading: _Reading, entry: _Entry) -> None:
    """They only take away, so who had them may do more here."""
    reading.ignore("topic_permissions", f"what user '{entry.get('user', str)}' may not")
    entry.skip()


def _take_parameter(reading: _Reading, entry: _Entry) -> None:
    """Operator policies are parameters in RabbitMQ's documents."""
    component = entry.get("component", str)
    if component != _OPERATOR_POLICY:
        reading.ignore("parameters", f"the component '{component}'")
        entry.skip()
        return
    vhost, name = reading.vhost_of(entry).name, entry.get("name", str)
    value = _Entry(entry.get("value", dict))
    policy = _policy(name, value, is_operator=True)
    reading.broker.administration.set_policy(vhost, policy)
    for key in value.unread():
        reading.ignore("parameters", f"the key '{key}' of operator policies")


def _take_global_parameter(reading: _Reading, entry: _Entry) -> None:
    reading.ignore("global_parameters", f"'{entry.get('name', str)}'")
    entry.skip()


def _take_policy(reading: _Reading, entry: _Entry) -> None:
    vhost, name = reading.vhost_of(entry).name, entry.get("name", str)
    policy = _policy(name, entry, is_operator=False)
    reading.broker.administration.set_policy(vhost, policy)


def _policy(name: str, entry: _Entry, *, is_operator: bool) -> Policy:
    return Policy.parse(
        name,
        entry.get("pattern", str),
        entry.get("definition", dict),
        apply_to=entry.get("apply-to", str, "all"),
        priority=entry.get("priority", int, 0),
        is_operator=is_operator,
    )


def _take_queue(reading: _Reading, entry: _Entry) -> None:
    vhost, name, arguments = reading.vhost_of(entry), entry.name(), entry.arguments()
    queue_type = entry.get("type", str, "classic").removeprefix("rabbit_")
    if queue_type.removesuffix("_queue") != "classic":
        arguments = {"x-queue-type": queue_type, **arguments}
    durable = entry.get("durable", bool, True)
    auto_delete = entry.get("auto_delete", bool, False)
    if name not in vhost.queues:
        vhost.add_queue(
            name,
            durable=durable,
            auto_delete=auto_delete,
            owner=None,
            arguments=arguments,
        )


def _take_exchange(reading: _Reading, entry: _Entry) -> None:
    vhost, name, arguments = reading.vhost_of(entry), entry.name(), entry.arguments()
    type_name = entry.get("type", str)
    durable = entry.get("durable", bool, True)
    auto_delete = entry.get("auto_delete", bool, False)
    internal = entry.get("internal", bool, False)
    if name not in vhost.exchanges:
        vhost.add_exchange(
            name,
            type_name,
            durable=durable,
            auto_delete=auto_delete,
            internal=internal,
            arguments=arguments,
        )


def _take_binding(reading: _Reading, entry: _Entry) -> None:
    vhost, arguments = reading.vhost_of(entry), entry.arguments()
    source = vhost.exchange(entry.get("source", str))
    kind, name = entry.get("destination_type", str), entry.get("destination", str)
    if kind not in {"queue", "exchange"}:
        raise ValueError(f"destination_type is {kind!r}")
    destination = vhost.queue(name) if kind == "queue" else vhost.exchange(name)
    vhost.bind(source, destination, entry.get("routing_key", str, ""), arguments)


_SECTIONS: Final[dict[str, Callable[[_Reading, _Entry], None]]] = {
    "vhosts": _take_vhost,
    "users": _take_user,
    "permissions": _take_permission,
    "topic_permissions": _take_topic_permission,
    "parameters": _take_parameter,
    "global_parameters": _take_global_parameter,
    "policies": _take_policy,
    "queues": _take_queue,
    "exchanges": _take_exchange,
    "bindings": _take_binding,
}
"""In the order in which one may need another."""

_ABOUT: Final = frozenset(
    {
        "explanation",
        "metadata",
        "original_cluster_name",
        "original_vhost_name",
        "product_name",
        "product_version",
        "rabbit_version",
        "rabbitmq_definition_format",
        "rabbitmq_version",
    }
)
"""What a document says of itself."""
