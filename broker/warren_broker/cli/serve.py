"""`warren serve`: run a broker in the foreground."""

from __future__ import annotations

import platform
import sys
from functools import partial
from typing import TYPE_CHECKING, Final

import click
import trio

from warren_broker.cli import version
from warren_broker.config import EX_CONFIG, Config, load_config, meaning_of
from warren_broker.log import FORMATS, LEVELS, Log
from warren_broker.server.listening import ListenError
from warren_broker.server.rounds import JournalFailed
from warren_broker.server.serve import serve as serve_broker
from warren_broker.server.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from warren_broker.core.broker import Broker
    from warren_broker.server.server import Server

NOTHING_STORED: Final = (
    "everything is in memory and nothing survives a restart: --data-dir DIR keeps it"
)


OPTIONS: Final = {
    "listen": ("listeners", "tcp"),
    "memory_only": ("storage", "memory_only"),
    "data_dir": ("storage", "data_dir"),
    "sync": ("storage", "sync"),
    "definitions": ("definitions", "file"),
    "log_level": ("log", "level"),
    "log_format": ("log", "format"),
}
"""For each option of the command the section and the name that it has in the file."""

NOT_GIVEN: Final = (None, False, ())
"""What click has for an option that is not on the command line."""


def _means(option: str) -> str:
    """Return what an option means, as the settings say it, without Markdown."""
    return meaning_of(*OPTIONS[option]).replace("`", "")


@click.command()
@click.option(
    "--listen",
    multiple=True,
    metavar="HOST:PORT",
    help=_means("listen") + " Repeatable.",
)
@click.option("--memory-only", is_flag=True, help=_means("memory_only"))
@click.option("--data-dir", metavar="DIR", help=_means("data_dir"))
@click.option("--sync", metavar="always|interval:MS|os", help=_means("sync"))
@click.option(
    "--config",
    "path",
    metavar="FILE.toml",
    envvar="WARREN_CONFIG",
    help="Configuration file; what is given here beats what it says.",
)
@click.option("--definitions", metavar="FILE.json", help=_means("definitions"))
@click.option("--log-level", type=click.Choice(LEVELS), help=_means("log_level"))
@click.option("--log-format", type=click.Choice(FORMATS), help=_means("log_format"))
def serve(path: str | None, **options: object) -> None:
    """Run a broker until SIGTERM or Ctrl-C.

    SIGHUP makes it read its configuration file again and apply its
    users, permissions, virtual hosts and policies.
    Prints `ready amqp://HOST:PORT/` on standard output when clients can connect.
    """
    if options["memory_only"] and options["data_dir"] is not None:
        raise click.UsageError("--memory-only and --data-dir exclude each other")
    overrides = _given(options)
    status = 0
    try:
        load = partial(load_config, path, overrides=overrides)
        trio.run(_serve, load(), None if path is None else load)
    except* SettingsError as group:
        status = _complain(group, EX_CONFIG)
    except* (ListenError, JournalFailed) as group:
        status = _complain(group, 1)
    sys.exit(status)


def _given(options: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """Return by section those options that were on the command line."""
    given: dict[str, dict[str, object]] = {}
    for option, (section, name) in OPTIONS.items():
        if options[option] not in NOT_GIVEN:
            given.setdefault(section, {})[name] = options[option]
    return given


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
