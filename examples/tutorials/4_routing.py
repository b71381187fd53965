"""Tutorial 4, "Routing": subscribers that want some messages and not others.

A direct exchange compares the routing key with the keys of its bindings. Nobody wants
debug lines here: since publishes are mandatory, their publisher is told.

    python examples/tutorials/4_routing.py [URL]
"""

from __future__ import annotations

import sys

import trio

import warren

URL = "amqp://guest:guest@127.0.0.1:5672/"
EXCHANGE = "tutorial.direct-logs"
WANTED = {"screen": ["info", "error"], "pager": ["error"]}
LINES = [("info", "it begins"), ("debug", "x is 3"), ("error", "it has broken")]


async def main(url: str = URL) -> None:
    """Bind, publish, and show who got what."""
    async with warren.connect(url) as connection:
        await connection.declare_exchange(EXCHANGE, "direct", auto_delete=True)
        queues = {}
        for name, severities in WANTED.items():
            queues[name] = await connection.declare_queue(exclusive=True)
            for severity in severities:
                await connection.bind_queue(queues[name], EXCHANGE, severity)
        for severity, line in LINES:
            try:
                await connection.publish(
                    f"{severity}: {line}", exchange=EXCHANGE, routing_key=severity
                )
            except warren.Unroutable as error:
                print(f"nobody wants {error.routing_key}")
        for name, queue in queues.items():
            while (found := await connection.get(queue, str)) is not None:
                async with found:
                    print(f"{name} gets {found.value}")


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
