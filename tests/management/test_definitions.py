"""Definitions as RabbitMQ's JSON: what is taken of it, what is told, what is given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from warren_broker.core.access import Access, AccountStore, Operation, User
from warren_broker.core.broker import Broker
from warren_broker.management.definitions import (
    DefinitionsError,
    Imported,
    apply_document,
    parse_document,
)
from warren_broker.management.definitions_of import definitions_of

EXPORTED: Final = (Path(__file__).parent / "rabbitmq.json").read_bytes()


def empty() -> Broker:
    return Broker(access=Access(AccountStore()))


def taken(document: object, vhost: str | None = None) -> tuple[Broker, Imported]:
    broker = empty()
    data = parse_document(json.dumps(document).encode())
    return broker, apply_document(broker, data, vhost)


def problem(document: object) -> str:
    with pytest.raises(DefinitionsError) as caught:
        taken(document)
    return str(caught.value)


def test_what_rabbitmq_exports_is_taken() -> None:
    broker, done = taken(json.loads(EXPORTED))
    assert str(done) == (
        "2 vhosts, 2 users, 2 permissions, 1 parameters, 1 policies, 2 queues,"
        " 2 exchanges, 3 bindings"
    )
    access = broker.access
    # The hash of "test12" in RabbitMQ's guide to passwords.
    user = access.authenticate("orders", b"test12", from_loopback=False)
    assert user.tags == {"monitoring"}
    assert access.account("old").password is None
    assert access.account("old").user.tags == {"administrator", "policymaker"}
    assert access.is_allowed(user, "shop", Operation.WRITE, "orders")
    assert not access.is_allowed(user, "shop", Operation.CONFIGURE, "orders")
    assert not access.may_open(user, "/")
    shop = broker.vhosts["shop"]
    rules = shop.queues["orders"].rules
    assert (rules.dead_letter_exchange, rules.message_ttl_ms) == ("dead", 60_000)
    assert (rules.max_length, rules.delivery_limit) == (1000, 5)
    assert rules.queue_type == "quorum"
    assert shop.exchanges["in"].alternate == "dead"
    assert shop.exchanges["in"].is_bound_to(shop.queues["orders"])


def test_what_means_nothing_here_is_told_once() -> None:
    _, done = taken(json.loads(EXPORTED) | {"shovels": []})
    told = (
        "exchanges: the key 'policy'",
        "global_parameters: 'internal_cluster_id'",
        "parameters: the component 'vhost-limits'",
        "shovels: the section",
        "topic_permissions: what user 'orders' may not",
        "users: the key 'limits'",
        "vhosts: the key 'description'",
        "vhosts: the key 'metadata'",
        "vhosts: the key 'tags'",
    )
    times = {"vhosts: the key 'metadata'": " (2 times)"}
    assert done.ignored == tuple(
        f"{line} means nothing here{times.get(line, '')}" for line in told
    )


def test_there_and_back() -> None:
    broker, _ = taken(json.loads(EXPORTED))
    document = definitions_of(broker)
    again, done = taken(document)
    assert done.ignored == ()
    assert definitions_of(again) == document
    expected = json.loads(EXPORTED)
    for section in ("permissions", "bindings"):
        assert sorted(document[section], key=repr) == sorted(
            expected[section], key=repr
        )
    assert document["policies"] == expected["policies"]
    assert document["parameters"] == expected["parameters"][:1]


def test_twice_is_once() -> None:
    broker, first = taken(json.loads(EXPORTED))
    before = definitions_of(broker)
    assert apply_document(broker, parse_document(EXPORTED)).counts == first.counts
    assert definitions_of(broker) == before


def test_what_names_no_vhost_goes_where_it_is_told() -> None:
    queue = {"name": "q", "durable": True, "auto_delete": False, "arguments": {}}
    broker, done = taken({"queues": [queue]}, "mine")
    assert "q" in broker.vhosts["mine"].queues
    assert done.counts == {"vhosts": 1, "queues": 1}
    assert problem({"queues": [queue]}) == "queues[0]: the key 'vhost' is missing"


def test_a_type_beside_the_arguments_counts() -> None:
    queue = {"name": "q", "vhost": "/", "type": "quorum", "durable": True}
    broker, _ = taken({"queues": [queue]})
    assert broker.vhosts["/"].queues["q"].rules.queue_type == "quorum"


def test_a_password_in_clear_is_hashed() -> None:
    broker, _ = taken({"users": [{"name": "u", "password": "p", "tags": []}]})
    assert broker.access.authenticate("u", b"p", from_loopback=True) == User("u")
    (entry,) = definitions_of(broker)["users"]
    assert "password" not in entry


USER: dict[str, Any] = {"name": "u", "password_hash": "", "tags": []}
QUEUE: dict[str, Any] = {"name": "q", "vhost": "/"}
BINDING = {"source": "x", "vhost": "/", "destination": "q", "destination_type": "queue"}
POLICY: dict[str, Any] = {
    "vhost": "/",
    "name": "p",
    "pattern": "",
    "definition": {"max-length": 1},
}


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"users": {}}, "users: this is no list"),
        ({"users": [3]}, "users[0]: this is no object"),
        ({"users": [{}]}, "users[0]: the key 'name' is missing"),
        ({"users": [USER | {"name": 3}]}, "users[0]: name is 3"),
        ({"users": [USER | {"name": ""}]}, "users[0]: a user's name has 1 to 255"),
        ({"users": [USER | {"tags": [3]}]}, "users[0]: tags is [3]"),
        ({"users": [USER | {"password_hash": "x"}]}, "users[0]: a password hash is"),
        (
            {
                "users": [
                    USER
                    | {
                        "password_hash": "x",
                        "hashing_algorithm": "rabbit_password_hashing_md5",
                    }
                ]
            },
            "users[0]: user 'u': rabbit_password_hashing_md5 is not supported",
        ),
        (
            {
                "permissions": [
                    {
                        "user": "u",
                        "vhost": "/",
                        "configure": "",
                        "write": "",
                        "read": "",
                    }
                ]
            },
            "permissions[0]: NOT_FOUND - no user 'u'",
        ),
        ({"policies": [POLICY | {"pattern": "("}]}, "policies[0]: the pattern is no"),
        ({"policies": [POLICY | {"priority": True}]}, "policies[0]: priority is True"),
        ({"policies": [POLICY | {"vhost": "v"}]}, "policies[0]: there is no vhost 'v'"),
        ({"queues": [QUEUE | {"name": "q" * 256}]}, "queues[0]: a name has 1 to 255"),
        ({"queues": [QUEUE | {"arguments": {"x": 2**70}}]}, "queues[0]: "),
        (
            {"queues": [QUEUE | {"arguments": {"x-max-length": -1}}]},
            "queues[0]: PRECONDITION_FAILED - invalid arg 'x-max-length' for queue",
        ),
        (
            {"exchanges": [QUEUE | {"type": "x-unheard-of"}]},
            "exchanges[0]: PRECONDITION_FAILED - unknown exchange type 'x-unheard-of'",
        ),
        (
            {"bindings": [BINDING]},
            "bindings[0]: NOT_FOUND - no exchange 'x' in vhost '/'",
        ),
        (
            {"bindings": [BINDING | {"source": "amq.topic", "destination_type": "x"}]},
            "bindings[0]: destination_type is 'x'",
        ),
    ],
)
def test_what_cannot_be_names_its_place(document: object, text: str) -> None:
    assert problem(document).startswith(text)


def test_all_problems_are_told_but_no_novel() -> None:
    users = [{"name": ""}] * 100
    lines = problem({"users": users, "queues": 3}).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "and 81 more"


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"users": ["\\ud800"]}']
)
def test_what_is_no_document(data: bytes) -> None:
    with pytest.raises(DefinitionsError, match="this is no"):
        parse_document(data)
