"""Configured: what the configuration file says about vhosts, users and policies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from warren_broker.core.administration import describe
from warren_broker.server.accounts import read_users
from warren_broker.server.policies import read_policies
from warren_broker.server.settings import SettingsError

if TYPE_CHECKING:
    from warren_broker.core.administration import Changes, Item
    from warren_broker.core.broker import Broker
    from warren_broker.core.store import Key
    from warren_broker.server.settings import ServerSettings


@attrs.frozen(kw_only=True)
class Configured:
    """Everything of the configuration that a broker can change while it runs."""

    vhosts: tuple[str, ...]
    items: tuple[Item, ...]
    loopback_users: frozenset[str]

    def apply(self, broker: Broker) -> Changes:
        """Let `broker` go by it, in a turn, and by no other configuration.

        Raises SettingsError for an unknown vhost, or more policies than there may be,
        and then nothing has changed.
        """
        try:
            changes = broker.administration.fix(self.vhosts, self.items)
        except ValueError as error:
            raise SettingsError(str(error)) from error
        broker.access.loopback_users = self.loopback_users
        if changes.hidden:
            names = [describe(key) for key in changes.hidden]
            broker.notice("the configuration file wins", over=names)
        return changes


def read_configured(settings: ServerSettings) -> Configured:
    """Return what `settings` say. Any thread may call this. Raises SettingsError."""
    items = [*read_users(settings.auth), *read_policies(settings)]
    seen: set[Key] = set()
    for item in items:
        if item.key in seen:
            raise SettingsError(f"{describe(item.key)}: it is there twice")
        seen.add(item.key)
    for name in settings.auth.vhosts:
        if not name:
            raise SettingsError("auth.vhosts: a vhost has a name")
    return Configured(
        vhosts=settings.auth.vhosts,
        items=tuple(items),
        loopback_users=frozenset(settings.auth.loopback_users),
    )
