"""`warren publish`: lines of standard input become messages."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import attrs
import click

from warren._client.batch import Batch, BatchFailed
from warren._client.connect import connect
from warren.wire.properties import Properties
from warren_broker.cli.pipes import read_lines, read_whole
from warren_broker.cli.shell import run, say, url_option

if TYPE_CHECKING:
    from warren.wire.table import Table

STANDARD_INPUT: Final = 0
FAILURES_TOLD_MAX: Final = 10
PERSISTENT: Final = 2


@attrs.frozen
class Publishing:
    """What the command line asks for."""

    url: str
    exchange: str
    key: str
    properties: Properties
    whole: bool


@click.command()
@url_option
@click.option("--exchange", default="", metavar="NAME", help="[default: the nameless]")
@click.option("--key", default="", metavar="KEY", help="Routing key.")
@click.option("--persistent", is_flag=True, help="Ask for messages to be stored.")
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE")
@click.option("--content-type", metavar="TYPE")
@click.option("--whole", is_flag=True, help="Make one message of all the input.")
def publish(
    url: str,
    exchange: str,
    key: str,
    persistent: bool,
    headers: tuple[str, ...],
    content_type: str | None,
    whole: bool,
) -> None:
    """Publish each line of standard input as a message, confirmed by the broker.

    Without an exchange the key is the name of a queue. The exit status is 0 if the
    broker has taken every message and each was routed to a queue.
    """
    if not exchange and not key:
        raise click.UsageError("name an --exchange, or a queue with --key")
    properties = Properties(
        content_type=content_type,
        delivery_mode=PERSISTENT if persistent else None,
        headers=_table(headers) or None,
    )
    run(_publish, Publishing(url, exchange, key, properties, whole))


def _table(headers: tuple[str, ...]) -> Table:
    table: Table = {}
    for header in headers:
        name, equals, value = header.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{header!r} is not NAME=VALUE")
        table[name] = value
    return table


async def _publish(asked: Publishing) -> None:
    async with connect(asked.url) as connection, connection.channel() as channel:
        batch = Batch(channel)
        try:
            await _publish_all(batch, asked)
        except BatchFailed as failed:
            _tell(failed)
            raise
        except BaseException:
            say(f"warren: {batch.confirmed_count} messages were confirmed, then:")
            raise


async def _publish_all(batch: Batch, asked: Publishing) -> None:
    read = read_whole if asked.whole else read_lines
    async with aclosing(read(STANDARD_INPUT)) as bodies:
        async for body in bodies:
            await batch.publish(
                body,
                exchange=asked.exchange,
                routing_key=asked.key,
                properties=asked.properties,
            )
    await batch.finish()


def _tell(failed: BatchFailed) -> None:
    for number, error in failed.failures[:FAILURES_TOLD_MAX]:
        say(f"warren: message {number + 1}: {error}")
