"""What an example is about, besides what all are: one or two special rules.

Rules that are to meet must be there together, and what is there seldom meets nothing.
So each example has its themes, whose rules its queues have much more often, and which
add headers to what is published and commands to what happens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.strategies import (
    BUSY_EXCHANGES,
    BUSY_QUEUES,
    CHANNELS,
    EITHER,
    FEATURES,
    KEYS,
    PICKS,
    PUBLISH,
    QOS,
    SETTLE,
    decode,
)

if TYPE_CHECKING:
    from tests.strategies import Arguments, Choices, Command


@dataclass(frozen=True)
class Theme:
    """Arguments of queues, wishes of consumers, headers, and weighted commands."""

    features: list[dict[str, object]] = field(default_factory=list)
    wishes: list[dict[str, object]] = field(default_factory=list)
    headers: list[dict[str, object]] = field(default_factory=list)
    commands: list[tuple[int, str, Choices]] = field(default_factory=list)


WAIT: Choices = {"seconds": [0.3, 1.1, 2.5, None]}
FEW = QOS | {"count": [1, 2], "whole_channel": [False]}
REQUEUE = SETTLE | {"failed": EITHER}
ACTIONS = ["requeue", "dead-letter", "cancel", "close-channel"]
RETRIES = Theme(
    features=[
        {"x-delayed-retry-type": kind, "x-delayed-retry-min": 700, **most}
        for kind in ("all", "failed", "returned")
        for most in ({}, {"x-delayed-retry-max": 1100})
    ],
    headers=[{"x-retry-delay": 353}],
    commands=[(3, "requeue", REQUEUE), (2, "wait", WAIT)],
)
GROUPS = Theme(
    features=[
        {"x-group-by": source, "x-group-mode": mode}
        for mode in ("ordered", "sticky", "fair")
        for source in ("header:g", "header:g", "routing-key")
    ],
    headers=[{"g": (1, 1, 2, 3, 2)}, {"g": (1, 1, 2, 3, 2)}, {"g": (1,)}],
    commands=[
        (3, "publish", PUBLISH | {"count": [5]}),
        (2, "qos", FEW),
        (2, "ack", SETTLE),
        (2, "requeue", REQUEUE),
    ],
)
LEASES = Theme(
    features=[
        {"x-consumer-timeout": 4000, **how}
        for how in (
            *[{"x-consumer-timeout-action": action} for action in ACTIONS],
            {
                "x-consumer-timeout-action": "dead-letter",
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": "q1",
            },
            {"x-lease-renew": "connection", "x-lease-max": 6000},
            {"x-lease-max": 6000},
        )
    ],
    wishes=[
        *[{}] * 3,
        *[{"x-consumer-timeout-action": action} for action in ACTIONS],
        *[{"x-lease-renew": "connection", "x-lease-max": 5000}] * 3,
    ],
    commands=[
        (
            2,
            "extend",
            {"channel": CHANNELS, "pick": PICKS, "seconds": [0.5, 3.0, 5.0, 100.0]},
        ),
        (3, "hear", {"channel": CHANNELS}),
        (3, "wait", WAIT),
    ],
)
LATER = Theme(
    features=[{"x-deliver-at-header": "eta"}],
    commands=[
        (
            2,
            "schedule",
            {
                "exchange": ["", "", "", *BUSY_EXCHANGES],
                "key": [*BUSY_QUEUES, *KEYS],
                "priority": [0, 1],
                "name": [None, None, "one", "one", "two"],
                "delay": [0, 300, 900, 1700],
                "seconds": [None, None, -1.0, 0.6],
                "cancels": [False, False, True],
            },
        ),
        (
            2,
            "publish_at",
            {
                "key": BUSY_QUEUES,
                "priority": [0, 1],
                "expiration_ms": [None, None, 641],
                "seconds": [-1.0, 0.5, 1.1, 2.3],
            },
        ),
        (1, "wait", WAIT),
    ],
)
UNIQUE = Theme(
    features=[
        {"x-message-deduplication": True},
        {"x-message-deduplication": True, "x-cache-ttl": 1500},
        {"x-unique-mode": "drop", "x-cache-size": 1},
        {"x-unique-mode": "reject", "x-cache-size": 2, "x-cache-ttl": 1500},
        *[{"x-unique-mode": "replace"}] * 3,
        {"x-unique-mode": "until-ack"},
    ],
    headers=[
        *[{"x-deduplication-header": unique} for unique in "aab"],
        {"x-deduplication-header": ("a", "b", "a")},
        {"x-deduplication-header": "a", "x-cache-ttl": 700},
    ],
    commands=[
        (3, "publish", PUBLISH | {"expiration_ms": [None, None, 641]}),
        (1, "requeue", REQUEUE),
        (1, "qos", FEW),
    ],
)
CHANGEABLE = ("x-message-ttl", "x-expires", "x-max-length", "x-max-length-bytes")
CHANGEABLE += ("x-overflow", "x-delivery-limit", "dead-letter")
CHANGES: Choices = {
    "name": BUSY_QUEUES,
    **{
        f"feature_{number}": [
            None,
            *[one for one in FEATURES if one[0] in CHANGEABLE],
            ("special", {"x-overflow": "block", "x-max-length": 1}),
            ("special", {"x-deliver-at-header": "eta"}),
            ("special", RETRIES.features[0]),
        ]
        for number in range(3)
    },
}
OTHER_RULES = Theme(
    features=[
        {"x-overflow": how, "x-max-length": 1}
        for how in ("drop-tail", "drop-head", "reject-publish")
    ],
    commands=[(2, "change_rules", CHANGES), (1, "publish", PUBLISH)],
)
FULL = Theme(
    features=[
        {"x-overflow": "block", **limit, **patience}
        for limit in ({"x-max-length": 1}, {"x-max-length-bytes": 8})
        for patience in ({"x-publish-deadline": 1100}, {})
    ],
    commands=[
        (3, "publish", PUBLISH),
        (1, "change_rules", CHANGES),
        (2, "qos", FEW),
        (1, "ack", SETTLE),
        (1, "wait", WAIT),
    ],
)
PLAIN = Theme(
    commands=[
        (1, "publish", PUBLISH),
        (1, "publish", PUBLISH | {"exchange": ["x0"], "key": KEYS}),
        (1, "unbind_one", {"pick": range(100)}),
        (1, "ack", SETTLE),
        (1, "reject", SETTLE),
        (1, "wait", WAIT),
    ]
)
THEMES = [PLAIN, RETRIES, GROUPS, LEASES, GROUPS, LATER, UNIQUE, OTHER_RULES, FULL]
PAIRS = [(one, two) for one in THEMES for two in THEMES]


@dataclass
class Themes:
    """The themes of one example; numbers choose what is theirs."""

    pair: tuple[Theme, Theme]

    def features(self, *numbers: int | None) -> dict[str, object]:
        """Arguments of one queue: some of each theme, or none."""
        return {
            key: value
            for theme, number in zip(self.pair, numbers, strict=True)
            if number is not None
            for key, value in chosen(theme.features, number).items()
        }

    def wishes(self, number: int) -> dict[str, object]:
        return chosen(self.pair[0].wishes + self.pair[1].wishes, number)

    def headers(self, number: int, place: int) -> dict[str, object]:
        """Those of the message in this place of a burst."""
        found = chosen([{}, *self.pair[0].headers, *self.pair[1].headers], number)
        return {
            key: value[place % len(value)] if isinstance(value, tuple) else value
            for key, value in found.items()
        }

    def command(self, number: int) -> Command:
        """One of the commands that are special to the themes."""
        commands = [
            (name, choices)
            for theme in self.pair
            for weight, name, choices in theme.commands
            for _ in range(weight)
        ]
        number, which = divmod(number, len(commands))
        name, choices = commands[which]
        arguments: Arguments = decode(number, choices)
        return name, arguments


def chosen(options: list[dict[str, object]], number: int) -> dict[str, object]:
    return options[number % len(options)] if options else {}
