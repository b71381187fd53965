"""`warren import`: a new data directory of what `warren export` has written."""

from __future__ import annotations

from pathlib import Path

import click

from warren_broker.cli.data_directory import directory, told
from warren_broker.server.transfer import import_from


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@directory
def import_(file: Path, directory: Path) -> None:
    """Make the data directory DIRECTORY, which must be new or empty, of FILE."""
    with told():
        done = import_from(file, directory)
    click.echo(f"imported {done.definitions} definitions, {done.messages} messages")
