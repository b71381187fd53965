"""Tutorial 5, "Topics": subscribers that choose by a pattern.

A routing key is words with dots between them; in a binding `*` is any one word and `#`
any number of words.

    python examples/tutorials/5_topics.py [URL]
"""

from __future__ import annotations

import sys

import attrs
import trio

import warren

URL = "amqp://guest:guest@127.0.0.1:5672/"
EXCHANGE = "tutorial.animals"
PATTERNS = {"oranges": ["*.orange.*"], "rabbits and the lazy": ["*.*.rabbit", "lazy.#"]}


@attrs.frozen
class Animal:
    """It travels as CBOR."""

    speed: str
    colour: str
    species: str

    @property
    def key(self) -> str:
        """What it is routed by."""
        return f"{self.speed}.{self.colour}.{self.species}"


ANIMALS = [
    Animal("quick", "orange", "rabbit"),
    Animal("lazy", "orange", "elephant"),
    Animal("quick", "orange", "fox"),
    Animal("lazy", "brown", "fox"),
    Animal("lazy", "pink", "rabbit"),
    Animal("quick", "brown", "fox"),
]


async def main(url: str = URL) -> None:
    """Bind, publish, and show who got what."""
    async with warren.connect(url) as connection:
        await connection.declare_exchange(EXCHANGE, "topic", auto_delete=True)
        queues = {}
        for name, patterns in PATTERNS.items():
            queues[name] = await connection.declare_queue(exclusive=True)
            for pattern in patterns:
                await connection.bind_queue(queues[name], EXCHANGE, pattern)
        for animal in ANIMALS:
            await connection.publish(
                animal, exchange=EXCHANGE, routing_key=animal.key, mandatory=False
            )
        for name, queue in queues.items():
            while (found := await connection.get(queue, Animal)) is not None:
                async with found:
                    print(f"{name}: {found.value.key}")


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
