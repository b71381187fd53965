"""Peer: bytes both ways, brakes, and every way to end."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.server.harness import (
    REFILL_SIZE,
    PeerBench,
    PlantedBug,
    enter,
    run_timeless,
    running_peer,
)
from warren.wire.outbox import HIGH_WATER, LOW_WATER
from warren_broker.core.limits import Limits
from warren_broker.server.doorway import Doorway
from warren_broker.server.peer import LINGER_SECONDS, REPLIES_MAX, End
from warren_broker.server.transport import PIECE_SIZE, STALL_SECONDS


def test_carries_bytes_and_ends_when_the_outbox_is_closed() -> None:
    async def main() -> None:
        async with running_peer() as bench:
            await bench.client.send_all(b"hello")
            assert await bench.read_exactly(5) == b"hello"
            await bench.client.send_all(b"quit")
            assert await bench.read_to_end() == b"bye"
            await bench.client.aclose()
        assert bench.end is End.FLUSHED
        assert bench.connection.ends == 0

    run_timeless(main)


def test_a_turn_is_given_the_clock() -> None:
    async def main() -> None:
        async with running_peer() as bench:
            await trio.sleep(7)
            now = trio.current_time()
            await bench.client.send_all(b"quit")
            await bench.read_to_end()
            await bench.client.aclose()
        assert bench.connection.turns == [now]

    run_timeless(main)


def test_half_closed_peer_still_gets_its_answers() -> None:
    async def main() -> None:
        async with running_peer() as bench:
            await bench.client.send_all(b"flood:3000000")
            await bench.client.send_eof()
            assert len(await bench.read_to_end()) == 3_000_000
        assert bench.connection.ends == 1
        assert bench.end is End.FLUSHED

    run_timeless(main)


def test_broken_stream_tells_the_connection_once() -> None:
    async def main() -> None:
        async with running_peer() as bench:
            await bench.client.send_all(b"hello")
            await wait_all_tasks_blocked()
            await trio.aclose_forcefully(bench.client)
        assert bench.connection.ends == 1

    run_timeless(main)


def test_work_left_is_resumed_while_others_run() -> None:
    async def main() -> None:
        async with running_peer() as bench:
            await bench.client.send_all(b"work:5")
            assert await bench.read_exactly(5) == b"....."
            assert len(bench.connection.turns) == 6
            await bench.client.aclose()
        assert bench.connection.ends == 1

    run_timeless(main)


def test_does_not_read_while_throttled() -> None:
    async def main() -> None:
        async with running_peer() as bench:
            await bench.client.send_all(b"throttle")
            await wait_all_tasks_blocked()
            await bench.client.send_all(b"more")
            await wait_all_tasks_blocked()
            assert len(bench.connection.turns) == 1
            bench.connection.unthrottle()
            bench.relay.run()
            assert await bench.read_exactly(6) == b"gomore"
            await bench.client.aclose()

    run_timeless(main)


def test_a_throttled_connection_can_be_closed_by_a_turn_elsewhere() -> None:
    async def main() -> None:
        async with running_peer() as bench:
            await bench.client.send_all(b"throttle")
            await wait_all_tasks_blocked()
            bench.connection.close()
            bench.relay.run()
            assert await bench.read_to_end() == b""
            await bench.client.aclose()
        assert bench.end is End.FLUSHED

    run_timeless(main)


def test_does_not_read_on_while_replies_are_not_read() -> None:
    async def main() -> None:
        size = REPLIES_MAX + HIGH_WATER
        async with running_peer(lockstep=True) as bench, trio.open_nursery() as client:
            await bench.client.send_all(b"flood:%d" % size)
            client.start_soon(bench.client.send_all, b"more")
            await wait_all_tasks_blocked()
            assert len(bench.connection.turns) == 1
            assert (await bench.read_exactly(size + 4)).endswith(b"more")
            await bench.client.aclose()

    run_timeless(main)


def test_tells_when_the_low_mark_is_reached_from_above() -> None:
    async def main() -> None:
        async with running_peer() as bench:
            await bench.client.send_all(b"flood:%d" % LOW_WATER)
            await bench.read_exactly(LOW_WATER)
            assert bench.connection.drained == 0
            bench.connection.refills = 3
            await bench.client.send_all(b"flood:%d" % (LOW_WATER + 1))
            await bench.read_exactly(LOW_WATER + 1 + 3 * REFILL_SIZE)
            await wait_all_tasks_blocked()
            assert bench.connection.drained == 4
            await bench.client.aclose()

    run_timeless(main)


def test_a_peer_that_takes_nothing_is_cut_off() -> None:
    async def main() -> None:
        start = trio.current_time()
        async with running_peer(lockstep=True) as bench:
            await bench.client.send_all(b"flood:%d" % HIGH_WATER)
        assert bench.end is End.STALLED
        assert bench.connection.ends == 1
        assert trio.current_time() - start == STALL_SECONDS

    run_timeless(main)


def test_a_slow_peer_is_not_cut_off() -> None:
    async def main() -> None:
        async with running_peer(lockstep=True) as bench:
            await bench.client.send_all(b"flood:%d" % HIGH_WATER)
            for _ in range(HIGH_WATER // PIECE_SIZE):
                await trio.sleep(STALL_SECONDS - 1)
                await bench.read_exactly(PIECE_SIZE)
            assert bench.connection.ends == 0
            await bench.client.aclose()

    run_timeless(main)


def test_lingers_for_a_peer_that_does_not_close_but_not_long() -> None:
    async def main() -> None:
        start = trio.current_time()
        async with running_peer() as bench:
            await bench.client.send_all(b"quit")
        assert bench.end is End.FLUSHED
        assert trio.current_time() - start == LINGER_SECONDS

    run_timeless(main)


def test_what_comes_after_the_end_is_read_and_dropped() -> None:
    async def main() -> None:
        start = trio.current_time()
        async with running_peer() as bench:
            await bench.client.send_all(b"quit")
            assert await bench.read_to_end() == b"bye"
            await bench.client.send_all(b"too late")
            await wait_all_tasks_blocked()
            await bench.client.aclose()
        assert len(bench.connection.turns) == 1
        assert trio.current_time() == start, "it does not linger for who has gone"

    run_timeless(main)


def test_a_stream_that_breaks_while_it_is_written_to_ends_the_peer() -> None:
    async def main() -> None:
        async with running_peer(lockstep=True) as bench:
            await bench.client.send_all(b"flood:%d" % HIGH_WATER)
            await bench.read_exactly(1000)
            await trio.aclose_forcefully(bench.client)
        assert bench.end is End.BROKEN
        assert bench.connection.ends == 1

    run_timeless(main)


def test_a_bug_passes_and_leaves_nothing_behind() -> None:
    async def main() -> None:
        bench = PeerBench()
        await bench.client.send_all(b"bug")
        with pytest.RaisesGroup(PlantedBug):
            await bench.run()
        assert bench.connection.ends == 1
        assert bench.outbox.closed
        assert await bench.read_to_end() == b""

    run_timeless(main)


def test_a_bug_at_the_end_still_closes_the_transport() -> None:
    async def main() -> None:
        bench = PeerBench()
        await bench.client.send_all(b"trap")
        await bench.client.send_eof()
        with pytest.RaisesGroup(PlantedBug):
            await bench.run()
        assert bench.connection.ends == 1
        assert await bench.read_to_end() == b""

    run_timeless(main)


def test_cancelled_it_tells_the_connection_and_closes() -> None:
    async def main() -> None:
        bench = PeerBench()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.run)
            await bench.client.send_all(b"hello")
            await bench.read_exactly(5)
            nursery.cancel_scope.cancel()
        assert bench.connection.ends == 1
        assert await bench.read_to_end() == b""

    run_timeless(main)


def test_bytes_written_before_the_peer_ran_are_sent() -> None:
    async def main() -> None:
        bench = PeerBench()
        bench.outbox.write(b"early")
        bench.relay.run()  # some other turn: nobody is there to be woken yet
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.run)
            assert await bench.read_exactly(5) == b"early"
            await bench.client.aclose()

    run_timeless(main)


def test_leaves_the_doorway_when_it_is_known() -> None:
    async def main() -> None:
        doorway = Doorway(Limits(unauthenticated_max=1))
        bench = PeerBench(await enter(doorway, "1.2.3.4"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.run)
            await bench.client.send_all(b"hello")
            await bench.read_exactly(5)
            with trio.move_on_after(1) as too_early:
                await enter(doorway, "1.2.3.5")
            assert too_early.cancelled_caught
            await bench.client.send_all(b"login")
            await bench.read_exactly(7)
            await enter(doorway, "1.2.3.5")
            await bench.client.aclose()

    run_timeless(main)
