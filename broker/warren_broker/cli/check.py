"""`warren check`: whether a data directory is whole."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from warren_broker.cli.data_directory import directory, tell_damage, told
from warren_broker.server.transfer import open_data_directory
from warren_broker.storage.check import check as check_disk

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@directory
def check(directory: Path) -> None:
    """Tell whether the data directory DIRECTORY is whole, and change nothing.

    Every record is read, those of streams as well.

    While a broker uses it, what that has found at its start is told.

    Exits with 0 if nothing is damaged, else with 1: `warren repair` makes it whole.
    """
    with told():
        report = check_disk(open_data_directory(directory))
    tell_damage("damaged", report.damage)
    for line in report.noted:
        click.echo(f"noted since the last repair: {line}")
    if report.is_in_use:
        click.echo("a broker uses it: only what that has noted was looked at")
    else:
        click.echo(
            f"{report.records} records are whole, {report.messages} messages live,"
            f" {report.stream_records} records of streams"
        )
    click.echo("damaged: run warren repair" if report.is_damaged else "whole")
    sys.exit(1 if report.is_damaged else 0)
