"""Policies: which one holds, what it may say, and what several say together."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.policy_support import policies_of, set_policy
from tests.core.support import at, declare, declare_exchange, new_broker
from warren_broker.core.arguments import OverflowMode, RedeclareMode
from warren_broker.core.limits import Limits
from warren_broker.core.policy import ApplyTo, Policy, PolicyError, PolicyTable

if TYPE_CHECKING:
    from collections.abc import Mapping


TTL = {"message-ttl": 1000}


def refusal(definition: Mapping[str, object], *, is_operator: bool = False) -> str:
    with pytest.raises(PolicyError) as caught:
        Policy.parse("p", ".*", definition, is_operator=is_operator)
    return str(caught.value)


# Together: a twin that is slow and plain

NUMBERS = {
    "message-ttl": "message_ttl_ms",
    "expires": "expires_ms",
    "max-length": "max_length",
    "max-length-bytes": "max_length_bytes",
    "delivery-limit": "delivery_limit",
    "lease-max": "lease_max_ms",
}
OTHERS = {
    "overflow": ("overflow", ["drop-head", "reject-publish", "reject-publish-dlx"]),
    "publish-deadline": ("publish_deadline_ms", [1, 2, 3]),
    "consumer-timeout": ("consumer_timeout_ms", [0, 1, 2]),
}
FIELDS = NUMBERS | {key: field for key, (field, _) in OTHERS.items()}

definitions = st.fixed_dictionaries(
    {},
    optional={key: st.integers(1, 4) for key in NUMBERS}
    | {"delivery-limit": st.integers(-1, 2)}
    | {key: st.sampled_from(choices) for key, (_, choices) in OTHERS.items()},
)


def twin(key: str, *said: object) -> object:
    """What holds, of what the arguments, operator policy and policy say, in this order.

    None: nothing was said.
    """
    heard = [value for value in said if value is not None]
    if key not in NUMBERS:
        return heard[0]
    limits = [value for value in heard if isinstance(value, int) and value >= 0]
    return min(limits, default=None)


@given(
    arguments=definitions,
    policy=definitions,
    operator_policy=definitions,
    declared_first=st.booleans(),
)
def test_each_rule_is_what_the_twin_says(
    arguments: dict[str, object],
    policy: dict[str, object],
    operator_policy: dict[str, object],
    *,
    declared_first: bool,
) -> None:
    _, session = new_broker()
    asked = {f"x-{key}": value for key, value in arguments.items()}
    if declared_first:
        declare(session, **asked)
    if policy:
        set_policy(session, policy)
    if operator_policy:
        set_policy(session, operator_policy, is_operator=True)
    if not declared_first:
        declare(session, **asked)
    queue = session.vhost.queues["q"]
    sources = (arguments, operator_policy, policy)
    for key, field in FIELDS.items():
        said = [source.get(key) for source in sources]
        if said == [None, None, None]:
            assert getattr(queue.rules, field) == getattr(queue.declared, field)
        else:
            assert getattr(queue.rules, field) == twin(key, *said)

    policies_of(session).delete("p")
    policies_of(session).delete("p", is_operator=True)
    at(session.vhost.broker, 0.0)
    assert queue.rules == queue.declared


def test_a_quorum_queue_has_a_delivery_limit_until_somebody_says_another() -> None:
    _, session = new_broker()
    queue = declare(session, durable=True, x_queue_type="quorum")
    assert queue.rules.delivery_limit == 20
    set_policy(session, {"delivery-limit": 50})
    assert queue.rules.delivery_limit == 50
    set_policy(session, {"delivery-limit": -1})
    assert queue.rules.delivery_limit is None


def test_arguments_and_policy_may_each_give_an_end_of_the_delay() -> None:
    _, session = new_broker()
    queue = declare(session, x_delayed_retry_type="all", x_delayed_retry_min=1000)
    set_policy(session, {"delayed-retry-max": 10})
    assert queue.rules.delayed_retry_min_ms == 1000
    assert queue.rules.delayed_retry_max_ms == 1000


def test_the_dead_letter_exchange_of_arguments_goes_over_that_of_a_policy() -> None:
    _, session = new_broker()
    queue = declare(session, x_dead_letter_exchange="mine")
    definition = {"dead-letter-exchange": "theirs", "dead-letter-routing-key": "k"}
    set_policy(session, definition)
    rules = queue.rules
    assert (rules.dead_letter_exchange, rules.dead_letter_routing_key) == ("mine", "k")


# Which one holds

NAMES = ("orders", "orders.eu", "mail", "amq.topic")
PATTERNS = ("", ".*", "^orders", r"orders\.eu$", "mail|eu", "^none$")
KINDS = {
    "queues": {"classic", "quorum", "stream"},
    "classic_queues": {"classic"},
    "quorum_queues": {"quorum"},
    "streams": {"stream"},
    "exchanges": {"exchange"},
    "all": {"classic", "quorum", "stream", "exchange"},
}
policies = st.builds(
    lambda name, pattern, apply_to, priority: Policy.parse(
        name, pattern, TTL, apply_to=apply_to, priority=priority
    ),
    st.sampled_from("abcdef"),
    st.sampled_from(PATTERNS),
    st.sampled_from(list(ApplyTo)),
    st.integers(-1, 1),
)


@given(
    known=st.lists(policies, max_size=8),
    name=st.sampled_from(NAMES),
    kind=st.sampled_from(["classic", "quorum", "exchange"]),
)
def test_the_highest_priority_holds_then_the_first_name(
    known: list[Policy], name: str, kind: str
) -> None:
    table = PolicyTable()
    for policy in known:
        table.put(policy)
    named = {policy.name: policy for policy in known}
    fitting = [
        policy
        for _, policy in sorted(named.items())
        if kind in KINDS[policy.apply_to] and re.search(policy.pattern, name)
    ]
    best = max((policy.priority for policy in fitting), default=0)
    expected = next((each for each in fitting if each.priority == best), None)
    assert table.match(kind, name) is expected
    assert len(table) == len(named)
    assert [each.priority for each in table] == sorted(
        (each.priority for each in named.values()), reverse=True
    )


def test_a_queue_has_one_policy_and_nothing_of_the_others() -> None:
    _, session = new_broker()
    queue = declare(session)
    set_policy(session, TTL | {"max-length": 5}, name="low")
    set_policy(session, {"max-length": 9}, name="high", priority=1)
    assert (queue.rules.max_length, queue.rules.message_ttl_ms) == (9, None)


@pytest.mark.parametrize(
    ("apply_to", "classic", "quorum", "alternate"),
    [
        ("queues", 7, 7, None),
        ("classic_queues", 7, None, None),
        ("quorum_queues", None, 7, None),
        ("exchanges", None, None, "a"),
        ("all", 7, 7, "a"),
    ],
)
def test_what_it_is_for(
    apply_to: str, classic: int | None, quorum: int | None, alternate: str | None
) -> None:
    _, session = new_broker()
    definition = {"max-length": 7, "alternate-exchange": "a"}
    set_policy(session, definition, apply_to=apply_to)
    declare_exchange(session)
    assert declare(session, "c").rules.max_length == classic
    one = declare(session, "q", durable=True, x_queue_type="quorum")
    assert one.rules.max_length == quorum
    assert session.vhost.exchanges["x"].alternate == alternate
    assert session.vhost.exchanges["amq.topic"].alternate == alternate
    assert session.vhost.exchanges[""].alternate is None


# What it may say


def test_every_key_is_understood() -> None:
    _, session = new_broker()
    queue = declare(session)
    definition: dict[str, object] = {
        "dead-letter-exchange": "x",
        "dead-letter-routing-key": "k",
        "message-ttl": 0,
        "expires": 5,
        "max-length": 0,
        "max-length-bytes": 3,
        "overflow": "reject-publish",
        "publish-deadline": 5,
        "consumer-timeout": 0,
        "consumer-timeout-action": "dead-letter",
        "lease-renew": "connection",
        "lease-max": 9,
        "delivery-limit": 2,
        "delayed-retry-type": "failed",
        "delayed-retry-min": 1,
        "delayed-retry-max": 2,
        "deliver-at-header": "eta",
        "redeclare-mode": "migrate",
    }
    set_policy(session, definition)
    rules = queue.rules
    assert rules.dead_letter_exchange == "x"
    assert rules.overflow is OverflowMode.REJECT_PUBLISH
    assert rules.deliver_at_header == "eta"
    assert rules.redeclare_mode is RedeclareMode.MIGRATE
    exchange = session.vhost.exchanges["amq.topic"]
    assert exchange.deliver_at_header == "eta"
    assert policies_of(session).redeclare_mode_of(exchange) is RedeclareMode.MIGRATE


@pytest.mark.parametrize(
    "key",
    [
        "ha-mode",
        "queue-mode",
        "queue-version",
        "max-in-memory-length",
        "stream-filter-size-bytes",
    ],
)
def test_what_has_no_use_here_has_no_effect(key: str) -> None:
    _, session = new_broker()
    queue = declare(session)
    set_policy(session, {key: "anything", "max-length": 3})
    assert queue.rules == attrs.evolve(queue.declared, max_length=3)


@pytest.mark.parametrize(
    ("definition", "text"),
    [
        ({}, "no policy provided"),
        ({"message-ttl": -1}, "-1 is not a valid message TTL"),
        ({"message-ttl": "1"}, '<<"1">> is not a valid message TTL'),
        ({"message-ttl": True}, "true is not a valid message TTL"),
        ({"message-ttl": 10**15}, "1000000000000000 is not a valid message TTL"),
        ({"expires": 0}, "0 is not a valid queue expiry"),
        ({"max-length": 1.5}, "1.5 is not a valid maximum length"),
        ({"max-length-bytes": -1}, "-1 is not a valid maximum length in bytes"),
        ({"overflow": "fall"}, '<<"fall">> is not a valid overflow value'),
        ({"delivery-limit": "x"}, '<<"x">> is not a valid delivery limit'),
        ({"consumer-timeout": -1}, "-1 is not a valid consumer timeout"),
        ({"alternate-exchange": 1}, "1 is not a valid alternate exchange name"),
        ({"dead-letter-exchange": 1}, "1 is not a valid dead letter exchange name"),
        ({"dead-letter-routing-key": 1}, "1 is not a valid dead letter routing key"),
        ({"lease-max": 0}, "0 is not a valid lease-max: {value_zero,0}"),
        (
            {"redeclare-mode": "never"},
            '<<"never">> is not a valid redeclare-mode:'
            " \"'never' is none of strict, accept, migrate\"",
        ),
        (
            {"foo": 1, "max-length": 3, "bar": "x"},
            '[{<<"foo">>,1},{<<"bar">>,<<"x">>}] are not recognised policy settings',
        ),
        (
            {"max-priority": 3},
            '[{<<"max-priority">>,3}] are not recognised policy settings',
        ),
        (
            {"delayed-retry-type": "all"},
            "delayed-retry-type: delayed-retry-min must be given",
        ),
        (
            {"delayed-retry-min": 2, "delayed-retry-max": 1},
            "delayed-retry-max: must not be less than delayed-retry-min",
        ),
    ],
)
def test_what_a_definition_cannot_say(definition: dict[str, object], text: str) -> None:
    assert refusal(definition) == text


@pytest.mark.parametrize("key", ["dead-letter-exchange", "deliver-at-header", "foo"])
def test_what_an_operator_policy_cannot_say(key: str) -> None:
    text = f'[{{<<"{key}">>,<<"x">>}}] are not recognised operator policy settings'
    assert refusal({key: "x"}, is_operator=True) == text


@pytest.mark.parametrize(
    ("name", "pattern", "apply_to", "priority", "text"),
    [
        ("", ".*", "all", 0, "a policy's name has 1 to 255 bytes"),
        ("n" * 256, ".*", "all", 0, "a policy's name has 1 to 255 bytes"),
        ("p", "(", "all", 0, "the pattern is no regular expression"),
        ("p", "(a+)+$", "all", 0, "the pattern has a choice within an unbounded"),
        ("p", "a" * 257, "all", 0, "the pattern is longer than 256 characters"),
        ("p", ".*", "topics", 0, "apply-to 'topics' unrecognised; should be one of"),
        ("p", ".*", "all", 2**31, "priority must be within"),
    ],
)
def test_what_cannot_be_a_policy(
    name: str, pattern: str, apply_to: str, priority: int, text: str
) -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.parse(name, pattern, TTL, apply_to=apply_to, priority=priority)
    assert str(caught.value).startswith(text)


def test_there_are_so_many_and_no_more() -> None:
    _, session = new_broker(Limits(policies_max=2))
    for name in ("a", "b", "a"):
        set_policy(session, TTL, name=name)
        set_policy(session, TTL, name=name, is_operator=True)
    with pytest.raises(PolicyError) as caught:
        set_policy(session, TTL, name="c")
    assert str(caught.value) == "policy limit (2) in vhost '/' is reached"
    assert [each.name for each in policies_of(session).table()] == ["a", "b"]
    assert policies_of(session).delete("a")
    assert not policies_of(session).delete("a")
    set_policy(session, TTL, name="c")
