"""`warren definitions`: what is defined in a data directory, as RabbitMQ's JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from warren_broker.cli.data_directory import directory, tell_damage, told
from warren_broker.management.definitions import parse_document
from warren_broker.server.definitions_transfer import (
    export_definitions,
    import_definitions,
)


@click.group()
def definitions() -> None:
    """Move virtual hosts, users, permissions, policies, exchanges, queues, bindings.

    The files are those that RabbitMQ exports and imports (rabbitmqctl
    export_definitions, /api/definitions). No broker may use the data directory
    meanwhile.
    """


@definitions.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@directory
@click.option("--vhost", help="Where things go that name no virtual host.")
def import_(file: Path, directory: Path, vhost: str | None) -> None:
    """Give DIRECTORY what FILE defines; it is made if it is new.

    What is there already stays as it is, but users, permissions and policies are
    replaced. All of FILE is taken or nothing is; keys that mean nothing here are told.
    """
    with told():
        document = parse_document(file.read_bytes())
        done = import_definitions(document, directory, vhost)
    for line in done.ignored:
        click.echo(f"ignored: {line}")
    click.echo(f"imported {done}")


@definitions.command()
@directory
@click.argument("file", type=click.Path(path_type=Path), required=False)
def export(directory: Path, file: Path | None) -> None:
    """Write what is defined in DIRECTORY to FILE, which must be new, or to the output.

    Exits with 0 if all was read, with 1 if something was damaged and may be missing.
    """
    with told():
        document, damage = export_definitions(directory)
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        if file is None:
            click.echo(text, nl=False)
        else:
            _write(file, text)
    tell_damage("may be missing", damage, err=True)
    sys.exit(1 if damage else 0)


def _write(file: Path, text: str) -> None:
    """Make the file, for its owner only: it has hashes of passwords."""
    file.touch(mode=0o600, exist_ok=False)
    file.write_text(text)
