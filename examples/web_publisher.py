"""Web publisher: a FastAPI application that hands work to a worker.

    python examples/web_publisher.py [URL]

It answers when the broker has taken the order, and not when it is done. It is on trio,
as Warren's client is: `hypercorn --worker-class trio module:web` serves it. For asyncio
(uvicorn) there is `web_blocking.py`. A Starlette application has the same lifespan. The
lower half serves it, works, and orders something, all in one process.
"""

from __future__ import annotations

import http.client
import json
import sys
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated

import trio
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from hypercorn.config import Config
from hypercorn.trio import serve
from pydantic import BaseModel, PositiveInt

import warren

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

QUEUE = "example.web.orders"

app = warren.App(*sys.argv[1:])


class Order(BaseModel):
    """What FastAPI checks before anything is published."""

    item: str
    count: PositiveInt = 1


@app.worker(QUEUE)
async def ship(order: dict[str, object]) -> None:
    """Do what was asked for, later."""
    print(f"shipped: {order['count']} {order['item']}")
    shipped.set()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, object]]:
    """One connection for all requests, which outlives a restart of the broker."""
    async with app.connect() as connection:
        await connection.declare_queue(QUEUE, durable=True)
        yield {"broker": connection}


def broker(request: Request) -> warren.Connection:
    """What an endpoint depends on."""
    connection: warren.Connection = request.state.broker
    return connection


Broker = Annotated[warren.Connection, Depends(broker)]

web = FastAPI(lifespan=lifespan)


@web.post("/orders", status_code=202)
async def post_order(order: Order, broker: Broker) -> dict[str, str]:
    """Publish the order."""
    with trio.fail_after(5):
        await broker.publish(order.model_dump(), routing_key=QUEUE)
    return {"accepted": order.item}


@web.exception_handler(trio.TooSlowError)
@web.exception_handler(warren.PublishFailed)
async def refuse(_: Request, error: Exception) -> JSONResponse:
    """Nobody has the order: the browser may try again."""
    reason = str(error) or "the broker does not answer"
    return JSONResponse({"error": reason}, status_code=503)


# --- the lower half

shipped = trio.Event()


def browse(address: str) -> None:
    """Be somebody's browser."""
    client = http.client.HTTPConnection(address.removeprefix("http://"))
    for order in ({"item": "tea", "count": 0}, {"item": "tea", "count": 2}):
        client.request(
            "POST", "/orders", json.dumps(order), {"Content-Type": "application/json"}
        )
        response = client.getresponse()
        answer = json.load(response)
        print(f"answered: {response.status} {answer.get('accepted', 'nothing')}")
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
            await trio.to_thread.run_sync(browse, address)
        await connection.delete_queue(QUEUE)


if __name__ == "__main__":
    trio.run(main)
