"""ClientInfo: what a client says of itself in connection.start-ok."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME_SIZE_MAX: Final = 255


@frozen
class ClientInfo:
    """A client's properties, and which of RabbitMQ's extensions it can hear.

    Attributes:
        hears_blocked: connection.blocked and unblocked.
        hears_cancel: basic.cancel from the server.
        hears_refusal: connection.close for a refused login.
    """

    properties: Mapping[str, object] = field(factory=dict)
    hears_blocked: bool = False
    hears_cancel: bool = False
    hears_refusal: bool = False

    @property
    def connection_name(self) -> str | None:
        """What the client calls the connection, if anything, and not all of a novel."""
        name = self.properties.get("connection_name")
        return name[:NAME_SIZE_MAX] if isinstance(name, str) else None

    @classmethod
    def read(cls, properties: Mapping[str, object]) -> Self:
        """Read client properties; a peer may have put anything there."""
        capabilities = properties.get("capabilities")
        heard = capabilities if isinstance(capabilities, dict) else {}
        return cls(
            properties,
            hears_blocked=heard.get("connection.blocked") is True,
            hears_cancel=heard.get("consumer_cancel_notify") is True,
            hears_refusal=heard.get("authentication_failure_close") is True,
        )
