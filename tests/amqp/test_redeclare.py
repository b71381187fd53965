"""Declaring again with other arguments: by mode, with codes and texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.amqp.fingerprint import fingerprint, topology
from tests.pairs import RawClient, World
from warren.wire.methods import (
    BasicGet,
    BasicGetOk,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ExchangeDeclare,
    ExchangeDeclareOk,
    Method,
    QueueBind,
    QueueDeclare,
    QueueDeclareOk,
)
from warren_broker.core.access import Access, AccountStore, PasswordHash, Permissions
from warren_broker.core.arguments import RedeclareMode
from warren_broker.core.arguments.equivalence import MUTABLE_KEYS
from warren_broker.core.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warren.wire.table import Table
    from warren_broker.core.queue import Queue

STRICT, ACCEPT, MIGRATE = RedeclareMode
MODES = [STRICT, ACCEPT, MIGRATE]
TYPED = "received {} but current is {}"


def world(mode: RedeclareMode = STRICT) -> tuple[World, RawClient]:
    world = World()
    world.broker.redeclare_mode = mode
    return world, world.open()


def declare(arguments: Mapping[str, object] | None = None, **more: bool) -> Method:
    table: Table = dict(arguments or {})  # type: ignore[arg-type]
    return QueueDeclare(queue="q", arguments=table, **more)


def declare_exchange(
    arguments: Mapping[str, object] | None = None, name: str = "x", **more: object
) -> Method:
    table: Table = dict(arguments or {})  # type: ignore[arg-type]
    properties = {"type": "direct"} | more
    return ExchangeDeclare(exchange=name, arguments=table, **properties)  # type: ignore[arg-type]


def queue_of(world: World) -> Queue:
    return world.broker.vhosts["/"].queues["q"]


def refused(world: World, client: RawClient, method: Method) -> tuple[int, str]:
    """Code and text of a refusal, which changes nothing; the channel is open again."""
    before = fingerprint(world.broker)
    answer = client.ask(method)
    assert isinstance(answer, ChannelClose)
    assert fingerprint(world.broker) == before
    client.call(ChannelCloseOk(), ChannelOpen())
    return answer.reply_code, answer.reply_text


def inequivalent(key: str, values: str, subject: str = "queue 'q'") -> tuple[int, str]:
    text = f"inequivalent arg '{key}' for {subject} in vhost '/': {values}"
    return 406, f"PRECONDITION_FAILED - {text}"


def notices(world: World) -> list[Mapping[str, object]]:
    return [
        notice.fields
        for notice in world.broker.take_notices()
        if notice.event == "redeclared with other arguments"
    ]


# Queues

ASKED: list[tuple[Mapping[str, object], Mapping[str, object], str, str]] = [
    # Declared, declared again; the key that differs, and how.
    (
        {},
        {"x-max-length": 5},
        "x-max-length",
        TYPED.format("the value '5' of type 'signedint'", "none"),
    ),
    (
        {"x-message-ttl": 5},
        {},
        "x-message-ttl",
        TYPED.format("none", "the value '5' of type 'signedint'"),
    ),
    (
        {"x-max-length": 5, "x-overflow": "drop-head"},
        {"x-max-length": 5, "x-overflow": "reject-publish"},
        "x-overflow",
        TYPED.format("'reject-publish'", "'drop-head'"),
    ),
    (
        {"x-queue-mode": "lazy"},
        {},
        "x-queue-mode",
        TYPED.format("none", "the value 'lazy' of type 'longstr'"),
    ),
]


@pytest.mark.parametrize(("first", "second", "key", "values"), ASKED)
def test_strict_refuses_it(
    first: Mapping[str, object], second: Mapping[str, object], key: str, values: str
) -> None:
    world_, client = world()
    client.ask(declare(first))
    assert refused(world_, client, declare(second)) == inequivalent(key, values)


@pytest.mark.parametrize(("first", "second", "key", "values"), ASKED)
def test_accept_changes_nothing_and_says_so_once(
    first: Mapping[str, object], second: Mapping[str, object], key: str, values: str
) -> None:
    world_, client = world(ACCEPT)
    client.ask(declare(first))
    before = topology(world_.broker)
    for _ in range(3):
        assert client.ask(declare(second)) == QueueDeclareOk("q", 0, 0)
    assert topology(world_.broker) == before
    (fields,) = notices(world_)
    assert fields == {
        "vhost": "/",
        "kind": "queue",
        "name": "q",
        "difference": inequivalent(key, values)[1].partition(" - ")[2],
    }


def test_accept_takes_any_difference_but_of_the_owner() -> None:
    world_, client = world(ACCEPT)
    client.ask(declare())
    others = declare({"x-max-priority": 3, "x-queue-type": "quorum"}, durable=True)
    assert client.ask(others) == QueueDeclareOk("q", 0, 0)
    assert not queue_of(world_).durable
    code, text = refused(world_, client, declare(exclusive=True))
    assert code == 405
    assert text.startswith("RESOURCE_LOCKED - cannot obtain exclusive access to locked")


@pytest.mark.parametrize(("first", "second", "key", "values"), ASKED)
def test_migrate_makes_it_what_is_asked_for(
    first: Mapping[str, object], second: Mapping[str, object], key: str, values: str
) -> None:
    world_, client = world(MIGRATE)
    client.ask(declare(first))
    assert client.ask(declare(second)) == QueueDeclareOk("q", 0, 0)
    queue = queue_of(world_)
    assert queue.arguments == second
    assert queue.rules == queue.declared
    assert notices(world_) == []
    world_.broker.redeclare_mode = STRICT
    assert client.ask(declare(second)) == QueueDeclareOk("q", 0, 0)
    assert refused(world_, client, declare(first))[0] == 406


def test_migrate_acts_on_what_is_in_the_queue() -> None:
    world_, client = world(MIGRATE)
    client.ask(declare())
    client.publish("q", b"1", b"2", b"3")
    assert client.ask(declare({"x-max-length": 1})) == QueueDeclareOk("q", 1, 0)
    client.publish("q", b"4")
    assert isinstance(client.ask(BasicGet(queue="q", no_ack=True)), BasicGetOk)
    assert queue_of(world_).backlog.count == 0


@pytest.mark.parametrize(
    ("method", "key", "values"),
    [
        (declare(durable=True), "durable", "'true' but current is 'false'"),
        (declare(auto_delete=True), "auto_delete", "'true' but current is 'false'"),
        *(
            (
                declare({"x-max-length": 5, key: value}),
                key,
                f"the value '{shown}' of type '{kind}' but current is none",
            )
            for key, value, shown, kind in (
                ("x-max-priority", 5, "5", "signedint"),
                ("x-queue-type", "quorum", "quorum", "longstr"),
                ("x-single-active-consumer", True, "true", "bool"),
                ("x-group-by", "routing-key", "routing-key", "longstr"),
                ("x-message-deduplication", True, "true", "bool"),
                ("x-unique-mode", "drop", "drop", "longstr"),
                ("x-cache-size", 5, "5", "signedint"),
            )
        ),
    ],
)
def test_migrate_refuses_what_cannot_change(
    method: Method, key: str, values: str
) -> None:
    world_, client = world(MIGRATE)
    client.ask(declare())
    expected = inequivalent(key, f"received {values}")
    assert refused(world_, client, method) == expected


def test_migrate_is_no_way_around_the_owner() -> None:
    world_, client = world(MIGRATE)
    client.ask(declare(exclusive=True))
    other = world_.open()
    assert refused(world_, other, declare({"x-max-length": 1}))[0] == 405
    assert refused(world_, client, declare({"x-max-length": 1}))[0] == 405


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"x-max-length": -1}, "'x-max-length' for {}: {{value_negative,-1}}"),
        ({"x-overflow": "fall"}, "'x-overflow' for {}: invalid_overflow"),
        (
            {"x-dead-letter-routing-key": "k"},
            "'x-dead-letter-routing-key' for {}: routing_key_but_no_dlx_defined",
        ),
    ],
)
def test_migrate_checks_what_is_new(
    arguments: Mapping[str, object], reason: str
) -> None:
    world_, client = world(MIGRATE)
    client.ask(declare({"x-message-ttl": 10}))
    text = reason.format("queue 'q' in vhost '/'")
    assert refused(world_, client, declare(arguments)) == (
        406,
        f"PRECONDITION_FAILED - invalid arg {text}",
    )


usable = st.fixed_dictionaries(
    {},
    optional={
        "x-max-length": st.integers(1, 3),
        "x-message-ttl": st.integers(1, 3),
        "x-max-priority": st.integers(1, 2),
        "x-dead-letter-exchange": st.sampled_from(["a", "b"]),
        "x-queue-mode": st.just("lazy"),
        "mine": st.integers(1, 2),
    },
)


@given(first=usable, second=usable, mode=st.sampled_from(MODES))
def test_what_a_declare_does_by_mode(
    first: dict[str, object], second: dict[str, object], mode: RedeclareMode
) -> None:
    world_, client = world(mode)
    client.ask(declare(first))
    differing = {
        key for key in {*first, *second} - {"mine"} if first.get(key) != second.get(key)
    }
    if not differing or mode is ACCEPT:
        expected = True, first
    elif mode is MIGRATE and differing <= MUTABLE_KEYS:
        expected = True, second
    else:
        expected = False, first
    answer = client.ask(declare(second))
    assert isinstance(answer, QueueDeclareOk if expected[0] else ChannelClose)
    assert queue_of(world_).arguments == expected[1]


# Who says the mode


@pytest.mark.parametrize("mode", MODES)
def test_the_argument_of_the_first_declare_goes_before_all(mode: RedeclareMode) -> None:
    world_, client = world(mode)
    client.ask(declare({"x-redeclare-mode": "migrate"}))
    wanted = {"x-redeclare-mode": "strict", "x-max-length": 3}
    assert client.ask(declare(wanted)) == QueueDeclareOk("q", 0, 0)
    assert refused(world_, client, declare()) == inequivalent(
        "x-max-length",
        TYPED.format("none", "the value '3' of type 'signedint'"),
    )


def test_who_comes_second_cannot_choose() -> None:
    world_, client = world()
    client.ask(declare())
    code, _ = refused(world_, client, declare({"x-redeclare-mode": "migrate"}))
    assert code == 406


def test_a_policy_goes_before_the_broker() -> None:
    world_, client = world()
    client.ask(declare())
    client.ask(declare_exchange())
    definition = {"redeclare-mode": "migrate", "message-ttl": 7}
    policies = world_.broker.vhosts["/"].policies
    policies.set(Policy.parse("p", "^(q|x)$", definition))
    world_.advance(0)
    asked = {"x-message-ttl": 9, "x-max-length": 3}
    assert client.ask(declare(asked)) == QueueDeclareOk("q", 0, 0)
    rules = queue_of(world_).rules
    assert (rules.message_ttl_ms, rules.max_length) == (7, 3)
    alternate = declare_exchange({"alternate-exchange": "amq.fanout"})
    assert client.ask(alternate) == ExchangeDeclareOk()
    policies.delete("p")
    world_.advance(0)
    assert queue_of(world_).rules.message_ttl_ms == 9
    assert refused(world_, client, declare())[0] == 406
    assert refused(world_, client, declare_exchange())[0] == 406


# Rights


def limited_world() -> tuple[World, RawClient]:
    """A user who may do anything with `q` and `x`, and write to `open` besides."""
    access = Access(AccountStore())
    access.add_user("u", PasswordHash.of(b"secret"))
    permissions = Permissions(configure="^[qx]$", write="^(q|x|open)$", read="^[qx]$")
    access.set_permissions("u", "/", permissions)
    world = World(access=access)
    world.broker.redeclare_mode = MIGRATE
    return world, world.open(login=b"\0u\0secret")


@pytest.mark.parametrize(
    ("key", "again"),
    [
        ("x-dead-letter-exchange", declare),
        ("alternate-exchange", declare_exchange),
    ],
)
def test_migrate_needs_the_rights_of_a_first_declare(key: str, again: object) -> None:
    assert callable(again)
    world_, client = limited_world()
    client.ask(again())
    assert refused(world_, client, again({key: "closed"})) == (
        403,
        "ACCESS_REFUSED - write access to exchange 'closed' in vhost '/'"
        " refused for user 'u'",
    )
    assert not isinstance(client.ask(again({key: "open"})), ChannelClose)
    # What is kept is not asked for.
    world_.broker.access.set_permissions(
        "u", "/", Permissions(configure="^[qx]$", write="^[qx]$", read="^[qx]$")
    )
    changed = {key: "open", "x-max-length": 5}
    assert not isinstance(client.ask(again(changed)), ChannelClose)


def test_another_routing_key_needs_the_rights_for_the_same_exchange() -> None:
    """With another key, what is given up goes where the user may not write."""
    world_, client = limited_world()
    names = "x-dead-letter-exchange", "x-dead-letter-routing-key"
    before, after = (dict(zip(names, ("open", key), strict=True)) for key in "ab")
    client.ask(declare(before))
    world_.broker.access.set_permissions(
        "u", "/", Permissions(configure="^[qx]$", write="^[qx]$", read="^[qx]$")
    )
    assert refused(world_, client, declare(after)) == (
        403,
        "ACCESS_REFUSED - write access to exchange 'open' in vhost '/'"
        " refused for user 'u'",
    )
    assert not isinstance(client.ask(declare(before)), ChannelClose)


# Exchanges


def test_an_exchange_is_accepted_as_it_is() -> None:
    world_, client = world(ACCEPT)
    client.ask(declare_exchange())
    before = topology(world_.broker)
    for _ in range(2):
        other = declare_exchange({"alternate-exchange": "a"}, type="topic")
        assert client.ask(other) == ExchangeDeclareOk()
    assert topology(world_.broker) == before
    (fields,) = notices(world_)
    assert (fields["kind"], fields["name"]) == ("exchange", "x")


def test_the_alternate_of_an_exchange_migrates() -> None:
    world_, client = world(MIGRATE)
    client.ask(declare_exchange())
    client.ask(declare())
    client.ask(QueueBind(queue="q", exchange="amq.fanout"))
    client.publish("k", b"1", exchange="x")
    alternate = {"alternate-exchange": "amq.fanout"}
    assert client.ask(declare_exchange(alternate)) == ExchangeDeclareOk()
    client.publish("k", b"2", exchange="x")
    assert client.ask(declare_exchange()) == ExchangeDeclareOk()
    client.publish("k", b"3", exchange="x")
    assert queue_of(world_).backlog.count == 1


@pytest.mark.parametrize(
    ("changes", "key", "values"),
    [
        ({"type": "topic"}, "type", "received 'topic' but current is 'direct'"),
        ({"durable": True}, "durable", "received 'true' but current is 'false'"),
        ({"internal": True}, "internal", "received 'true' but current is 'false'"),
    ],
)
def test_what_of_an_exchange_cannot_change(
    changes: Mapping[str, object], key: str, values: str
) -> None:
    world_, client = world(MIGRATE)
    client.ask(declare_exchange())
    again = declare_exchange({"alternate-exchange": "a"}, **changes)
    expected = inequivalent(key, values, "exchange 'x'")
    assert refused(world_, client, again) == expected


@pytest.mark.parametrize("mode", MODES)
def test_an_exchange_of_the_broker_stays_as_it_is(mode: RedeclareMode) -> None:
    world_, client = world(mode)
    again = declare_exchange({"alternate-exchange": "a"}, "amq.direct", durable=True)
    assert refused(world_, client, again) == inequivalent(
        "alternate-exchange",
        TYPED.format("the value 'a' of type 'longstr'", "none"),
        "exchange 'amq.direct'",
    )
