"""Relay: after a turn the dirty are woken, notices told, the timer moved."""

from __future__ import annotations

from typing import final

import trio

from tests.server.harness import PlantedBug, RememberingLog, run_timeless
from warren.wire.outbox import Outbox
from warren_broker.core.broker import Broker
from warren_broker.core.deadlines import DeadlineOwner
from warren_broker.server.relay import Relay, Sender
from warren_broker.server.timer import Timer


@final
class CountingSender(Sender):
    def __init__(self) -> None:
        self.wakes = 0

    def wake(self) -> None:
        self.wakes += 1


@final
class Alarm(DeadlineOwner):
    """Fails when its moment comes, as often as it is told to."""

    def __init__(self, broker: Broker, failures: int) -> None:
        self.rings: list[float] = []
        self._broker = broker
        self._failures = failures

    def on_deadline(self, now: float) -> None:
        self.rings.append(now)
        if self._failures:
            self._failures -= 1
            self._broker.deadlines.set(self, now)
            raise PlantedBug


def make_relay(broker: Broker) -> tuple[Relay, Timer, RememberingLog]:
    timer, log = Timer(), RememberingLog()
    return Relay(broker, timer, log), timer, log


def test_wakes_the_dirty_once_a_turn() -> None:
    relay, _, _ = make_relay(Broker())
    outboxes = [Outbox(relay.dirty) for _ in range(3)]
    senders = [CountingSender() for _ in outboxes]
    for outbox, sender in zip(outboxes, senders, strict=True):
        relay.add(outbox, sender)
    outboxes[0].write(b"a")
    outboxes[0].write(b"b")
    outboxes[2].close()
    relay.run()
    relay.run()
    assert [sender.wakes for sender in senders] == [1, 0, 1]


def test_a_removed_outbox_is_nobody() -> None:
    relay, _, _ = make_relay(Broker())
    outbox, sender = Outbox(relay.dirty), CountingSender()
    relay.add(outbox, sender)
    relay.remove(outbox)
    relay.remove(outbox)
    outbox.write(b"a")
    relay.run()
    assert not relay.dirty
    assert not sender.wakes


def test_tells_notices_once() -> None:
    broker = Broker()
    relay, _, log = make_relay(broker)
    broker.notice("connection opened", user="guest")
    relay.run()
    relay.run()
    assert log.events == [("connection opened", {"user": "guest"})]


def test_a_bug_at_a_deadline_is_logged_and_time_goes_on() -> None:
    async def main() -> None:
        start = trio.current_time()
        broker = Broker(now=start)
        relay, timer, log = make_relay(broker)
        alarm = Alarm(broker, failures=2)
        broker.deadlines.set(alarm, start + 10)
        relay.run()
        with trio.move_on_after(100):
            await timer.run(relay.on_deadline)
        assert [ring - start for ring in alarm.rings] == [10, 11, 12]
        assert [name for name, _ in log.failures] == ["deadline failed"] * 2

    run_timeless(main)


def test_a_bug_at_a_deadline_is_the_bug_of_one_owner() -> None:
    broker = Broker(now=0.0)
    relay, _, log = make_relay(broker)
    alarms = [Alarm(broker, failures) for failures in (0, 1, 0)]
    for alarm in alarms:
        broker.deadlines.set(alarm, 5.0)
    relay.on_deadline(5.0)
    assert [alarm.rings for alarm in alarms] == [[5.0]] * 3
    assert [name for name, _ in log.failures] == ["deadline failed"]
