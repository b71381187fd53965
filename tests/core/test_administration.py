"""Administration: commands, the configuration file, and which of them holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.core.support import message
from warren.errors import AccessRefused, NotFound, PreconditionFailed
from warren_broker.core.access import (
    Access,
    AccountStore,
    PasswordHash,
    Permissions,
    User,
    account_of,
)
from warren_broker.core.administration import PermissionItem, PolicyItem, UserItem
from warren_broker.core.broker import Broker
from warren_broker.core.limits import Limits
from warren_broker.core.policy import Policy, PolicyError
from warren_broker.core.session import Session
from warren_broker.core.sessions import SessionHolder

if TYPE_CHECKING:
    from collections.abc import Callable

ALL = Permissions(configure=".*", write=".*", read=".*")
NOTHING = Permissions(configure="", write="", read="")
SECRET = PasswordHash.of(b"secret")
OTHER = PasswordHash.of(b"other")


def user_item(name: str, password: PasswordHash | None = SECRET) -> UserItem:
    return UserItem(account_of(name, password, ()))


def policy(name: str, limit: int, *, is_operator: bool = False) -> Policy:
    return Policy.parse(name, "", {"max-length": limit}, is_operator=is_operator)


def names(broker: Broker) -> list[str]:
    return sorted(account.user.name for account in broker.access.accounts())


def max_length(broker: Broker, vhost: str = "/") -> int | None:
    """What holds for a queue that is declared now."""
    queue = broker.vhosts[vhost].add_queue(
        "probe", durable=False, auto_delete=False, owner=None, arguments={}
    )
    broker.vhosts[vhost].drop_queue(queue)
    return queue.rules.max_length


class Remembering(SessionHolder):
    def __init__(self) -> None:
        self.reasons: list[str] = []

    def on_evicted(self, reason: str) -> None:
        self.reasons.append(reason)


def enter(broker: Broker, user: str, vhost: str) -> Remembering:
    holder = Remembering()
    broker.sessions.add(Session(broker.vhosts[vhost], User(user)), holder)
    return holder


# Users


def test_a_user_is_added_changed_and_deleted() -> None:
    broker = Broker()
    door = broker.administration
    door.put_user("u", SECRET, ["monitoring"])
    door.set_permissions("u", "/", ALL)
    user = broker.access.authenticate("u", b"secret", from_loopback=False)
    assert user.tags == {"monitoring"}
    assert broker.access.may_open(user, "/")
    door.set_password("u", OTHER)
    door.set_tags("u", ["administrator"])
    user = broker.access.authenticate("u", b"other", from_loopback=False)
    assert user.is_administrator
    assert broker.access.may_open(user, "/"), "permissions stay"
    door.clear_permissions("u", "/")
    assert not broker.access.may_open(user, "/")
    door.delete_user("u")
    with pytest.raises(AccessRefused):
        broker.access.authenticate("u", b"other", from_loopback=False)


def test_who_is_deleted_must_leave_and_others_stay() -> None:
    broker = Broker()
    broker.administration.put_user("u", SECRET)
    gone, stays = enter(broker, "u", "/"), enter(broker, "guest", "/")
    broker.administration.delete_user("u")
    assert gone.reasons == ["user 'u' is deleted"]
    assert stays.reasons == []


def test_permissions_of_a_deleted_user_are_not_those_of_the_next() -> None:
    broker = Broker()
    door = broker.administration
    door.put_user("u", SECRET)
    door.set_permissions("u", "/", ALL)
    door.delete_user("u")
    door.put_user("u", SECRET)
    assert broker.access.permissions("u") == {}


def test_guest_stays_with_the_first_user_and_can_be_deleted() -> None:
    broker = Broker()
    broker.administration.put_user("u", SECRET)
    assert names(broker) == ["guest", "u"]
    assert broker.access.may_open(User("guest"), "/")
    broker.administration.delete_user("guest")
    assert names(broker) == ["u"]


# Virtual hosts


def test_a_vhost_goes_with_all_that_is_in_it() -> None:
    broker = Broker()
    door = broker.administration
    assert door.create_vhost("v")
    assert not door.create_vhost("v")
    door.set_permissions("guest", "v", ALL)
    door.set_policy("v", policy("p", 3))
    vhost = broker.vhosts["v"]
    queue = vhost.add_queue(
        "q", durable=True, auto_delete=False, owner=None, arguments={}
    )
    exchange = vhost.add_exchange(
        "x", "fanout", durable=True, auto_delete=True, internal=False, arguments={}
    )
    vhost.bind(exchange, queue, "", {})
    vhost.publish(message("q"))
    holder, other = enter(broker, "guest", "v"), enter(broker, "guest", "/")
    door.delete_vhost("v")
    assert "v" not in broker.vhosts
    assert queue.is_deleted
    assert queue.backlog.count == 0
    assert holder.reasons == ["vhost 'v' is deleted"]
    assert other.reasons == []
    assert not broker.access.may_open(User("guest"), "v")
    broker.on_deadline(broker.now + 1)
    assert len(broker.deadlines) == 0, "nothing is left that wants to be told"
    door.create_vhost("v")
    assert max_length(broker, "v") is None
    assert not broker.access.may_open(User("guest"), "v")


# Policies


def test_a_policy_is_set_and_deleted() -> None:
    broker = Broker()
    door = broker.administration
    door.set_policy("/", policy("p", 3))
    door.set_policy("/", policy("p", 2, is_operator=True))
    assert max_length(broker) == 2
    door.delete_policy("/", "p", is_operator=True)
    assert max_length(broker) == 3
    door.delete_policy("/", "p")
    assert max_length(broker) is None


def test_policies_are_limited_a_vhost_and_kind() -> None:
    broker = Broker(Limits(policies_max=1))
    door = broker.administration
    door.create_vhost("v")
    door.set_policy("/", policy("p", 1))
    door.set_policy("/", policy("p", 2))
    door.set_policy("/", policy("o", 1, is_operator=True))
    door.set_policy("v", policy("q", 1))
    with pytest.raises(PolicyError, match=r"limit \(1\) in vhost '/' is reached"):
        door.set_policy("/", policy("q", 1))


# Refused


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (lambda door: door.create_vhost(""), ValueError),
        (lambda door: door.create_vhost("v" * 256), ValueError),
        (lambda door: door.delete_vhost("no"), NotFound),
        (lambda door: door.put_user("", SECRET), ValueError),
        (lambda door: door.put_user("u", SECRET, map(str, range(99))), ValueError),
        (lambda door: door.delete_user("no"), NotFound),
        (lambda door: door.set_password("no", SECRET), NotFound),
        (lambda door: door.set_tags("no", []), NotFound),
        (lambda door: door.set_permissions("no", "/", ALL), NotFound),
        (lambda door: door.set_permissions("guest", "no", ALL), NotFound),
        (
            lambda door: door.set_permissions(
                "guest", "/", Permissions(configure="(", write="", read="")
            ),
            ValueError,
        ),
        (lambda door: door.clear_permissions("no", "/"), NotFound),
        (lambda door: door.clear_permissions("guest", "no"), NotFound),
        (lambda door: door.clear_permissions("u", "/"), NotFound),
        (lambda door: door.set_policy("no", policy("p", 1)), NotFound),
        (lambda door: door.delete_policy("/", "no"), NotFound),
    ],
)
def test_what_cannot_be_changes_nothing(
    command: Callable[[object], None], error: type[Exception]
) -> None:
    broker = Broker()
    broker.administration.put_user("u", SECRET)
    before = (names(broker), list(broker.vhosts), broker.access.generation)
    with pytest.raises(error):
        command(broker.administration)
    assert (names(broker), list(broker.vhosts), broker.access.generation) == before


# The configuration file


def test_the_file_wins_and_what_it_hid_comes_back() -> None:
    broker = Broker()
    door = broker.administration
    door.put_user("u", OTHER)
    door.set_policy("/", policy("p", 1))
    mine, rules = user_item("u"), PolicyItem("/", policy("p", 7))
    changes = door.fix(["/"], [mine, rules])
    assert changes.hidden == (mine.key, rules.key)
    assert broker.access.authenticate("u", b"secret", from_loopback=False)
    assert max_length(broker) == 7
    changes = door.fix(["/"], [])
    assert changes.removed == (mine.key, rules.key)
    assert broker.access.authenticate("u", b"other", from_loopback=False)
    assert max_length(broker) == 1


def test_what_the_file_says_no_command_changes() -> None:
    broker = Broker()
    door = broker.administration
    door.fix(
        ["/", "v"],
        [
            user_item("u"),
            PermissionItem("u", "v", NOTHING),
            PolicyItem("v", policy("p", 1)),
        ],
    )
    for command in (
        lambda: door.delete_vhost("v"),
        lambda: door.put_user("u", OTHER),
        lambda: door.set_password("u", OTHER),
        lambda: door.set_tags("u", ["administrator"]),
        lambda: door.delete_user("u"),
        lambda: door.set_permissions("u", "v", ALL),
        lambda: door.clear_permissions("u", "v"),
        lambda: door.set_policy("v", policy("p", 2)),
        lambda: door.delete_policy("v", "p"),
    ):
        with pytest.raises(PreconditionFailed, match="in the configuration file"):
            command()
    assert broker.access.permissions("u") == {"v": NOTHING}
    door.set_permissions("u", "/", ALL)
    assert broker.access.permissions("u") == {"v": NOTHING, "/": ALL}


def test_a_vhost_with_something_of_the_file_stays() -> None:
    broker = Broker()
    broker.administration.create_vhost("v")
    broker.administration.fix(["/"], [PolicyItem("v", policy("p", 1))])
    with pytest.raises(PreconditionFailed, match="policy 'p' in vhost 'v' is set in"):
        broker.administration.delete_vhost("v")
    assert "v" in broker.vhosts


def test_a_vhost_that_the_file_names_no_more_stays() -> None:
    broker = Broker()
    broker.administration.fix(["/", "v"], [])
    broker.administration.fix(["/"], [])
    assert "v" in broker.vhosts
    broker.administration.delete_vhost("v")
    assert "v" not in broker.vhosts


def test_with_users_in_the_file_there_is_no_guest_until_they_go() -> None:
    broker = Broker()
    holder = enter(broker, "guest", "/")
    broker.administration.fix(["/"], [user_item("u")])
    assert names(broker) == ["u"]
    assert holder.reasons == ["user 'guest' is deleted"]
    broker.administration.fix(["/"], [])
    assert names(broker) == ["guest"]
    assert broker.access.may_open(User("guest"), "/")


def test_permissions_wait_for_a_user_whom_the_file_names_again() -> None:
    """But whoever is given the name by command is somebody else."""
    broker = Broker(access=Access(AccountStore()))
    door = broker.administration
    door.create_vhost("v")
    door.fix(["/"], [user_item("u")])
    door.set_permissions("u", "v", ALL)
    door.fix(["/"], [])
    assert names(broker) == []
    door.fix(["/"], [user_item("u")])
    assert broker.access.permissions("u") == {"v": ALL}
    door.fix(["/"], [])
    door.put_user("u", OTHER)
    assert broker.access.permissions("u") == {}


def test_a_file_that_cannot_be_changes_nothing() -> None:
    broker = Broker(Limits(policies_max=1))
    door = broker.administration
    door.fix(["/"], [user_item("u")])
    for items in (
        [PolicyItem("no", policy("p", 1))],
        [PermissionItem("u", "no", ALL)],
        [PolicyItem("/", policy("p", 1)), PolicyItem("/", policy("q", 1))],
    ):
        with pytest.raises(ValueError, match="vhost"):
            door.fix(["/", "new"], items)
        assert names(broker) == ["u"]
        assert "new" not in broker.vhosts
