"""Handlers for processes to import, and an app of them."""

from __future__ import annotations

import os
import signal
from contextlib import asynccontextmanager
from functools import partial
from threading import Event, get_ident
from typing import TYPE_CHECKING

import attrs
import trio

import warren

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BROKER: list[warren.Connection] = []
NEVER = Event()


@asynccontextmanager
async def lifespan(connection: warren.Connection) -> AsyncIterator[None]:
    """Have the connection at hand."""
    for queue in ("begun", "release", "done"):
        await connection.declare_queue(queue)
    BROKER.append(connection)
    yield
    BROKER.clear()


app = warren.App(os.environ.get("WORKER_TEST_URL", ""), drain=20, lifespan=lifespan)


@attrs.frozen
class Work:
    """What is to be done, and whether it waits for a word on the queue `release`."""

    number: int
    waits: bool = False


@app.worker("jobs", to="done", concurrency=4, lease=5)
async def work(what: Work, job: warren.Job) -> int:
    """Tell that it has begun, and in which process; wait only the first time."""
    await job.publish([what.number, os.getpid()], routing_key="begun")
    if what.waits and not job.message.redelivered:
        async with BROKER[0].consume("release") as words:
            (await anext(words)).ack()
    return what.number


@app.worker("blocked")
def block(job: warren.Job) -> None:
    """Tell that it has begun, and never end."""
    trio.from_thread.run(partial(job.publish, os.getpid(), routing_key="begun"))
    NEVER.wait()


def square(number: int) -> int:
    """Compute."""
    return number**2


class Odd(Exception):
    """Cannot be made of its args, as many errors cannot."""

    def __init__(self, count: int, *, unit: str = "them") -> None:
        super().__init__(f"{count} of", unit)
        if not isinstance(count, int):
            raise TypeError

    def __str__(self) -> str:
        return " ".join(self.args)


def choose(what: str) -> object:
    """Return, or end in one of many ways."""
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "raise":
        raise KeyError(what)
    if what == "odd":
        raise Odd(7)
    if what == "hang":
        NEVER.wait()
    if what == "unpicklable":
        return lambda: None
    return os.getpid()


def thread_of(_: str) -> int:
    """Return which thread this is."""
    return get_ident()


async def nothing() -> None:
    """Do nothing."""
    await trio.lowlevel.checkpoint()
