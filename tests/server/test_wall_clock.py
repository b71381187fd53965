"""WallClock: the broker hears that the system's clock was set."""

from __future__ import annotations

import trio

from tests.server.harness import RememberingLog, run_timeless
from warren_broker.core.broker import Broker
from warren_broker.server.wall_clock import LOOK_SECONDS, WallClock


def test_a_clock_that_is_set_is_noticed_and_noted() -> None:
    async def main() -> None:
        ahead = 0.0
        log = RememberingLog()
        broker = Broker(now=trio.current_time(), wall_seconds=1e9)
        clock = WallClock(broker, log, lambda: 1e9 + trio.current_time() + ahead)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clock.run)
            await trio.sleep(0.5 * LOOK_SECONDS)
            assert broker.sure_wall_ms < 1e9  # 1970, more or less
            await trio.sleep(LOOK_SECONDS)
            assert broker.wall_seconds == 1e9 + LOOK_SECONDS
            assert broker.sure_wall_ms == broker.wall_seconds * 1000
            assert log.events == []
            ahead = -3600.0
            await trio.sleep(LOOK_SECONDS)
            assert broker.wall_seconds == 1e9 + 2 * LOOK_SECONDS - 3600
            assert log.events == [("wall clock was set", {"step_seconds": -3600.0})]
            nursery.cancel_scope.cancel()

    run_timeless(main)
