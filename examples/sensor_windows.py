"""Windows over a stream: the last twenty readings, or those of each minute.

Who comes late need not read all: a negative offset counts from the end. Windows in time
go by when a reading was taken, which it says itself, and not by when it is read; so
they are the same whenever they are computed.

    python examples/sensor_windows.py [URL]
"""

from __future__ import annotations

import sys
from itertools import groupby, islice
from typing import TYPE_CHECKING

import attrs

from warren import blocking

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

URL = "amqp://guest:guest@127.0.0.1:5672/"
STREAM = "example.thermometer"


@attrs.frozen
class Reading:
    """What the thermometer says, so many seconds after it was switched on."""

    second: int
    celsius: float


def mean(readings: Iterable[Reading]) -> float:
    """Return the mean temperature."""
    values = [reading.celsius for reading in readings]
    return sum(values) / len(values)


def tumbling(
    readings: Iterable[Reading], seconds: int
) -> Iterator[tuple[int, list[Reading]]]:
    """Yield windows one after the other, each with the second at which it begins.

    A reading is in one of them.
    """
    for number, window in groupby(readings, lambda each: each.second // seconds):
        yield number * seconds, list(window)


def sliding(
    readings: Iterable[Reading], seconds: int, step: int
) -> Iterator[tuple[int, list[Reading]]]:
    """Yield a window every `step` seconds, each with the second at which it ends.

    It has the readings of so many `seconds` before that, so a reading is in several.
    """
    window: list[Reading] = []
    end = seconds
    for reading in readings:
        while reading.second >= end:
            window = [each for each in window if each.second >= end - seconds]
            yield end, window
            end += step
        window.append(reading)


def read(
    connection: blocking.Connection, count: int, offset: int | str
) -> list[Reading]:
    """Read so many from `offset` on."""
    with connection.consume(STREAM, Reading, offset=offset, no_ack=True) as readings:
        return [reading.value for reading in islice(readings, count)]


def main(url: str = URL) -> None:
    """It gets a degree warmer every minute."""
    with blocking.connect(url) as connection:
        connection.declare_queue(STREAM, durable=True, queue_type="stream")
        with connection.batch() as batch:
            for second in range(0, 250, 5):
                reading = Reading(second, 20.0 + second // 60)
                batch.publish(reading, routing_key=STREAM)

        print(f"the last 20: {mean(read(connection, 20, -20)):.2f} C")
        readings = read(connection, 50, "first")
        for begin, window in tumbling(readings, 60):
            print(f"from second {begin:3}: {mean(window):.2f} C of {len(window)}")
        for end, window in sliding(readings, 120, 60):
            print(f"until second {end:3}: {mean(window):.2f} C in two minutes")
        connection.delete_queue(STREAM)


if __name__ == "__main__":
    main(*sys.argv[1:])
