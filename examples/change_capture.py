"""Change data capture: from a database, by way of a stream, to a search index.

What changes in the database is written to its table `outbox` by the same transaction;
so there is no change without its record, and no record without its change. A relay
moves the rows to a stream. It may do so twice: their numbers tell the broker.

The index can be lost at any time. A new one begins with the snapshot of the stream, the
newest record of each product, and goes on with what is live.

    python examples/change_capture.py [URL]

Producer numbers and snapshots are Warren's own.
"""

from __future__ import annotations

import sqlite3
import sys
from itertools import islice
from typing import Any

from warren import blocking

URL = "amqp://guest:guest@127.0.0.1:5672/"
STREAM = "example.products"


class Shop:
    """The database, in memory here."""

    def __init__(self) -> None:
        self.database = sqlite3.connect(":memory:")
        self.database.executescript(
            "CREATE TABLE product (id INTEGER PRIMARY KEY, name TEXT);"
            "CREATE TABLE outbox"
            " (number INTEGER PRIMARY KEY AUTOINCREMENT, id INTEGER, name TEXT);"
        )

    def put(self, product: int, name: str) -> None:
        """Add a product or rename it."""
        with self.database as transaction:
            transaction.execute("REPLACE INTO product VALUES (?, ?)", (product, name))
            self._note(product, name)

    def remove(self, product: int) -> None:
        """Have it no more."""
        with self.database as transaction:
            transaction.execute("DELETE FROM product WHERE id = ?", (product,))
            self._note(product, "")

    def _note(self, product: int, name: str) -> None:
        row = (product, name)
        self.database.execute("INSERT INTO outbox (id, name) VALUES (?, ?)", row)


def relay(shop: Shop, connection: blocking.Connection, *, forgets: bool = True) -> None:
    """Move what is in the outbox to the stream."""
    rows = shop.database.execute("SELECT * FROM outbox ORDER BY number").fetchall()
    with connection.batch() as batch:
        for number, product, name in rows:
            headers = {
                "x-producer-id": "shop",
                "x-producer-seq": number,
                "x-compact-key": str(product),
            }
            batch.publish(name, routing_key=STREAM, headers=headers)
    if forgets:  # all is confirmed
        with shop.database as transaction:
            transaction.execute("DELETE FROM outbox WHERE number <= ?", (number,))


class Index:
    """Finds products by words."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def follow(self, changes: blocking.Consumer[Any], count: int) -> None:
        """Take so many changes."""
        for change in islice(changes, count):
            with change:
                product, name = change.headers["x-compact-key"], change.value
                self.names[product] = name
                kind = "snapshot" if "x-snapshot" in change.headers else "live"
                print(f"{kind}: product {product} is {name or 'gone'}")

    def find(self, word: str) -> list[str]:
        """Return the names that have `word`."""
        return sorted(name for name in self.names.values() if word in name.split())


def main(url: str = URL) -> None:
    """The index begins late, and has everything all the same."""
    shop, index = Shop(), Index()
    with blocking.connect(url) as connection:
        connection.declare_queue(
            STREAM, durable=True, queue_type="stream", arguments={"x-compact": True}
        )
        shop.put(1, "green tea")
        shop.put(2, "coffee")
        shop.put(3, "tea pot")
        shop.put(2, "black coffee")
        shop.remove(3)
        relay(shop, connection, forgets=False)  # it breaks down, and begins again:
        relay(shop, connection)
        count = connection.declare_queue(STREAM, passive=True).message_count
        print(f"{count} changes are in the stream")
        with connection.consume(STREAM, offset="snapshot") as changes:
            index.follow(changes, 2)
            shop.put(4, "black tea")
            shop.remove(2)
            relay(shop, connection)
            index.follow(changes, 2)
        print(f"tea: {', '.join(index.find('tea'))}")
        print(f"black: {', '.join(index.find('black'))}")
        connection.delete_queue(STREAM)


if __name__ == "__main__":
    main(*sys.argv[1:])
