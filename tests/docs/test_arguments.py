"""The page of arguments has what the code accepts, and nothing else."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from warren.errors import PreconditionFailed
from warren_broker.core.arguments import QueueType
from warren_broker.core.arguments import exchange as of_exchanges
from warren_broker.core.arguments.consumer import STREAM_ONLY as CONSUMERS_OF_STREAMS
from warren_broker.core.arguments.consumer import parse_consumer_arguments
from warren_broker.core.arguments.deduplication import parse_deduplication
from warren_broker.core.arguments.modes import (
    GroupMode,
    LeaseRenewal,
    OverflowMode,
    RedeclareMode,
    RetryType,
    TimeoutAction,
    UniqueMode,
)
from warren_broker.core.arguments.queue import (
    DEAD_LETTER_EXCHANGE,
    NOT_FOR_STREAMS,
    QUEUE_RULES,
    STREAM_ONLY,
)
from warren_broker.core.arguments.super_stream import parse_super_stream
from warren_broker.core.exchange.types import ROUTING_TYPES
from warren_broker.core.policy.vocabulary import INERT, OPERATOR_KEYS, SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import StrEnum

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "arguments.md").read_text()

WORDS: dict[str, type[StrEnum]] = {
    "x-queue-type": QueueType,
    "x-overflow": OverflowMode,
    "x-consumer-timeout-action": TimeoutAction,
    "x-lease-renew": LeaseRenewal,
    "x-delayed-retry-type": RetryType,
    "x-group-mode": GroupMode,
    "x-unique-mode": UniqueMode,
    "x-redeclare-mode": RedeclareMode,
}
"""Arguments whose value is a word."""

SAME_FOR_ALL = {"CC", "BCC", "delivery-tag", "ms"}
"""Headers whose name does not tell that they are ours."""


def rows(heading: str) -> dict[str, list[str]]:
    """Return the rows of a section's table by argument; some have two."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            first, *others = (cell.strip() for cell in line.strip("|").split("|"))
            found.update(dict.fromkeys(names(first), others))
    return found


def names(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


class Asked(dict[str, object]):
    """Arguments that remember what somebody wanted to know of them."""

    def __init__(self, **given: object) -> None:
        super().__init__(**given)
        self.keys_asked: set[str] = set()

    def __contains__(self, key: object) -> bool:
        self.keys_asked.add(str(key))
        return super().__contains__(key)

    def get(self, key: str, default: object = None) -> object:  # type: ignore[override]
        self.keys_asked.add(key)
        return super().get(key, default)


def test_queues() -> None:
    table = rows("Queues")
    rules = {rule.key: rule for rule in QUEUE_RULES}
    assert table.keys() == rules.keys() | {DEAD_LETTER_EXCHANGE}
    for key, (_, place, policy, operator, _) in table.items():
        rule, policy_key = rules.get(key), key.removeprefix("x-")
        can = "yes" if policy_key in SETTINGS else "no"
        assert (key, policy) == (key, "smallest" if rule and rule.smaller_wins else can)
        assert (key, operator == "yes") == (key, policy_key in OPERATOR_KEYS)
        if key in STREAM_ONLY:
            expected = "stream"
        else:
            expected = "queue" if key in NOT_FOR_STREAMS else "both"
        assert (key, place) == (key, expected)


@pytest.mark.parametrize("key", WORDS)
def test_words(key: str) -> None:
    assert set(names(rows("Queues")[key][0])) == {str(word) for word in WORDS[key]}


def test_the_keys_of_policies() -> None:
    page = (ROOT / "docs" / "policies.md").read_text()
    table = dict(re.findall(r"^\| ([\w ]+) \| (`.*`) \|$", page, re.MULTILINE))
    of_operators = names(table.pop("operator policies"))
    everything = [name for cell in table.values() for name in names(cell)]
    assert set(everything) == SETTINGS.keys()
    assert set(of_operators) == OPERATOR_KEYS - INERT
    (smallest,) = re.findall(r"^\| (`.*`) \| the smallest \|$", page, re.MULTILINE)
    wins = {rule.policy_key for rule in QUEUE_RULES if rule.smaller_wins}
    assert set(names(smallest)) == wins


def test_consumers() -> None:
    asked = Asked()
    parse_consumer_arguments(asked, "q", "/", QueueType.STREAM)
    table = rows("Consumers")
    assert table.keys() == asked.keys_asked
    of_streams = {key for key, (place, *_) in table.items() if place == "stream"}
    assert of_streams == CONSUMERS_OF_STREAMS


def test_exchanges() -> None:
    asked = Asked(partitions=3)
    parsers: list[Callable[[], object]] = [
        lambda: of_exchanges.parse_exchange_arguments(asked, "x", "/"),
        lambda: parse_deduplication(asked, "direct", "x", "/", ids_max=1),
        lambda: of_exchanges.parse_hash_source(asked),
        lambda: of_exchanges.parse_delayed_type(asked),
        lambda: of_exchanges.parse_history_length(asked),
        lambda: parse_super_stream(asked),
    ]
    for parse in parsers:
        with suppress(PreconditionFailed):  # what must be given is not
            parse()
    assert rows("Exchanges").keys() == asked.keys_asked


def test_types_of_exchanges() -> None:
    section = PAGE.split("\nTypes: ")[1].split("\n\n")[0]
    others = {"x-delayed-message", "x-message-deduplication", "x-super-stream"}
    assert set(names(section)) == ROUTING_TYPES.keys() | others


def test_what_has_no_effect() -> None:
    section = set(names(PAGE.split("\n## Accepted without effect\n")[1]))
    assert {name.removeprefix("x-") for name in section - {"x-"}} >= INERT
    assert not section & {rule.key for rule in QUEUE_RULES}


def test_no_name_in_the_code_is_missing() -> None:
    """Whatever it is: a new argument, a new header, in one direction or the other."""
    in_code = set[str]()
    for folder in ("core", "amqp"):
        for path in (ROOT / "broker" / "warren_broker" / folder).rglob("*.py"):
            in_code |= set(re.findall(r"\"(x-[a-z-]+[a-z])\"", path.read_text()))
    assert in_code - set(names(PAGE)) == set()
    ours = {name for name in names(PAGE) if re.fullmatch(r"x-[a-z-]+[a-z]", name)}
    made = {name for name in ours if re.match(r"x-(first|last)-death-", name)}
    assert ours - made - in_code == set()
    assert set(names(PAGE)) >= SAME_FOR_ALL
