"""Administration: virtual hosts, users, permissions, policies."""

from __future__ import annotations

from warren_broker.core.administration.administration import Administration, Changes
from warren_broker.core.administration.items import (
    Item,
    PermissionItem,
    PolicyItem,
    UserItem,
    describe,
)

__all__ = [
    "Administration",
    "Changes",
    "Item",
    "PermissionItem",
    "PolicyItem",
    "UserItem",
    "describe",
]
