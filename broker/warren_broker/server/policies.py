"""Policies of the configuration, as the core has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warren_broker.core.administration import Item, PolicyItem
from warren_broker.core.policy import Policy, PolicyError
from warren_broker.server.settings import SettingsError

if TYPE_CHECKING:
    from warren_broker.server.settings import PolicySettings, ServerSettings


def read_policies(settings: ServerSettings) -> list[Item]:
    """Return the policies that `settings` say. Raises SettingsError."""
    policies = [_parse(each, is_operator=False) for each in settings.policies]
    others = [_parse(each, is_operator=True) for each in settings.operator_policies]
    return [*policies, *others]


def _parse(settings: PolicySettings, *, is_operator: bool) -> Item:
    try:
        policy = Policy.parse(
            settings.name,
            settings.pattern,
            settings.definition,
            apply_to=settings.apply_to,
            priority=settings.priority,
            is_operator=is_operator,
        )
    except PolicyError as error:
        kind = "operator policy" if is_operator else "policy"
        place = f"{kind} '{settings.name}' in vhost '{settings.vhost}'"
        raise SettingsError(f"{place}: {error}") from error
    return PolicyItem(settings.vhost, policy)
