"""Web publisher under asyncio: FastAPI as uvicorn runs it, with `warren.blocking`.

    python examples/web_blocking.py [URL]

Endpoints without `async` run in threads, and `warren.blocking` may be called from any;
heartbeats come from a thread of its own. `uvicorn module:web` serves it. The lower half
serves it, and is somebody's browser.
"""

from __future__ import annotations

import asyncio
import http.client
import socket
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, FastAPI, Request
from hypercorn.asyncio import serve
from hypercorn.config import Config

from warren import Reconnect, blocking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

URL = "amqp://guest:guest@127.0.0.1:5672/"
QUEUE = "example.web.mails"


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, object]]:
    """One connection for all threads; nobody is served before it is there."""
    with blocking.connect(*sys.argv[1:] or [URL], reconnect=Reconnect()) as connection:
        connection.declare_queue(QUEUE, expires=60)  # yours would be durable
        yield {"broker": connection}


def broker(request: Request) -> blocking.Connection:
    """What an endpoint depends on."""
    connection: blocking.Connection = request.state.broker
    return connection


Broker = Annotated[blocking.Connection, Depends(broker)]

web = FastAPI(lifespan=lifespan)


@web.post("/mails/{name}", status_code=202)
def post_mail(name: str, broker: Broker) -> None:
    """Publish; returns when the broker has it."""
    broker.publish({"to": name}, routing_key=QUEUE)


@web.get("/mails")
def take_mail(broker: Broker) -> dict[str, str] | None:
    """Take one mail, as a worker would."""
    mail = broker.get(QUEUE, dict[str, str], no_ack=True)
    return None if mail is None else mail.value


# --- the lower half


def browse(port: int) -> None:
    """Be somebody's browser."""
    client = http.client.HTTPConnection("127.0.0.1", port)
    for method, path in (("POST", "/mails/Ada"), ("GET", "/mails"), ("GET", "/mails")):
        client.request(method, path)
        response = client.getresponse()
        print(f"{method} {path}: {response.status} {response.read().decode()}")
    client.close()


async def main() -> None:
    """Serve until the browser has gone."""
    gone = asyncio.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    config = Config()
    config.bind, config.loglevel = [f"fd://{listener.detach()}"], "WARNING"
    server = asyncio.create_task(serve(web, config, shutdown_trigger=gone.wait))
    await asyncio.to_thread(browse, port)
    gone.set()
    await server


if __name__ == "__main__":
    asyncio.run(main())
