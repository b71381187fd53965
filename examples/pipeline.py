"""Pipeline: what one worker returns is the next one's work.

    python examples/pipeline.py [URL]

Words are measured one by one, on the processors if there are many; the lengths are
added up in batches. A result is safe with the broker before what it was made of is
acknowledged.
"""

from __future__ import annotations

import sys

import trio

import warren

app = warren.App(*sys.argv[1:])
TEXT = ["all", "that", "you", "need", "is", "a", "queue", "and", "a", "few", "workers"]


@app.worker("example.words", to="example.lengths", processes=True, concurrency=2)
def measure(word: str) -> int:
    """Compute, in a process of its own."""
    return len(word)


@app.worker("example.lengths", to="example.sums", batch=50, wait=0.1)
async def add_up(lengths: list[int]) -> list[int]:
    """One call for many messages, and one result."""
    return [len(lengths), sum(lengths)]


async def main() -> None:
    """Put the words in at one end, and wait at the other."""
    words = letters = 0
    async with app.connect() as connection:
        sums = await connection.declare_queue("example.sums")
        async with app.running(connection), connection.batch() as batch:
            for word in TEXT:
                await batch.publish(word, routing_key="example.words")
            async with connection.consume(sums, list[int], no_ack=True) as results:
                while words < len(TEXT):
                    count, total = (await anext(results)).value
                    words, letters = words + count, letters + total
        print(f"{words} words have {letters} letters")
        for queue in ("example.words", "example.lengths", "example.sums"):
            await connection.delete_queue(queue)


if __name__ == "__main__":
    trio.run(main)
