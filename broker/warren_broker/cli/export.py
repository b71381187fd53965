"""`warren export`: what lives in a data directory, as one file."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from warren_broker.cli.data_directory import directory, tell_damage, told
from warren_broker.server.transfer import export_to


@click.command()
@directory
@click.argument("file", type=click.Path(path_type=Path))
def export(directory: Path, file: Path) -> None:
    """Write definitions and messages of DIRECTORY to FILE, which must be new.

    No broker may use the directory meanwhile; nothing in it is changed. `warren import`
    makes a data directory of the file.

    Exits with 0 if all was read, with 1 if something was damaged and left out.
    """
    with told():
        done = export_to(file, directory)
    tell_damage("left out", done.damage)
    click.echo(f"exported {done.definitions} definitions, {done.messages} messages")
    sys.exit(1 if done.damage else 0)
