"""The names of queues and exchanges, as clients may give them."""

from __future__ import annotations

import secrets
from typing import Final

from warren.errors import AccessRefused

RESERVED_PREFIX: Final = "amq."


def clean_name(name: str) -> str:
    """Names have no line breaks, as in RabbitMQ: they would forge log lines."""
    return name.replace("\r", "").replace("\n", "")


def check_not_reserved(kind: str, name: str) -> None:
    """Raise AccessRefused for a name that only the broker gives."""
    if name.startswith(RESERVED_PREFIX):
        raise AccessRefused(f"{kind} name '{name}' contains reserved prefix 'amq.*'")


def check_not_default(exchange: str) -> None:
    """Raise AccessRefused for the default exchange, which is as it is."""
    if not exchange:
        raise AccessRefused("operation not permitted on the default exchange")


def new_queue_name() -> str:
    """Return a name for a queue whose client leaves it to the server."""
    return f"amq.gen-{secrets.token_urlsafe(16)}"
