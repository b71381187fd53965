"""FilePolicies: the policies that the configuration says, and what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, final

import attrs

from warren_broker.core.policy import Policy, PolicyError
from warren_broker.server.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warren_broker.core.broker import Broker
    from warren_broker.server.settings import PolicySettings, ServerSettings


class PolicyKey(NamedTuple):
    """By what a policy is known."""

    vhost: str
    is_operator: bool
    name: str

    def __str__(self) -> str:
        kind = "operator policy" if self.is_operator else "policy"
        return f"{kind} '{self.name}' in vhost '{self.vhost}'"


@attrs.frozen(kw_only=True)
class PolicyChanges:
    """What another configuration has changed."""

    added: tuple[PolicyKey, ...]
    changed: tuple[PolicyKey, ...]
    removed: tuple[PolicyKey, ...]


def read_policies(settings: ServerSettings) -> dict[PolicyKey, Policy]:
    """Return the policies that `settings` say. Any thread may call this.

    Raises SettingsError.
    """
    found: dict[PolicyKey, Policy] = {}
    tables = ((False, settings.policies), (True, settings.operator_policies))
    for is_operator, table in tables:
        for each in table:
            key = PolicyKey(each.vhost, is_operator, each.name)
            if key in found:
                raise SettingsError(f"{key}: it is there twice")
            found[key] = _parse(key, each)
    return found


def _parse(key: PolicyKey, settings: PolicySettings) -> Policy:
    try:
        return Policy.parse(
            settings.name,
            settings.pattern,
            settings.definition,
            apply_to=settings.apply_to,
            priority=settings.priority,
            is_operator=key.is_operator,
        )
    except PolicyError as error:
        raise SettingsError(f"{key}: {error}") from error


@final
class FilePolicies:
    """Keeps a broker's policies as the configuration has them; others it lets be."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._policies: Mapping[PolicyKey, Policy] = {}

    def apply(self, new: Mapping[PolicyKey, Policy]) -> PolicyChanges:
        """Set and delete policies, in a turn, so that they are those in `new`.

        Raises SettingsError for an unknown vhost, or more policies than there may be,
        and then nothing has changed.
        """
        old = self._policies
        self._check(new)
        changes = PolicyChanges(
            added=tuple(key for key in new if key not in old),
            changed=tuple(key for key in new if key in old and old[key] != new[key]),
            removed=tuple(key for key in old if key not in new),
        )
        for key in changes.removed:
            policies = self._broker.vhosts[key.vhost].policies
            policies.delete(key.name, is_operator=key.is_operator)
        for key in (*changes.added, *changes.changed):
            self._broker.vhosts[key.vhost].policies.set(new[key])
        self._policies = new
        return changes

    def _check(self, new: Mapping[PolicyKey, Policy]) -> None:
        names: dict[tuple[str, bool], set[str]] = {}
        for key in new:
            if key.vhost not in self._broker.vhosts:
                raise SettingsError(f"{key}: there is no such vhost")
            names.setdefault(key[:2], set()).add(key.name)
        limit = self._broker.limits.policies_max
        for (vhost, is_operator), of_file in names.items():
            table = self._broker.vhosts[vhost].policies.table(is_operator=is_operator)
            others = {
                policy.name
                for policy in table
                if (vhost, is_operator, policy.name) not in self._policies
            }
            count = len(of_file | others)
            if count > limit:
                raise SettingsError(
                    f"policies: {count} in vhost '{vhost}' are more than {limit}"
                )
