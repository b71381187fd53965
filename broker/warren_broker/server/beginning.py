"""Beginning: what a broker has at its start that no client has declared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from warren_broker.management.definitions import (
    DefinitionsError,
    apply_document,
    parse_document,
)
from warren_broker.server.configured import Configured, read_configured
from warren_broker.server.settings import SettingsError

if TYPE_CHECKING:
    from warren_broker.core.broker import Broker
    from warren_broker.server.settings import ServerSettings


@attrs.frozen
class Beginning:
    """What the operator's files say: the configuration, and a file of definitions."""

    configured: Configured
    file: str | None
    document: dict[str, Any] | None

    def load(self, broker: Broker) -> None:
        """Give a broker that has nothing yet what the definitions file has.

        If that names users there is no guest but one of them, as in RabbitMQ. Raises
        SettingsError.
        """
        if self.document is None:
            return
        if self.document.get("users"):
            broker.administration.forget_default()
        try:
            imported = apply_document(broker, self.document)
        except DefinitionsError as error:
            raise SettingsError(f"definitions.file {self.file}: {error}") from error
        for vhost in broker.vhosts.values():
            for queue in vhost.queues.values():
                queue.begin()  # all streams are there
        broker.notice(
            "definitions loaded",
            file=self.file,
            **imported.counts,
            ignored=list(imported.ignored),
        )

    def configure(self, broker: Broker) -> None:
        """Let a broker go by the configuration. Raises SettingsError."""
        self.configured.apply(broker)


def read_beginning(settings: ServerSettings) -> Beginning:
    """Read what `settings` say, and the file they name. Raises SettingsError."""
    configured, file = read_configured(settings), settings.definitions.file
    if file is None:
        return Beginning(configured, None, None)
    try:
        return Beginning(configured, file, parse_document(Path(file).read_bytes()))
    except (OSError, DefinitionsError) as error:
        raise SettingsError(f"definitions.file {file}: {error}") from error
