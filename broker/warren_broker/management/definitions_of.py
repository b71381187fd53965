"""The definitions of a broker, as RabbitMQ's JSON has them.

Everything that survives a restart but messages, and what the configuration file names
as well. Argument values that JSON has no type for become the nearest it has: times are
seconds since 1970, decimals floating point, bytes text.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from warren_broker.core.exchange.predeclared import SYSTEM_EXCHANGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warren_broker.core.access import Account
    from warren_broker.core.broker import Broker
    from warren_broker.core.policy import Policy
    from warren_broker.core.vhost import VHost

    Entry = dict[str, Any]


def definitions_of(broker: Broker) -> dict[str, Any]:
    """Return the document of all that `broker` has."""
    vhosts = list(broker.vhosts.values())
    identity = broker.identity
    return {
        "product_name": identity.product,
        "product_version": identity.version,
        "users": [_user(account) for account in broker.access.accounts()],
        "vhosts": [{"name": vhost.name} for vhost in vhosts],
        "permissions": list(_permissions(broker)),
        "topic_permissions": [],
        "parameters": [each for vhost in vhosts for each in _parameters(vhost)],
        "global_parameters": [],
        "policies": [each for vhost in vhosts for each in _policies(vhost)],
        "queues": [each for vhost in vhosts for each in _queues(vhost)],
        "exchanges": [each for vhost in vhosts for each in _exchanges(vhost)],
        "bindings": [each for vhost in vhosts for each in _bindings(vhost)],
    }


def _user(account: Account) -> Entry:
    entry: Entry = {"name": account.user.name, "password_hash": ""}
    if account.password is not None:
        entry["password_hash"] = account.password.encode()
        entry["hashing_algorithm"] = account.password.algorithm.value
    return {**entry, "tags": sorted(account.user.tags), "limits": {}}


def _permissions(broker: Broker) -> Iterator[Entry]:
    for account in broker.access.accounts():
        name = account.user.name
        for vhost, each in broker.access.permissions(name).items():
            yield {
                "user": name,
                "vhost": vhost,
                "configure": each.configure,
                "write": each.write,
                "read": each.read,
            }


def _parameters(vhost: VHost) -> Iterator[Entry]:
    for policy in vhost.policies.table(is_operator=True):
        yield {
            "vhost": vhost.name,
            "component": "operator_policy",
            "name": policy.name,
            "value": _rules(policy),
        }


def _policies(vhost: VHost) -> Iterator[Entry]:
    for policy in vhost.policies.table():
        yield {"vhost": vhost.name, "name": policy.name, **_rules(policy)}


def _rules(policy: Policy) -> Entry:
    return {
        "pattern": policy.pattern,
        "apply-to": policy.apply_to.value,
        "priority": policy.priority,
        "definition": _as_json(policy.definition),
    }


def _queues(vhost: VHost) -> Iterator[Entry]:
    for queue in vhost.queues.values():
        if queue.durable and queue.owner is None:
            yield {
                "name": queue.name,
                "vhost": vhost.name,
                "durable": True,
                "auto_delete": queue.auto_delete,
                "arguments": _as_json(queue.arguments),
            }


def _exchanges(vhost: VHost) -> Iterator[Entry]:
    for exchange in vhost.exchanges.values():
        if exchange.durable and exchange.name not in SYSTEM_EXCHANGES:
            yield {
                "name": exchange.name,
                "vhost": vhost.name,
                "type": exchange.type,
                "durable": True,
                "auto_delete": exchange.auto_delete,
                "internal": exchange.internal,
                "arguments": _as_json(exchange.arguments),
            }


def _bindings(vhost: VHost) -> Iterator[Entry]:
    for exchange in vhost.exchanges.values():
        if exchange.is_default or not exchange.durable:
            continue
        for binding in exchange.bindings():
            if binding.destination.durable:
                yield {
                    "source": exchange.name,
                    "vhost": vhost.name,
                    "destination": binding.destination.name,
                    "destination_type": binding.destination.kind,
                    "routing_key": binding.key,
                    "arguments": _as_json(binding.arguments),
                }


def _as_json(value: object) -> object:
    if isinstance(value, dict):
        return {key: _as_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_as_json(each) for each in value]
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, datetime):
        return int(value.timestamp())
    return float(value) if isinstance(value, Decimal) else value
