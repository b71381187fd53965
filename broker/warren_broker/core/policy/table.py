"""PolicyTable: the policies of one kind, and which of them holds for a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warren_broker.core.policy.policy import Policy


@final
class PolicyTable:
    """Policies by name. They are in order of priority, the highest first.

    RabbitMQ leaves open which of equal priority comes first; here it is the one whose
    name does.
    """

    __slots__ = ("_by_name", "_ordered")

    def __init__(self) -> None:
        self._by_name: dict[str, Policy] = {}
        self._ordered: tuple[Policy, ...] | None = ()

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[Policy]:
        return iter(self._in_order())

    def __len__(self) -> int:
        return len(self._by_name)

    @property
    def work(self) -> float:
        """The most steps that finding the policy of one name may take."""
        return sum(policy.work for policy in self._by_name.values())

    def put(self, policy: Policy) -> None:
        """Add a policy, or replace the one of its name."""
        self._by_name[policy.name] = policy
        self._ordered = None

    def remove(self, name: str) -> bool:
        """Remove a policy; False if there was none."""
        self._ordered = None
        return self._by_name.pop(name, None) is not None

    def match(self, kind: str, name: str) -> Policy | None:
        """Return the one policy that holds for `name`, see `Policy.matches`."""
        for policy in self._in_order():
            if policy.matches(kind, name):
                return policy
        return None

    def _in_order(self) -> tuple[Policy, ...]:
        if self._ordered is None:
            policies = self._by_name.values()
            self._ordered = tuple(
                sorted(policies, key=lambda each: (-each.priority, each.name))
            )
        return self._ordered
