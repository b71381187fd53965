"""Policies: rules for queues and exchanges that operators set and change."""

from __future__ import annotations

from warren_broker.core.policy.error import PolicyError
from warren_broker.core.policy.policies import Policies
from warren_broker.core.policy.policy import ApplyTo, Policy
from warren_broker.core.policy.table import PolicyTable

__all__ = [
    "ApplyTo",
    "Policies",
    "Policy",
    "PolicyError",
    "PolicyTable",
]
