"""Policies: what operators say about the queues and exchanges of a virtual host."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from warren_broker.core.arguments.exchange import ALTERNATE_EXCHANGE
from warren_broker.core.arguments.modes import RedeclareMode
from warren_broker.core.lease import LEASE_EXCHANGE
from warren_broker.core.policy.effect import merge, queue_rules
from warren_broker.core.policy.error import PolicyError
from warren_broker.core.policy.policy import EXCHANGE
from warren_broker.core.policy.reapplication import Reapplication
from warren_broker.core.policy.table import PolicyTable

if TYPE_CHECKING:
    from warren_broker.core.exchange import Exchange
    from warren_broker.core.named_queue import NamedQueue
    from warren_broker.core.policy.policy import Policy
    from warren_broker.core.policy.vocabulary import Values
    from warren_broker.core.vhost import VHost


@final
class Policies:
    """The policies and operator policies of one virtual host.

    What is declared is given its rules at once; when policies change, all that is
    there is given new ones by and by. Permissions do not matter here, as in RabbitMQ:
    only an operator can set a policy.
    """

    __slots__ = ("_operator", "_reapplication", "_regular", "_vhost")

    def __init__(self, vhost: VHost) -> None:
        self._vhost = vhost
        self._regular = PolicyTable()
        self._operator = PolicyTable()
        self._reapplication = Reapplication(vhost, self)

    # Changing

    def table(self, *, is_operator: bool = False) -> PolicyTable:
        """Return the policies, or the operator policies. Change them here only."""
        return self._operator if is_operator else self._regular

    @property
    def work(self) -> float:
        """The most steps that finding what holds for one name may take."""
        return self._regular.work + self._operator.work

    def set(self, policy: Policy) -> None:
        """Add a policy, or replace the one of its kind and name.

        Raises PolicyError if there are as many as there may be.
        """
        table = self.table(is_operator=policy.is_operator)
        limit = self._vhost.broker.limits.policies_max
        if policy.name not in table and len(table) >= limit:
            raise PolicyError(
                f"policy limit ({limit}) in vhost '{self._vhost.name}' is reached"
            )
        table.put(policy)
        self._reapplication.start()

    def delete(self, name: str, *, is_operator: bool = False) -> bool:
        """Delete a policy; False if there was none."""
        is_there = self.table(is_operator=is_operator).remove(name)
        if is_there:
            self._reapplication.start()
        return is_there

    def close(self) -> None:
        """The virtual host is deleted."""
        self._reapplication.close()

    # Applying

    def apply_to_queue(self, queue: NamedQueue) -> bool:
        """Give `queue` the rules that hold for it now; return True if they are new."""
        values = self._values(queue.declared.queue_type, queue.name)
        rules = queue_rules(queue.declared, queue.arguments, values)
        if rules == queue.rules:
            return False
        queue.apply_rules(rules)
        return True

    def apply_to_exchange(self, exchange: Exchange) -> bool:
        """Give `exchange` the rules that hold for it now; return True if new.

        The default exchange has none, as in RabbitMQ; nor has that of leases.
        """
        if exchange.is_default or exchange.name == LEASE_EXCHANGE:
            return False
        rules = {**self._values(EXCHANGE, exchange.name)}
        if ALTERNATE_EXCHANGE in exchange.arguments:
            rules["alternate_exchange"] = exchange.arguments[ALTERNATE_EXCHANGE]
        alternate = _text(rules.get("alternate_exchange"))
        header = _text(rules.get("deliver_at_header"))
        if (alternate, header) == (exchange.alternate, exchange.deliver_at_header):
            return False
        exchange.alternate, exchange.deliver_at_header = alternate, header
        self._vhost.generation += 1  # the routes that are remembered end elsewhere
        return True

    def redeclare_mode_of(self, exchange: Exchange) -> RedeclareMode | None:
        """Return what is to happen when `exchange` is declared with other arguments."""
        mode = self._values(EXCHANGE, exchange.name).get("redeclare_mode")
        return mode if isinstance(mode, RedeclareMode) else None

    def _values(self, kind: str, name: str) -> Values:
        policy = self._regular.match(kind, name)
        operator_policy = self._operator.match(kind, name)
        return merge(
            {} if policy is None else policy.values,
            {} if operator_policy is None else operator_policy.values,
        )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
