"""Messages for later: how fast they are taken, what they weigh, how late they come."""

from __future__ import annotations

import time
from dataclasses import dataclass
from random import Random
from struct import Struct
from typing import TYPE_CHECKING, Final

from tests.bench import usage
from tests.bench.scenario import SETTLE_SECONDS, WARM_UP_MESSAGES, Sample, Scenario
from tests.bench.talk import CHANNEL, FRAME_MAX, Talk
from tests.bench.warren import Warren
from warren.wire.constants import FRAME_BODY
from warren.wire.frames import encode_content, encode_method
from warren.wire.methods import BasicConsume, BasicPublish, QueueDeclare
from warren.wire.properties import Properties, encode_header

if TYPE_CHECKING:
    from tests.bench.broker import Broker
    from tests.bench.generator import Generator

QUEUE: Final = "scheduled"
PARKED: Final = bytes(64)  # the body of what only waits
CHUNK_MESSAGES: Final = 500
CHUNKS: Final = 40  # that are made before; then they are sent over and over
WINDOW: Final = 5_000
PUNCTUAL_MESSAGES: Final = 20_000
PUNCTUAL_SECONDS: Final = 2.0
LEAD_SECONDS: Final = 3.0  # to publish them all
_DUE: Final = Struct(">d")


@dataclass(frozen=True)
class Scheduled(Scenario):
    """A million that wait for hours, and beside them some that are due soon.

    Only Warren has this without a plugin.
    """

    count: int

    def suits(self, broker: Broker) -> bool:
        return broker.name == Warren.title

    def run(self, generator: Generator, broker: Broker, seconds: float) -> Sample:
        """`insert_rate` with confirms, `bytes` each, `p50_us` and `p99_us` too late.

        The broker starts afresh, since memory freed by earlier runs hides growth.
        """
        if not broker.is_fresh:
            broker.renew()
        broker.is_fresh = False
        random = Random(1)
        chunks = [_chunk(random) for _ in range(CHUNKS)]
        with Talk(broker.port) as talk:
            for _ in range(WARM_UP_MESSAGES // CHUNK_MESSAGES):
                talk.publish(chunks[0], CHUNK_MESSAGES, 0)
            empty_bytes = broker.resident_bytes()
            before = time.monotonic(), broker.cpu_seconds(), _busy_seconds(broker)
            for number in range(self.count // CHUNK_MESSAGES):
                talk.publish(chunks[number % CHUNKS], CHUNK_MESSAGES, WINDOW)
            talk.flush()
            elapsed = time.monotonic() - before[0]
            cpu = broker.cpu_seconds() - before[1]
            noise = (_busy_seconds(broker) - before[2]) / elapsed
        time.sleep(SETTLE_SECONDS)
        waiting_bytes = broker.resident_bytes()
        late_us = sorted(_punctuality(broker.port, random))
        return {
            "insert_rate": self.count / elapsed,
            "insert_cpu_us": cpu * 1e6 / self.count,
            "bytes": (waiting_bytes - empty_bytes) / self.count,
            "p50_us": late_us[len(late_us) // 2],
            "p99_us": late_us[len(late_us) * 99 // 100],
            "noise_cores": max(noise, 0.0),
        }


def _busy_seconds(broker: Broker) -> float:
    """CPU time that went to others than the broker and this process."""
    ours = broker.cpu_seconds() + time.process_time()
    return usage.machine_cpu_seconds() - ours


def _chunk(random: Random) -> bytes:
    """Messages for some time in the next hours but one."""
    return b"".join(
        _published(PARKED, {"x-delay": random.randrange(3_600_000, 36_000_000)})
        for _ in range(CHUNK_MESSAGES)
    )


def _published(body: bytes, headers: dict[str, int]) -> bytes:
    header = encode_header(Properties(headers=dict(headers)), len(body))
    publish = BasicPublish(routing_key=QUEUE)
    return b"".join(encode_content(CHANNEL, publish, header, body, FRAME_MAX))


def _punctuality(port: int, random: Random) -> list[float]:
    """Microseconds between the moments of messages and their arrival."""
    start = time.time() + LEAD_SECONDS
    spread_ms = round(PUNCTUAL_SECONDS * 1000)
    late_us: list[float] = []
    with Talk(port) as consumer, Talk(port) as publisher:
        consumer.call(QueueDeclare(queue=QUEUE, auto_delete=True))
        consumer.send(
            encode_method(CHANNEL, BasicConsume(queue=QUEUE, no_ack=True, no_wait=True))
        )
        for _ in range(PUNCTUAL_MESSAGES // CHUNK_MESSAGES):
            moments = [
                round(start * 1000) + random.randrange(spread_ms)
                for _ in range(CHUNK_MESSAGES)
            ]
            messages = [
                _published(_DUE.pack(moment / 1000), {"x-deliver-at": moment})
                for moment in moments
            ]
            publisher.publish(b"".join(messages), CHUNK_MESSAGES, WINDOW)
        publisher.flush()
        while len(late_us) < PUNCTUAL_MESSAGES:
            dues = [
                _DUE.unpack(frame.payload)[0]
                for frame in consumer.frames()
                if frame.kind == FRAME_BODY
            ]
            late_us += [(consumer.read_at - due) * 1e6 for due in dues]
    return late_us
