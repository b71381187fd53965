"""A script: no `async`, no `await`, and heartbeats that do not mind.

`warren.blocking` has the names of the client and runs it in a thread, so the script may
take its time with a message without the broker thinking it gone.

    python examples/blocking.py [URL]
"""

from __future__ import annotations

import sys

from warren import blocking

URL = "amqp://guest:guest@127.0.0.1:5672/"
QUEUE = "example.thumbnails"


def main(url: str = URL) -> None:
    """Publish some pictures' names, and work through them."""
    with blocking.connect(url) as connection:
        connection.declare_queue(QUEUE)
        with connection.batch() as batch:
            for number in range(1, 4):
                batch.publish({"picture": f"{number}.jpeg"}, routing_key=QUEUE)
        with connection.consume(QUEUE) as pictures:
            while (picture := pictures.next(timeout=0.5)) is not None:
                with picture:
                    print(f"made a thumbnail of {picture.value['picture']}")
        connection.delete_queue(QUEUE)


if __name__ == "__main__":
    main(*sys.argv[1:])
