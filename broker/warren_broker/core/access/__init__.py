"""Users and permissions: who somebody is, and what they may do."""

from __future__ import annotations

from warren_broker.core.access.access import Access, account_of, check_user_id
from warren_broker.core.access.account import (
    Account,
    AccountStore,
    Grants,
    Operation,
    Permissions,
    User,
)
from warren_broker.core.access.password import HashAlgorithm, PasswordHash
from warren_broker.core.access.pattern import compile_pattern
from warren_broker.core.access.throttle import LoginThrottle

__all__ = [
    "Access",
    "Account",
    "AccountStore",
    "Grants",
    "HashAlgorithm",
    "LoginThrottle",
    "Operation",
    "PasswordHash",
    "Permissions",
    "User",
    "account_of",
    "check_user_id",
    "compile_pattern",
]
