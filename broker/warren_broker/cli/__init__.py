"""The command line: `warren COMMAND`.

A command is loaded when it is asked for, so that none pays for what another imports.
"""

from __future__ import annotations

import platform
from importlib import import_module
from importlib.util import find_spec
from typing import Final

import click

COMMANDS: Final = {
    "serve": "serve",
    "demo": "demo",
    "publish": "publish",
    "consume": "consume",
    "worker": "worker",
    "repair": "repair",
    "export": "export",
    "import": "import_",
    "definitions": "definitions",
    "check": "check",
}
"""For each the module of this package, and the click command of that name in it."""


class LazyGroup(click.Group):
    """A group whose commands are modules."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        found = COMMANDS.items()
        return [name for name, module in found if find_spec(f"{__name__}.{module}")]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        name = COMMANDS[cmd_name]
        command = getattr(import_module(f"{__name__}.{name}"), name)
        return command if isinstance(command, click.Command) else None


def version() -> str:
    """Return the version of the installed distribution."""
    from importlib import metadata

    try:
        return metadata.version("warren")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _show_version(
    ctx: click.Context,
    param: click.Parameter,
    wanted: bool,
) -> None:
    if wanted:
        click.echo(f"warren {version()} (python {platform.python_version()})")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
def main() -> None:
    """Warren: an AMQP 0-9-1 message broker in one process."""
