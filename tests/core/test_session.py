"""Sessions: who may do what, in which order things are refused, and with what words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.core.support import (
    Channel,
    declare,
    declare_exchange,
    fingerprint,
    message,
    new_broker,
)
from warren.errors import (
    AccessRefused,
    AMQPError,
    NotFound,
    PreconditionFailed,
    ResourceLocked,
)
from warren_broker.core.access import (
    Access,
    AccountStore,
    PasswordHash,
    Permissions,
    User,
)
from warren_broker.core.broker import Broker
from warren_broker.core.reply_to import ReplyQueue
from warren_broker.core.session import QueueSummary, Session

if TYPE_CHECKING:
    from collections.abc import Callable

    Act = Callable[[Session], object]

NOWHERE = "no queue 'none' in vhost '/'"
DEFAULT = "operation not permitted on the default exchange"
DELETE_QUEUE = {"if_unused": False, "if_empty": False}


def refusal(act: Act, session: Session) -> tuple[type[AMQPError], str]:
    """How `act` is refused; nothing may have changed."""
    broker = session.vhost.broker
    before = fingerprint(broker)
    with pytest.raises(AMQPError) as caught:
        act(session)
    assert fingerprint(broker) == before
    return type(caught.value), caught.value.text


# Permissions

ACTS: dict[str, tuple[Act, set[str]]] = {
    # What is done, and what it needs: operation and name.
    "declare a queue": (lambda one: declare(one, "new"), {"configure new"}),
    "declare one with dead letters": (
        lambda one: declare(one, "new", x_dead_letter_exchange="x"),
        {"configure new", "read new", "write x"},
    ),
    "delete a queue": (
        lambda one: one.delete_queue("q", **DELETE_QUEUE),
        {"configure q"},
    ),
    "purge a queue": (lambda one: one.purge_queue("q"), {"read q"}),
    "consume": (lambda one: one.readable_queue("q"), {"read q"}),
    "bind a queue": (
        lambda one: one.bind_queue("q", "x", "", {}),
        {"write q", "read x"},
    ),
    "unbind a queue": (
        lambda one: one.unbind_queue("q", "x", "", {}),
        {"write q", "read x"},
    ),
    "bind an exchange": (
        lambda one: one.bind_exchange("y", "x", "", {}),
        {"write y", "read x"},
    ),
    "unbind an exchange": (
        lambda one: one.unbind_exchange("y", "x", "", {}),
        {"write y", "read x"},
    ),
    "declare an exchange": (
        lambda one: declare_exchange(one, "new"),
        {"configure new"},
    ),
    "declare one with an alternate": (
        lambda one: declare_exchange(one, "new", arguments={"alternate-exchange": "x"}),
        {"configure new", "read new", "write x"},
    ),
    "delete an exchange": (
        lambda one: one.delete_exchange("x", if_unused=False),
        {"configure x"},
    ),
    "publish": (lambda one: one.publish(message("", exchange="x")), {"write x"}),
    "publish to a queue": (lambda one: one.publish(message()), {"write amq.default"}),
    "publish in a transaction": (lambda one: one.check_publish("x"), {"write x"}),
}


def session_with(*rights: str) -> tuple[Access, Session]:
    """A user who may do what `rights` say, among a queue and two exchanges."""
    access = Access(AccountStore())
    access.add_user("u", PasswordHash.of(b"secret"))
    grant(access, *rights)
    broker = Broker(access=access)
    administrator = Session(broker.vhosts["/"], User("root", frozenset()))
    for name in ("x", "y"):
        broker.vhosts["/"].add_exchange(
            name,
            "direct",
            durable=False,
            auto_delete=False,
            internal=False,
            arguments={},
        )
    broker.vhosts["/"].add_queue(
        "q", durable=False, auto_delete=False, owner=None, arguments={}
    )
    assert administrator.exclusive_queues == {}
    return access, Session(broker.vhosts["/"], User("u", frozenset()))


def grant(access: Access, *rights: str) -> None:
    patterns = {
        operation: "|".join(
            f"^{name}$"
            for granted, name in (right.split() for right in rights)
            if granted == operation
        )
        for operation in ("configure", "write", "read")
    }
    access.set_permissions("u", "/", Permissions(**patterns))


@pytest.mark.parametrize("name", ACTS)
def test_each_permission_is_needed_and_all_are_enough(name: str) -> None:
    act, needed = ACTS[name]
    for missing in needed:
        _, session = session_with(*(needed - {missing}))
        kind, text = refusal(act, session)
        operation, resource = missing.split()
        assert kind is AccessRefused
        assert f"{operation} access to " in text
        assert f"'{resource}' in vhost '/' refused for user 'u'" in text
    act(session_with(*needed)[1])


@pytest.mark.parametrize("operation", ["configure", "write", "read"])
def test_any_permission_lets_one_know_what_there_is(operation: str) -> None:
    _, session = session_with(f"{operation} q", f"{operation} x")
    assert session.check_queue("q") == QueueSummary("q", 0, 0)
    session.check_exchange("x")
    for act in (
        lambda one: one.check_queue("hidden"),
        lambda one: one.check_exchange("hidden"),
    ):
        kind, text = refusal(act, session)
        assert kind is AccessRefused
        assert "read access to" in text


def test_a_permission_that_is_taken_away_counts_at_the_next_publish() -> None:
    access, session = session_with("write x")
    session.publish(message("", exchange="x"))
    grant(access, "write y")
    assert refusal(ACTS["publish"][0], session)[0] is AccessRefused
    session.publish(message("", exchange="y"))
    grant(access, "write x")
    session.publish(message("", exchange="x"))


# Refusals, in RabbitMQ's words


@pytest.mark.parametrize(
    ("act", "kind", "text"),
    [
        (
            lambda one: declare(one, "amq.mine"),
            AccessRefused,
            "queue name 'amq.mine' contains reserved prefix 'amq.*'",
        ),
        (
            lambda one: declare_exchange(one, "amq.mine"),
            AccessRefused,
            "exchange name 'amq.mine' contains reserved prefix 'amq.*'",
        ),
        (lambda one: declare_exchange(one, ""), AccessRefused, DEFAULT),
        (lambda one: one.check_exchange(""), AccessRefused, DEFAULT),
        (lambda one: one.delete_exchange("", if_unused=False), AccessRefused, DEFAULT),
        (lambda one: one.bind_queue("q", "", "q", {}), AccessRefused, DEFAULT),
        (lambda one: one.unbind_queue("q", "", "q", {}), AccessRefused, DEFAULT),
        (lambda one: one.bind_exchange("x", "", "q", {}), AccessRefused, DEFAULT),
        (lambda one: one.unbind_exchange("", "x", "q", {}), AccessRefused, DEFAULT),
        (
            lambda one: one.delete_exchange("amq.topic", if_unused=False),
            AccessRefused,
            "deletion of system exchange 'amq.topic' in vhost '/' not allowed",
        ),
        (
            lambda one: one.delete_exchange("x", if_unused=True),
            PreconditionFailed,
            "exchange 'x' in vhost '/' in use",
        ),
        (
            lambda one: one.delete_queue("q", if_unused=True, if_empty=False),
            PreconditionFailed,
            "queue 'q' in vhost '/' in use",
        ),
        (
            lambda one: one.delete_queue("q", if_unused=False, if_empty=True),
            PreconditionFailed,
            "queue 'q' in vhost '/' not empty",
        ),
        (lambda one: one.check_queue("none"), NotFound, NOWHERE),
        (lambda one: one.purge_queue("none"), NotFound, NOWHERE),
        (lambda one: one.bind_queue("none", "x", "", {}), NotFound, NOWHERE),
        (
            lambda one: one.bind_queue("q", "none", "", {}),
            NotFound,
            "no exchange 'none' in vhost '/'",
        ),
        (
            lambda one: one.bind_exchange("none", "x", "", {}),
            NotFound,
            "no exchange 'none' in vhost '/'",
        ),
        (
            lambda one: one.publish(message(exchange="none")),
            NotFound,
            "no exchange 'none' in vhost '/'",
        ),
        (
            lambda one: one.check_publish("amq.rabbitmq.trace"),
            AccessRefused,
            "cannot publish to internal exchange 'amq.rabbitmq.trace' in vhost '/'",
        ),
        (
            lambda one: declare(one, x_max_length=1),
            PreconditionFailed,
            "inequivalent arg 'x-max-length' for queue 'q' in vhost '/':"
            " received the value '1' of type 'signedint' but current is none",
        ),
        (
            lambda one: declare_exchange(one, "x", "topic"),
            PreconditionFailed,
            "inequivalent arg 'type' for exchange 'x' in vhost '/':"
            " received 'topic' but current is 'direct'",
        ),
        (
            lambda one: one.bind_queue("amq.rabbitmq.reply-to", "x", "", {}),
            AccessRefused,
            "cannot bind or unbind to a volatile (direct reply-to) queue",
        ),
    ],
)
def test_what_is_refused(act: Act, kind: type[AMQPError], text: str) -> None:
    _, session = new_broker()
    declare(session)
    declare_exchange(session)
    session.bind_queue("q", "x", "", {})
    Channel(session).consume(prefetch=0)
    session.publish(message())
    assert refusal(act, session) == (kind, text)


def test_what_is_not_there_is_deleted_and_unbound_without_complaint() -> None:
    broker, session = new_broker()
    declare(session)
    before = fingerprint(broker)
    assert session.delete_queue("none", **DELETE_QUEUE) == 0
    session.delete_exchange("none", if_unused=True)
    session.unbind_queue("none", "amq.topic", "", {})
    session.unbind_queue("q", "none", "", {})
    session.unbind_exchange("none", "amq.topic", "", {})
    assert fingerprint(broker) == before


def test_line_breaks_are_taken_out_of_names() -> None:
    _, session = new_broker()
    assert declare(session, "a\r\nb").name == "ab"
    declare_exchange(session, "x\n")
    session.bind_queue("ab\n", "\rx", "k", {})
    assert session.vhost.exchanges["x"].binding_count == 1
    assert session.check_queue("a\nb").name == "ab"


# Exclusive queues


@pytest.mark.parametrize(
    "act",
    [
        declare,
        lambda one: declare(one, exclusive=True),
        lambda one: one.check_queue("q"),
        lambda one: one.readable_queue("q"),
        lambda one: one.delete_queue("q", **DELETE_QUEUE),
        lambda one: one.bind_queue("q", "amq.topic", "", {}),
        lambda one: one.unbind_queue("q", "amq.topic", "", {}),
    ],
)
def test_an_exclusive_queue_is_locked_for_others(act: Act) -> None:
    _, owner = new_broker()
    declare(owner, exclusive=True)
    other = Session(owner.vhost, owner.user)
    kind, text = refusal(act, other)
    assert kind is ResourceLocked
    assert text == (
        "cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be"
        " originally declared on another connection or the exclusive property value"
        " does not match that of the original declaration."
    )
    other.publish(message())
    assert owner.check_queue("q").ready_count == 1


@pytest.mark.parametrize("exclusive", [False, True])
def test_exclusive_must_be_declared_as_it_was(*, exclusive: bool) -> None:
    _, session = new_broker()
    declare(session, exclusive=exclusive)
    declare(session, exclusive=exclusive)
    kind, _ = refusal(lambda one: declare(one, exclusive=not exclusive), session)
    assert kind is ResourceLocked


def test_an_exclusive_queue_is_never_durable_and_goes_with_its_connection() -> None:
    _, session = new_broker()
    queue = declare(session, exclusive=True, durable=True)
    declare(session, "stays")
    declare(session, "deleted", exclusive=True)
    session.delete_queue("deleted", **DELETE_QUEUE)
    assert not queue.durable
    session.close()
    assert list(session.vhost.queues) == ["stays"]


# Direct reply-to


def test_the_pseudo_queue_is_always_there() -> None:
    _, session = new_broker()
    name = "amq.rabbitmq.reply-to"
    assert session.check_queue(name) == QueueSummary(name, 0, 1)
    declared = session.declare_queue(
        name, durable=False, exclusive=False, auto_delete=False, arguments={}
    )
    assert declared == QueueSummary(name, 0, 1)
    kind, _ = refusal(lambda one: one.check_queue(f"{name}.gone"), session)
    assert kind is NotFound


def test_a_reply_reaches_who_waits_for_it_and_nobody_else() -> None:
    _, session = new_broker()
    got: list[bytes] = []
    replies = ReplyQueue(lambda one: got.append(one.body))
    session.vhost.replies[replies.name] = replies
    assert session.check_queue(replies.name) == QueueSummary(replies.name, 0, 1)
    session.publish(message(replies.name, body=b"answer"))
    assert got == [b"answer"]
    del session.vhost.replies[replies.name]
    session.publish(message(replies.name, body=b"late"))
    assert got == [b"answer"]
