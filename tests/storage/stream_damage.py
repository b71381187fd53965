"""What decays on the disk: bytes of segments, and of indexes."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from tests.storage.explorer import Violation
from tests.storage.stream_bench import (
    NUMBER,
    STORE_ID,
    Bench,
    Seen,
    log_of,
    open_all,
    seen_in,
)
from warren_broker.storage.stream.reading import StreamReader, UnreadableError
from warren_broker.storage.stream.segment import INDEX, SEGMENT

if TYPE_CHECKING:
    from tests.simulated_disk import SimulatedDisk
    from warren_broker.storage.stream.log import StreamLog

CHUNKS = 30


def stopped(random: Random) -> Bench:
    """A stream of some segments, cleanly stopped; one record in each chunk."""
    bench = Bench()
    for _ in range(CHUNKS):
        bench.now_ms += 1
        bench.append(random.choice((b"a", b"b", b"c")), random.randbytes(50))
        bench.commit()
    bench.commit(is_last=True)
    bench.disk = bench.disk.crashed(lambda pending: pending)
    return bench


def check_damage(seed: int) -> None:
    """Bytes decay: nothing else is lost, nothing is invented, nothing moves."""
    random = Random(seed)
    bench = stopped(random)
    files = [name for name in bench.disk.contents() if name.endswith(SEGMENT)]
    name = random.choice(files)
    size = bench.disk.size(name)
    if random.random() < 0.5:  # then it is only later chunks that attest
        size //= 2
        for index in [each for each in bench.disk.contents() if each.endswith(INDEX)]:
            bench.disk.remove(index)
    at = random.randrange(64, size)
    harm = bytes(
        255 - each for each in bench.disk.read(name, at, random.choice((1, 9)))
    )
    bench.disk.damage(name, at, harm)
    log = log_of(open_all(bench.disk))
    _check_reading(bench, log, bench.disk, most=2)
    log.append(bench.now_ms, None, b"a", b"header", b"later")
    batch = log.take_batch(syncs=True)
    assert batch is not None
    batch.run(bench.disk)
    log.on_written(batch, None)
    again = log_of(open_all(bench.disk.crashed()))
    if (again.first, again.end) != (0, CHUNKS + 1):
        raise Violation(f"from {again.first} to {again.end}")
    _check_reading(bench, again, bench.disk.crashed(), most=2)


def check_index(seed: int) -> None:
    """Indexes are gone, cut or garbled: everything is as it was."""
    random = Random(seed)
    bench = stopped(random)
    disk = bench.disk
    for name in [name for name in disk.contents() if name.endswith(INDEX)]:
        how, size = random.randrange(4), disk.size(name)
        if how == 0:
            disk.remove(name)
        elif how == 1:
            disk.truncate(name, random.randrange(size))
        elif how == 2:
            disk.damage(name, random.randrange(size), random.randbytes(9))
        else:
            disk.append(name, [random.randbytes(random.choice((9, 44, 88)))])
    opened = open_all(disk)
    if opened.damage:
        raise Violation(f"damage: {opened.damage}")
    log = log_of(opened)
    if log.end != CHUNKS:
        raise Violation(f"the end is {log.end}")
    _check_reading(bench, log, disk, most=0)


def _check_reading(
    bench: Bench, log: StreamLog, disk: SimulatedDisk, most: int
) -> None:
    """Ask for each offset: it is right, or what cannot be read is told."""
    if (log.first, min(log.end, CHUNKS)) != (0, CHUNKS):
        raise Violation(f"from {log.first} to {log.end}")
    unreadable = 0
    for offset in range(CHUNKS):
        reader = StreamReader(disk, STORE_ID)
        try:
            page = reader.page(NUMBER, log.place_of(offset), offset)
        except UnreadableError as error:
            if not error.start <= offset < error.end:
                raise Violation(f"{offset}: {error}") from error
            unreadable += 1
            continue
        if not page.start <= offset < page.end:
            raise Violation(f"{offset}: from {page.start} to {page.end}")
        found = dict(seen_in(page.chunks))
        one = bench.ledger.appended[offset]
        expected = Seen(one.timestamp_ms, one.key, one.body)
        if offset not in found and offset not in bench.ledger.may_be_gone:
            raise Violation(f"{offset} is missing")
        if found.get(offset, expected) != expected:
            raise Violation(f"{offset} is altered")
    if unreadable > most:
        raise Violation(f"{unreadable} offsets cannot be read")
