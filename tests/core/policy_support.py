"""What the tests of policies share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.core.support import at
from warren_broker.core.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warren_broker.core.policy import Policies
    from warren_broker.core.session import Session


def policies_of(session: Session) -> Policies:
    return session.vhost.policies


def set_policy(
    session: Session,
    definition: Mapping[str, object],
    pattern: str = "",
    *,
    name: str = "p",
    apply_to: str = "all",
    priority: int = 0,
    is_operator: bool = False,
) -> None:
    """Set a policy, and let it be applied to all there is."""
    policy = Policy.parse(
        name,
        pattern,
        definition,
        apply_to=apply_to,
        priority=priority,
        is_operator=is_operator,
    )
    policies_of(session).set(policy)
    at(session.vhost.broker, session.vhost.broker.now)
