"""`warren consume`: messages of a queue become lines on standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs
import click
import trio

from warren._client.connect import connect
from warren._client.consuming import PREFETCH_DEFAULT
from warren.errors import NotFound
from warren_broker.cli.pipes import Output
from warren_broker.cli.shell import run, say, url_option

if TYPE_CHECKING:
    from warren._client.channel import Channel
    from warren._client.connection import Connection
    from warren._client.consumer import Consumer

STANDARD_OUTPUT: Final = 1
PREFETCH_MAX: Final = 65_535


@attrs.frozen
class Consuming:
    """What the command line asks for."""

    url: str
    queue: str
    bindings: list[tuple[str, str]]
    count: int | None
    ack: bool
    prefetch: int


@click.command()
@url_option
@click.option("--queue", required=True, metavar="NAME", help="Declared if missing.")
@click.option("--bind", "bindings", multiple=True, metavar="EXCHANGE:KEY")
@click.option("--count", type=click.IntRange(min=1), help="Stop after so many.")
@click.option(
    "--ack/--no-ack",
    default=True,
    help="--no-ack is quicker; what is under way is lost if the reader stops.",
)
@click.option(
    "--prefetch",
    type=click.IntRange(1, PREFETCH_MAX),
    default=PREFETCH_DEFAULT,
    show_default=True,
    help="Messages to be sent ahead of their acknowledgement.",
)
def consume(
    url: str,
    queue: str,
    bindings: tuple[str, ...],
    count: int | None,
    ack: bool,
    prefetch: int,
) -> None:
    """Write the body of each message of a queue on standard output, a line each.

    Runs until Ctrl-C, until --count is reached, or until nobody reads the output any
    more. A message is acknowledged when its line was written; if the output is a pipe,
    when its line was read from it. So `warren consume --queue q | head` takes ten
    messages from the queue, and all others stay there.
    """
    pairs = [_binding(text) for text in bindings]
    run(_consume, Consuming(url, queue, pairs, count, ack, prefetch))


def _binding(text: str) -> tuple[str, str]:
    exchange, colon, key = text.partition(":")
    if not exchange or not colon:
        raise click.BadParameter(f"{text!r} is not EXCHANGE:KEY")
    return exchange, key


async def _consume(asked: Consuming) -> None:
    output = Output(STANDARD_OUTPUT)
    async with connect(asked.url) as connection:
        await _declare_if_missing(connection, asked.queue)
        async with connection.channel() as channel, trio.open_nursery() as nursery:
            await _bind(channel, asked)
            nursery.start_soon(_stop_when_closed, output, nursery.cancel_scope)
            await _copy(channel, asked, output)
            nursery.cancel_scope.cancel()


async def _declare_if_missing(connection: Connection, queue: str) -> None:
    try:
        async with connection.channel() as channel:
            await channel.declare_queue(queue, passive=True)
    except NotFound:
        async with connection.channel() as channel:
            await channel.declare_queue(queue, durable=True)
        say(f"warren: there was no queue {queue!r}: declared it, durable")


async def _bind(channel: Channel, asked: Consuming) -> None:
    for exchange, key in asked.bindings:
        await channel.bind_queue(asked.queue, exchange, key)


async def _stop_when_closed(output: Output, scope: trio.CancelScope) -> None:
    await output.wait_closed()
    scope.cancel()


async def _copy(channel: Channel, asked: Consuming, output: Output) -> None:
    async with channel.consume(
        asked.queue, prefetch=_prefetch(asked), no_ack=not asked.ack
    ) as consumer:
        try:
            await _write_bodies(consumer, asked, output)
        except BrokenPipeError:
            return  # what was not read is not acknowledged, and goes back


def _prefetch(asked: Consuming) -> int:
    """Ask for no more than will be taken."""
    return min(asked.prefetch, asked.count or asked.prefetch)


async def _write_bodies(
    consumer: Consumer[Any], asked: Consuming, output: Output
) -> None:
    written = 0
    async for delivery in consumer:
        await output.write(delivery.body + b"\n")
        if asked.ack:
            await output.wait_read()
            delivery.ack()
        written += 1
        if written == asked.count:
            return
