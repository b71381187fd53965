"""What the state machine does to a broker: commands, as often as life does them.

A command is the name of a method of the machine with its arguments. The world they
speak of is small, so that they meet: four queues, four exchanges, three channels.

Every argument is one of a few values, written here as a table. A whole command is
drawn as one string of bytes: hypothesis spends its time on draws.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hypothesis.strategies import SearchStrategy

    Choices = dict[str, Sequence[Any]]
    Arguments = dict[str, Any]
    Command = tuple[str, Arguments]

CHANNELS = ["A1", "A2", "B1"]  # the letter is the connection
QUEUES = ["q0", "q1", "q2", "q3"]
TYPES = ["direct", "fanout", "topic", "headers"]
KEYS = ["a", "a", "b", "a.b", "q0"]
PATTERNS = ["*", "#", "a.*", "#.b", *KEYS]
CONDITIONS = [{}, {"h": 1}, {"h": 1, "g": None, "x-match": "any"}, {"x-match": "any"}]
HEADERS = [{}, {}, {"h": 1}, {"g": 2}, {"CC": ["q1"], "BCC": ["q2", "b"]}]

# Some are busier than others: what happens seldom must meet something.
BUSY_QUEUES = ["q0", "q0", "q0", "q1", "q1", "q2", "q3"]
BUSY_EXCHANGES = ["x0", "x0", "x0", "x1", "x1", "x2", "x3"]
RARELY = [False] * 7 + [True]
EITHER = [False, True]
PICKS = range(20)

OVERFLOWS = ["reject-publish", "reject-publish-dlx", "drop-tail"]
SOME = range(60)
MAYBE_SOME = [None] * 30 + [*SOME]  # of what the themes of an example have

# A time to live must not end at the same moment in two queues: which of them acts
# first is then anybody's guess. So every duration is the queue's own.
FEATURES: list[tuple[str, object]] = [
    *[("x-message-ttl", 2000)] * 3,
    ("x-expires", 5000),
    *[("x-max-length", length) for length in (0, 1, 2, 3)],
    *[("x-max-length-bytes", size) for size in (8, 16)],
    *[("x-overflow", how) for how in OVERFLOWS],
    *[("x-max-priority", priority) for priority in (0, 1, 2, 2)],
    *[("x-single-active-consumer", True)] * 2,
    *[("x-delivery-limit", limit) for limit in (0, 1, 2)],
    *[("x-consumer-timeout", 4000)] * 2,
    *[("dead-letter", ("", queue)) for queue in (*QUEUES, *["itself"] * 4)],
    *[("dead-letter", (exchange, None)) for exchange in ("x0", "x1", "x2", "none")],
    *[("auto_delete", True)] * 2,
    ("exclusive", True),
]
MAYBE_FEATURES = [None] * len(FEATURES) + FEATURES
DECLARE_QUEUE: Choices = {
    "channel": CHANNELS,
    "name": BUSY_QUEUES,
    **{f"feature_{number}": MAYBE_FEATURES for number in range(5)},
    **{f"special_{number}": MAYBE_SOME for number in range(2)},
    "again": EITHER,  # just as it was declared
}
DECLARE_EXCHANGE: Choices = {
    "name": BUSY_EXCHANGES,
    "kind": TYPES,
    "auto_delete": RARELY,
    "internal": RARELY,
    "alternate": [None, None, "", "x1", "x3", "none"],
}
BIND: Choices = {
    "channel": CHANNELS,
    "source": BUSY_EXCHANGES,
    "target": [
        *[("queue", name) for name in BUSY_QUEUES],
        *[("exchange", name) for name in ("x0", "x1", "x2", "x3")],
    ],
    "key": PATTERNS,
    "arguments": CONDITIONS,
}
CONSUME: Choices = {
    "channel": CHANNELS,
    "queue": BUSY_QUEUES,
    "no_ack": RARELY,
    "exclusive": RARELY,
    "priority": [0, 0, 0, 1],
    "has_timeout": EITHER,
    "wishes": SOME,
}
QOS: Choices = {
    "channel": CHANNELS,
    "count": [0, 1, 1, 2, 3],
    "whole_channel": EITHER,
}
SETTLE: Choices = {"channel": CHANNELS, "pick": PICKS, "multiple": RARELY}

PUBLISH: Choices = {
    "exchange": [""],
    "key": BUSY_QUEUES,
    "priority": [0, 0, 1, 2, 9],
    "size": [3, 3, 6],
    # Only here: in two queues at once it would end at the same moment.
    "expiration_ms": [None, None, None, 0, 641, 1283],
    "headers": [{}],
    "count": [1, 1, 2, 5],
    "special": SOME,
}
COMMANDS: list[tuple[int, str, Choices]] = [
    (8, "publish", PUBLISH),
    (
        6,
        "publish",
        {
            "exchange": ["", *BUSY_EXCHANGES],
            "key": KEYS,
            "priority": [0, 0, 1, 2, 9],
            "size": [3],
            "expiration_ms": [None],
            "headers": HEADERS,
            "count": [1],
            "special": [None],
        },
    ),
    (18, "something_special", {"number": range(2**40)}),
    (4, "consume", CONSUME),
    (9, "ack", SETTLE),
    (9, "requeue", SETTLE | {"failed": EITHER}),
    (9, "reject", SETTLE),
    (3, "get", {"channel": CHANNELS, "queue": BUSY_QUEUES, "no_ack": RARELY}),
    (1, "recover", {"channel": CHANNELS}),
    (2, "cancel", {"channel": CHANNELS, "pick": PICKS}),
    (2, "qos", QOS),
    (1, "flow", {"channel": CHANNELS, "active": EITHER}),
    (1, "close_channel", {"channel": CHANNELS}),
    (1, "close_connection", {"connection": ["A", "B"]}),
    # None: until the next deadline and a little more, and the timer is late.
    (6, "wait", {"seconds": [0.1, 0.7, 1.5, 4.0, None, None, None, None]}),
    (2, "declare_queue", DECLARE_QUEUE),
    (
        1,
        "delete_queue",
        {
            "channel": CHANNELS,
            "name": BUSY_QUEUES,
            "if_unused": EITHER,
            "if_empty": EITHER,
        },
    ),
    (1, "purge", {"channel": CHANNELS, "name": BUSY_QUEUES}),
    (1, "declare_exchange", DECLARE_EXCHANGE),
    (1, "delete_exchange", {"name": BUSY_EXCHANGES, "if_unused": EITHER}),
    (2, "bind", BIND),
    (1, "unbind", BIND),
    (2, "unbind_one", {"pick": range(100)}),
]
_WEIGHTED = [
    (name, choices) for weight, name, choices in COMMANDS for _ in range(weight)
]
_SIZE_BYTES = 9


def decode(number: int, choices: Choices) -> Arguments:
    """Read `number` as digits, each of which chooses a value."""
    chosen = {}
    for name, values in choices.items():
        number, digit = divmod(number, len(values))
        chosen[name] = values[digit]
    return chosen


@st.composite
def arguments(draw: Callable[..., Any], choices: Choices) -> Arguments:
    """The arguments of one command."""
    return decode(int.from_bytes(draw(_RAW), "big"), choices)


@st.composite
def commands(draw: Callable[..., Any]) -> Command:
    """One command: its name and its arguments."""
    number, which = divmod(int.from_bytes(draw(_RAW), "big"), len(_WEIGHTED))
    name, choices = _WEIGHTED[which]
    return name, decode(number, choices)


_RAW: SearchStrategy[bytes] = st.binary(min_size=_SIZE_BYTES, max_size=_SIZE_BYTES)
