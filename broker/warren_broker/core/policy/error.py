"""PolicyError: a policy cannot be as it was written."""

from __future__ import annotations


class PolicyError(ValueError):
    """The text says what is wrong, in RabbitMQ's words where it has some."""
