"""Web publisher: a web application that hands work to a worker.

    python examples/web_publisher.py [URL]

The application answers when the broker has taken the order, and not when it is done.
Starlette on trio: `hypercorn --worker-class trio module:web` serves it, and a FastAPI
application in the same way, which has the same `lifespan`. The lower half serves it,
works, and orders something, all in one process.
"""

from __future__ import annotations

import http.client
import json
import sys
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

import warren

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

app = warren.App(*sys.argv[1:])


@app.worker("example.web.orders")
async def ship(order: dict[str, Any]) -> None:
    """Do what was asked for, later."""
    print(f"shipped: {order['item']}")
    shipped.set()


async def post_order(request: Request) -> JSONResponse:
    """Publish the order."""
    order = await request.json()
    await request.state.broker.publish(order, routing_key="example.web.orders")
    return JSONResponse({"accepted": order["item"]}, status_code=202)


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[dict[str, object]]:
    """One connection for all requests."""
    async with app.connect() as connection:
        await connection.declare_queue("example.web.orders", durable=True)
        yield {"broker": connection}


web = Starlette(
    routes=[Route("/orders", post_order, methods=["POST"])], lifespan=lifespan
)


# --- the lower half

shipped = trio.Event()


def order(address: str) -> None:
    """Be somebody's browser."""
    client = http.client.HTTPConnection(address.removeprefix("http://"))
    client.request("POST", "/orders", json.dumps({"item": "tea"}))
    response = client.getresponse()
    print(f"answered: {response.status} {response.read().decode()}")
    client.close()


async def main() -> None:
    """Serve, order, ship."""
    config = Config()
    config.bind, config.loglevel = ["127.0.0.1:0"], "WARNING"
    async with app.connect() as connection:
        async with app.running(connection), trio.open_nursery() as nursery:
            (address,) = await nursery.start(
                partial(serve, web, config, shutdown_trigger=shipped.wait)
            )
            await trio.to_thread.run_sync(order, address)
        await connection.delete_queue("example.web.orders")


if __name__ == "__main__":
    trio.run(main)
