"""`warren serve`: run a broker in the foreground."""

from __future__ import annotations

import platform
import sys
from functools import partial
from typing import TYPE_CHECKING, Final

import click
import trio

from warren_broker.cli import version
from warren_broker.config import EX_CONFIG, Config, load_config
from warren_broker.log import FORMATS, LEVELS, Log
from warren_broker.server.keeper import JournalFailed
from warren_broker.server.listening import ListenError
from warren_broker.server.serve import serve as serve_broker
from warren_broker.server.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from warren_broker.core.broker import Broker
    from warren_broker.server.server import Server

    Options = dict[str, object]

NOTHING_STORED: Final = (
    "everything is in memory and nothing survives a restart: --data-dir DIR keeps it"
)


@click.command()
@click.option("--listen", multiple=True, metavar="HOST:PORT", help="May be repeated.")
@click.option("--memory-only", is_flag=True, help="Keep everything in memory.")
@click.option(
    "--data-dir", metavar="DIR", help="Keep what is durable there, see --sync."
)
@click.option(
    "--sync",
    metavar="always|interval:MS|os",
    help="When a message counts as safe: when the disk has it (always, the default), or"
    " when the system has it, which passes it on at an interval or when it likes.",
)
@click.option(
    "--config",
    "path",
    metavar="FILE.toml",
    envvar="WARREN_CONFIG",
    help="Configuration file.",
)
@click.option(
    "--definitions",
    metavar="FILE.json",
    help="A definitions file as RabbitMQ exports it, loaded if there is nothing yet.",
)
@click.option("--log-level", type=click.Choice(LEVELS))
@click.option("--log-format", type=click.Choice(FORMATS))
def serve(
    listen: tuple[str, ...],
    memory_only: bool,
    data_dir: str | None,
    sync: str | None,
    path: str | None,
    definitions: str | None,
    log_level: str | None,
    log_format: str | None,
) -> None:
    """Run a broker until SIGTERM or Ctrl-C.

    SIGHUP makes it read its configuration file again and apply its
    users, permissions, virtual hosts and policies.
    Prints `ready amqp://HOST:PORT/` on standard output when clients can connect.
    """
    if memory_only and data_dir is not None:
        raise click.UsageError("--memory-only and --data-dir exclude each other")
    overrides: dict[str, Options] = {
        "listeners": {"tcp": listen or None},
        "storage": {
            "memory_only": memory_only or None,
            "data_dir": data_dir,
            "sync": sync,
        },
        "definitions": {"file": definitions},
        "log": {"level": log_level, "format": log_format},
    }
    status = 0
    try:
        load = partial(load_config, path, overrides=_given(overrides))
        trio.run(_serve, load(), None if path is None else load)
    except* SettingsError as group:
        status = _complain(group, EX_CONFIG)
    except* (ListenError, JournalFailed) as group:
        status = _complain(group, 1)
    sys.exit(status)


def _given(overrides: dict[str, Options]) -> dict[str, Options]:
    """Return only those options that were on the command line."""
    return {
        section: {name: value for name, value in options.items() if value is not None}
        for section, options in overrides.items()
    }


def _complain(group: BaseExceptionGroup[Exception], status: int) -> int:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    click.echo(f"warren: {error}", err=True)
    return status


async def _serve(config: Config, reload: Callable[[], Config] | None) -> None:
    if not config.listeners.are_any:
        raise SettingsError("listeners: nowhere to listen")
    log = Log(config.log)
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_broker, config, log, reload)
        click.echo(banner(config, server.urls, server.broker), err=True)
        click.echo(f"ready {server.urls[0]}")


def banner(config: Config, urls: Sequence[str], broker: Broker) -> str:
    """Return what an operator should know of a server that has started."""
    lines = [
        f"Warren {version()}, Python {platform.python_version()}",
        *(f"  listening on {url}" for url in urls),
    ]
    if broker.access.knows_default_password:
        lines.append("  user guest, password guest: from this machine only")
    storage = config.storage
    if storage.data_dir is not None:
        lines.append(f"  durable things in {storage.data_dir}, sync {storage.sync}")
    elif not storage.memory_only:
        lines.append(f"  {NOTHING_STORED}")
    health = broker.health
    if health.is_damaged:
        lines.append(
            f"  DAMAGED in {len(health.damage)} places, confirmed data may be lost:"
            f" see warren check {storage.data_dir}"
        )
    lines += [f"  messages of a lost queue: {name}" for name in health.recovered_queues]
    return "\n".join([*lines, "  Ctrl-C stops it"])
