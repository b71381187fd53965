"""`warren repair`: a damaged data directory is made whole, and what is lost is told."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from warren_broker.cli.data_directory import directory, tell_damage, told
from warren_broker.server.transfer import open_data_directory
from warren_broker.storage.repair import repair as repair_disk

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@directory
def repair(directory: Path) -> None:
    """Repair the data directory DIRECTORY, which no broker may use meanwhile.

    Damaged files are copied to its folder quarantine; what can be read is kept.
    Damage at the very end is left to the next start, which sets it aside as well.

    Exits with 0 if nothing is left to repair, else with 1.
    """
    with told():
        report = repair_disk(open_data_directory(directory))
    tell_damage("repaired", report.repaired)
    tell_damage("left", report.left)
    for name in report.set_aside:
        click.echo(f"set aside: {name}")
    click.echo(
        f"{report.records_kept} records are whole, with {report.messages_kept} messages"
        f" of any age; {report.records_lost} records are lost"
    )
    if report.stream_records_kept or report.stream_records_lost:
        click.echo(
            f"{report.stream_records_kept} records of streams are whole;"
            f" {report.stream_records_lost} are lost"
        )
    sys.exit(1 if report.left else 0)
