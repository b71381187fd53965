"""What the commands share that work on a data directory while no broker does."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from warren.errors import WarrenError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from warren_broker.storage.stream.damage import StreamDamage
    from warren_broker.storage.walk import Damage

directory = click.argument("directory", type=click.Path(path_type=Path))


@contextmanager
def told() -> Iterator[None]:
    """Tell an expected failure in one line, and exit with 1."""
    try:
        yield
    except (WarrenError, OSError) as error:
        click.echo(f"warren: {error}", err=True)
        sys.exit(1)


def tell_damage(
    what: str, damage: Iterable[Damage | StreamDamage], *, err: bool = False
) -> None:
    """Write a line for each; `what` is said of it."""
    for one in damage:
        click.echo(f"{what}: {one}", err=err)
