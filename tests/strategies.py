"""What the state machine does to a broker: commands, as often as life does them.

A command is the name of a method of the machine with its arguments. The world they
speak of is small, so that they meet: four queues, four exchanges, three channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

CHANNELS = ["A1", "A2", "B1"]  # the letter is the connection
QUEUES = ["q0", "q1", "q2", "q3"]
EXCHANGES = ["x0", "x1", "x2", "x3"]
TYPES = ["direct", "fanout", "topic", "headers"]
KEYS = ["a", "a.b", "b", *QUEUES]
PATTERNS = ["*", "#", "a.*", "#.b", *KEYS]
CONDITIONS = [{}, {"h": 1}, {"h": 1, "g": None, "x-match": "any"}, {"x-match": "any"}]

channels = st.sampled_from(CHANNELS)
queues = st.sampled_from(QUEUES)
exchanges = st.sampled_from(EXCHANGES)
rarely = st.sampled_from([False, False, False, False, True])
picks = st.integers(0, 9)

# A time to live must not end at the same moment in two queues: which of them acts
# first is then anybody's guess. So every duration is the queue's own.
FEATURES: list[tuple[str, object]] = [
    *[("x-message-ttl", 2000)] * 3,
    ("x-expires", 5000),
    *[("x-max-length", length) for length in (0, 1, 2, 3)],
    *[("x-max-length-bytes", size) for size in (5, 10)],
    *[("x-overflow", how) for how in ("reject-publish", "reject-publish-dlx")],
    *[("x-max-priority", priority) for priority in (0, 1, 2, 2)],
    *[("x-single-active-consumer", True)] * 2,
    *[("x-delivery-limit", limit) for limit in (0, 1, 2)],
    *[("x-consumer-timeout", 4000)] * 2,
    *[("dead-letter", ("", queue)) for queue in QUEUES],
    *[("dead-letter", (exchange, None)) for exchange in ("x0", "x1", "x2", "none")],
    *[("auto_delete", True)] * 2,
    ("exclusive", True),
]
features = st.lists(st.sampled_from(FEATURES), max_size=5).map(dict)
queue_declares = st.fixed_dictionaries(
    {"channel": channels, "name": queues, "features": features}
)
exchange_declares = st.fixed_dictionaries(
    {
        "name": exchanges,
        "kind": st.sampled_from(TYPES),
        "auto_delete": rarely,
        "internal": rarely,
        "alternate": st.sampled_from([None, None, "", "x1", "x3", "none"]),
    }
)
ends = st.fixed_dictionaries(
    {
        "channel": channels,
        "source": exchanges,
        "target": st.one_of(
            queues.map(lambda name: ("queue", name)),
            queues.map(lambda name: ("queue", name)),
            exchanges.map(lambda name: ("exchange", name)),
        ),
        "key": st.sampled_from(PATTERNS),
        "arguments": st.sampled_from(CONDITIONS),
    }
)
direct_publishes = st.fixed_dictionaries(
    {
        "exchange": st.just(""),
        "key": queues,
        "priority": st.sampled_from([0, 0, 1, 2, 9]),
        "size": st.sampled_from([1, 1, 4]),
        # Only here: in two queues at once it would end at the same moment.
        "expiration_ms": st.sampled_from([None, None, None, 0, 641, 1283]),
        "headers": st.just({}),
    }
)
publishes = st.fixed_dictionaries(
    {
        "exchange": st.sampled_from(["", *EXCHANGES]),
        "key": st.sampled_from(KEYS),
        "priority": st.sampled_from([0, 0, 1, 2, 9]),
        "size": st.just(1),
        "expiration_ms": st.none(),
        "headers": st.sampled_from(
            [{}, {}, {"h": 1}, {"g": 2}, {"CC": ["q1"], "BCC": ["q2", "b"]}]
        ),
    }
)
on_channel = {"channel": channels}
settlements = {"channel": channels, "pick": picks, "multiple": rarely}

COMMANDS: dict[str, tuple[int, SearchStrategy[dict[str, object]]]] = {
    "publish": (14, st.one_of(direct_publishes, direct_publishes, publishes)),
    "consume": (
        5,
        st.fixed_dictionaries(
            {
                "channel": channels,
                "queue": queues,
                "no_ack": rarely,
                "exclusive": rarely,
                "priority": st.sampled_from([0, 0, 0, 1]),
                "has_timeout": st.booleans(),
            }
        ),
    ),
    "ack": (9, st.fixed_dictionaries(settlements)),
    "requeue": (9, st.fixed_dictionaries(settlements)),
    "reject": (6, st.fixed_dictionaries(settlements)),
    "get": (
        3,
        st.fixed_dictionaries({"channel": channels, "queue": queues, "no_ack": rarely}),
    ),
    "recover": (1, st.fixed_dictionaries(on_channel)),
    "cancel": (2, st.fixed_dictionaries({"channel": channels, "pick": picks})),
    "qos": (
        3,
        st.fixed_dictionaries(
            {
                "channel": channels,
                "count": st.sampled_from([0, 1, 1, 2, 3]),
                "whole_channel": rarely,
            }
        ),
    ),
    "flow": (1, st.fixed_dictionaries({"channel": channels, "active": st.booleans()})),
    "close_channel": (1, st.fixed_dictionaries(on_channel)),
    "close_connection": (
        1,
        st.fixed_dictionaries({"connection": st.sampled_from(["A", "B"])}),
    ),
    "wait": (
        6,
        st.one_of(
            st.fixed_dictionaries({"seconds": st.sampled_from([0.1, 0.7, 1.5, 4.0])}),
            st.just({"seconds": None}),  # until the next deadline, and a little more
        ),
    ),
    "declare_queue": (2, queue_declares),
    "delete_queue": (
        1,
        st.fixed_dictionaries(
            {
                "channel": channels,
                "name": queues,
                "if_unused": st.booleans(),
                "if_empty": st.booleans(),
            }
        ),
    ),
    "purge": (1, st.fixed_dictionaries({"channel": channels, "name": queues})),
    "declare_exchange": (1, exchange_declares),
    "delete_exchange": (
        1,
        st.fixed_dictionaries({"name": exchanges, "if_unused": st.booleans()}),
    ),
    "bind": (3, ends),
    "unbind": (2, ends),
    "unbind_one": (1, st.fixed_dictionaries({"pick": st.integers(0, 99)})),
}
_NAMES = [name for name, (weight, _) in COMMANDS.items() for _ in range(weight)]


def commands() -> SearchStrategy[tuple[str, dict[str, object]]]:
    """One command: its name and its arguments."""
    return st.sampled_from(_NAMES).flatmap(
        lambda name: st.tuples(st.just(name), COMMANDS[name][1])
    )
