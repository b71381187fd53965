"""What the server's tests share: a connection without AMQP, a log that remembers."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, final

import trio
from trio.testing import MockClock, lockstep_stream_pair, memory_stream_pair

from warren.wire.outbox import Outbox
from warren_broker.amqp.peer_info import PeerInfo
from warren_broker.core.broker import Broker
from warren_broker.server.event_log import EventLog
from warren_broker.server.memory_alarm import MemoryAlarm
from warren_broker.server.peer import Peer
from warren_broker.server.relay import Relay
from warren_broker.server.timer import Timer
from warren_broker.server.transport import StreamTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from warren_broker.server.doorway import Doorway, Newcomer
    from warren_broker.server.keeper import Keeper
    from warren_broker.server.peer import End

NO_ALARM_BYTES = 2**63
REFILL_SIZE = 1_000_000
FLOOD_CHUNK_SIZE = 1000


def run_timeless(main: Callable[[], Awaitable[None]]) -> None:
    """Run with a clock that jumps to the next deadline when all tasks sleep."""
    trio.run(main, clock=MockClock(autojump_threshold=0))


class PlantedBug(Exception):
    """What a connection raises that has a bug."""


@final
class EchoConnection:
    """Sends back what it gets; these words have effects instead.

    quit: says bye and closes. bug: raises. work:N: takes N turns. flood:N: sends N
    bytes. throttle: stops reading. login: is authenticated. deaf: ignores shutdown.
    trap: raises when the end comes.
    """

    def __init__(self, broker: Broker, outbox: Outbox, info: PeerInfo) -> None:
        self.broker = broker
        self.outbox = outbox
        self.info = info
        self.closed = False
        self.throttled = False
        self.is_kept_waiting = False
        self.is_publisher = False
        self.is_known = False
        self.ends = 0
        self.drained = 0
        self.refills = 0
        self.turns: list[float] = []
        self._is_deaf = False
        self._is_trapped = False
        self._work = 0

    def receive(self, data: bytes, now: float) -> bool:
        self.turns.append(now)
        word, _, count = data.partition(b":")
        effect = self._effects.get(word)
        if effect is None:
            self.outbox.write(data)
        else:
            effect(self, int(count or 0))
        return self._work > 0

    def resume(self, now: float) -> bool:
        self.turns.append(now)
        self._work -= 1
        self.outbox.write(b".")
        return self._work > 0

    def on_drained(self, now: float) -> None:
        self.drained += 1
        if self.refills:
            self.refills -= 1
            self.outbox.write(b"r" * REFILL_SIZE)

    def shutdown(self, now: float) -> None:
        if not self._is_deaf:
            self.outbox.write(b"goodbye")
            self.close()

    def close(self) -> None:
        self.closed = True
        self.outbox.close()

    def unthrottle(self) -> None:
        """As a turn elsewhere would: marks the outbox dirty without closing it."""
        self.throttled = False
        self.outbox.write(b"go")

    def _end(self, _: int) -> None:
        self.ends += 1
        if self._is_trapped:
            raise PlantedBug
        self.close()

    def _quit(self, _: int) -> None:
        self.outbox.write(b"bye")
        self.close()

    def _bug(self, _: int) -> None:
        raise PlantedBug

    def _begin_work(self, count: int) -> None:
        self._work = count

    def _flood(self, count: int) -> None:
        whole, rest = divmod(count, FLOOD_CHUNK_SIZE)
        for size in (*[FLOOD_CHUNK_SIZE] * whole, rest):
            self.outbox.write(b"f" * size)

    def _throttle(self, _: int) -> None:
        self.throttled = True

    def _login(self, _: int) -> None:
        self.is_known = True
        self.outbox.write(b"welcome")

    def _trap(self, _: int) -> None:
        self._is_trapped = True

    def _deafen(self, _: int) -> None:
        self._is_deaf = True
        self.outbox.write(b"what?")

    _effects: Mapping[bytes, Callable[[EchoConnection, int], None]] = {
        b"": _end,
        b"quit": _quit,
        b"bug": _bug,
        b"work": _begin_work,
        b"flood": _flood,
        b"throttle": _throttle,
        b"login": _login,
        b"deaf": _deafen,
        b"trap": _trap,
    }


@final
class RememberingLog(EventLog):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []
        self.failures: list[tuple[str, BaseException]] = []

    def load(self) -> None:
        pass

    def event(self, name: str, fields: Mapping[str, object]) -> None:
        self.events.append((name, dict(fields)))

    def failure(
        self, name: str, error: BaseException, fields: Mapping[str, object]
    ) -> None:
        self.failures.append((name, error))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.events]


@final
class PeerBench:
    """One peer over a pair of streams; `client` is the other side.

    In `lockstep` a send waits until it is read; otherwise it never waits.
    """

    def __init__(
        self,
        newcomer: Newcomer | None = None,
        *,
        lockstep: bool = False,
        keeper: Keeper | None = None,
    ) -> None:
        self.log = RememberingLog()
        self.broker = Broker(now=trio.current_time())
        self.timer = Timer()
        self.relay = Relay(self.broker, self.timer, self.log, keeper)
        self.outbox = Outbox(self.relay.dirty)
        info = PeerInfo(address="test", is_loopback=True)
        self.connection = EchoConnection(self.broker, self.outbox, info)
        pair = lockstep_stream_pair() if lockstep else memory_stream_pair()
        self.client: trio.abc.HalfCloseableStream = pair[0]
        self.peer = Peer(
            self.connection,
            self.outbox,
            StreamTransport(pair[1]),
            self.relay,
            quiet_alarm(),
            newcomer,
        )
        self.end: End | None = None

    async def run(self) -> None:
        self.end = await self.peer.run()

    async def read_exactly(self, size: int) -> bytes:
        """Read as a client that knows what to expect."""
        data = b""
        while len(data) < size:
            more = await self.client.receive_some(size - len(data))
            if not more:
                raise AssertionError(f"the stream ended after {data!r}")
            data += more
        return data

    async def read_to_end(self) -> bytes:
        return b"".join([data async for data in self.client])


def quiet_alarm() -> MemoryAlarm:
    """Return an alarm that never goes on."""
    return MemoryAlarm(
        NO_ALARM_BYTES,
        used=lambda: 0,
        trim=trio.lowlevel.checkpoint,
        report=lambda _: None,
    )


async def enter(doorway: Doorway, address: str) -> Newcomer:
    """Come from `address` and wait for a place; who gives up goes away."""
    newcomer = doorway.arrive(address)
    assert newcomer is not None
    try:
        await newcomer.enter()
    except trio.Cancelled:
        newcomer.leave()
        raise
    return newcomer


@asynccontextmanager
async def running_peer(*, lockstep: bool = False) -> AsyncIterator[PeerBench]:
    """A peer that runs beside the block. When left, waits for the peer's end."""
    bench = PeerBench(lockstep=lockstep)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.run)
        yield bench
