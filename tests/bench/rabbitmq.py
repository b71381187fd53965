"""RabbitMQ beside Warren: a node of its own that touches no other on the machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import ClassVar, Final

from tests.bench.broker import Spawned, free_port, speaks_amqp
from tests.bench.errors import BenchError

# Debian's /usr/sbin/rabbitmq-server insists on the user rabbitmq and writes to /var;
# what it wraps does neither.
UNWRAPPED: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
PATH_WITH_SBIN: Final = (
    os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin"
)
# It listens for other nodes even when it has none: on loopback, please.
ERLANG_OPTIONS: Final = "-kernel inet_dist_use_interface {127,0,0,1}"


class RabbitMQ(Spawned):
    """A node without plugins, its port daemon and files in our directory."""

    title: ClassVar = "RabbitMQ"

    def start(self) -> None:
        """Raises BenchError when it is not installed."""
        program, epmd = _find_program(), shutil.which("epmd")
        if program is None or epmd is None:
            raise BenchError("rabbitmq-server is not installed")
        self._node_port, epmd_port = free_port(), free_port()
        self.spawn(epmd, "-address", "127.0.0.1", "-port", epmd_port)
        self._program, self._variables = program, self._environment(epmd_port)
        self.start_again()

    def start_again(self) -> None:
        self.spawn(self._program, environment=self._variables)

    def find_port(self) -> int | None:
        return self._node_port if speaks_amqp(self._node_port) else None

    def _environment(self, epmd_port: int) -> dict[str, str]:
        """Ours without the operator's RABBITMQ_*, and every path under our own."""
        data = self.directory / f"node-{self._node_port}"
        data.mkdir()
        (data / "enabled_plugins").touch()
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("RABBITMQ_")
        }
        return inherited | {
            "PATH": PATH_WITH_SBIN,
            "HOME": str(data),  # the Erlang cookie
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(epmd_port),
            "RABBITMQ_NODENAME": f"warren-bench-{self._node_port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._node_port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(data / "mnesia"),
            "RABBITMQ_LOG_BASE": str(data / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(data / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(data / "none"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(data / "none.config"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ERLANG_OPTIONS,
            # The start script then becomes the node, so that our child's pid is its.
            "RUNNING_UNDER_SYSTEMD": "true",
        }


def _find_program() -> Path | None:
    if UNWRAPPED.exists():
        return UNWRAPPED
    found = shutil.which("rabbitmq-server", path=PATH_WITH_SBIN)
    return Path(found) if found else None
