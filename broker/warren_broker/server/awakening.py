"""Awakening: a broker that remembers what its data directory holds."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from warren.errors import WarrenError
from warren_broker.amqp.content_header import ContentHeader
from warren_broker.core.queue import Queue
from warren_broker.core.restoration import Kept, Restoration
from warren_broker.core.stream.stream import Stream
from warren_broker.server.background import Background
from warren_broker.server.book import Book
from warren_broker.server.disk_alarm import default_mark_bytes
from warren_broker.server.journal_store import JournalStore
from warren_broker.server.keeper import Keeper
from warren_broker.server.revival import revived
from warren_broker.server.settings import SettingsError
from warren_broker.server.spill_file import SpillFile
from warren_broker.server.streams import Streams
from warren_broker.storage import definitions
from warren_broker.storage.disk import FileDisk
from warren_broker.storage.journal import Journal
from warren_broker.storage.lookup import Lookup
from warren_broker.storage.recovery import Progress, Recovered, recover
from warren_broker.storage.settings import JournalSettings, SettingError, Sync
from warren_broker.storage.stream.opening import open_streams
from warren_broker.storage.stream.segment import parse_name

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from warren_broker.core.broker import Broker
    from warren_broker.server.beginning import Beginning
    from warren_broker.server.event_log import EventLog
    from warren_broker.server.settings import StorageSettings
    from warren_broker.storage.replay import Stored
    from warren_broker.storage.stream.damage import StreamDamage
    from warren_broker.storage.stream.opening import Opened

_SLICE: Final = 2000
"""Messages that are put back before others have the processor."""


async def awaken(
    broker: Broker,
    data_dir: str,
    storage: StorageSettings,
    log: EventLog,
    beginning: Beginning,
) -> Keeper:
    """Restore `broker` from `data_dir`, and keep it there from now on.

    Raises SettingsError for what cannot be used.
    """
    settings = JournalSettings(
        sync=_sync(storage.sync),
        segment_size=storage.segment_bytes,
        reserve_size=storage.reserve_bytes,
    )
    disk, recovered = await _recover(data_dir, settings, log)
    broker.parking.spill = SpillFile(Path(data_dir))
    journal = Journal(recovered.start, settings)
    opened = await _open_streams(disk, data_dir, recovered, log)
    streams = Streams(
        recovered.start,
        opened.streams,
        FileDisk(Path(data_dir)),
        reading=Background("streams"),
        upkeep=Background("compaction"),
        runway_size=settings.runway,
    )
    lookup = Lookup(journal, disk)
    store = JournalStore(journal, Book(), lookup, streams, settings.sync.mode)
    for _ in restore(broker, recovered, store, beginning):
        await trio.lowlevel.checkpoint()
    if definitions.NAME in {each.name for each in recovered.damage}:
        journal.add_snapshot(store.snapshot())  # a whole one again
    _report(log, recovered)
    for name in broker.health.recovered_queues:
        log.event("messages without a queue", {"recovered_in": name})
    _report_streams(log, broker, streams.missing, opened.damage)
    mark_bytes = storage.free_bytes_min
    if mark_bytes is None:
        mark_bytes = default_mark_bytes(data_dir, settings.segment_size)
    log.event(
        "storage opened",
        {
            "data_dir": data_dir,
            "sync": str(settings.sync),
            "journal_bytes": journal.size,
            "free_bytes_min": mark_bytes,
        },
    )
    return Keeper(
        journal,
        disk,
        store,
        broker,
        log,
        free_bytes_min=mark_bytes,
        sync_seconds=settings.sync.interval_ms / 1000,
    )


def restore(
    broker: Broker,
    recovered: Recovered,
    store: JournalStore,
    beginning: Beginning | None = None,
) -> Iterator[None]:
    """Make `broker` again of what was recovered, in slices, and give it `store`.

    `beginning`: what the operator's files say.
    """
    book = store.book
    book.read(recovered.snapshot, recovered.definitions)
    book.go_on_after(recovered.messages)
    book.last_number = max(book.last_number, store.streams.number_max)
    defined = book.definitions()
    broker.administration.restore(defined)
    if beginning is not None:
        if not (defined or recovered.messages):
            broker.store = store
            beginning.load(broker)
        beginning.configure(broker)  # before queues have messages to apply it to
    is_clean = (recovered.was_clean or recovered.is_new) and not _is_damaged(recovered)
    restoration = Restoration(broker, is_clean=is_clean)
    restoration.define(defined)
    adopted = _adopt_strays(recovered, restoration) if recovered.damage else {}
    restoration.go_on_after(book.sequences)
    book.forget_gone(
        {
            number: {each.sequence for each in messages}
            for number, messages in recovered.messages.items()
        }
    )
    broker.store = store  # what is too much for the memory is left to it at once
    for number, messages in recovered.messages.items():
        is_queue = isinstance(restoration.numbers.get(number), Queue)
        for start in range(0, len(messages), _SLICE):
            piece = messages[start : start + _SLICE]
            if number in adopted:  # nobody knows what its moment was meant for
                piece = [one._replace(expires_ms=0) for one in piece]
            restoration.put_back(_kept(number, piece, book, is_queue=is_queue))
            yield
    for queue in adopted.values():
        queue.vhost.definitions.put_queue(queue)
    broker.health.damage = recovered.noted
    broker.health.recovered_queues = tuple(queue.name for queue in adopted.values())
    if not recovered.damage:
        _forget_orphans(store, recovered, restoration)
    if restoration.is_doubtful:
        _note_doubts(store, recovered, restoration)
    restoration.finish()
    store.streams.is_restoring = False


def _is_damaged(recovered: Recovered) -> bool:
    """Whether there is damage that no start or repair has dealt with.

    Then settlements may be lost, and messages back that were delivered.
    """
    return not all(each.is_old for each in recovered.damage)


def _adopt_strays(recovered: Recovered, restoration: Restoration) -> dict[int, Queue]:
    """Give queues to messages that have none: it may be what is lost of them."""
    adopted = {}
    for number in recovered.messages:
        if number not in restoration.numbers:
            queue = restoration.adopt(number)
            if queue is not None:
                adopted[number] = queue
    return adopted


async def _recover(
    path: str, settings: JournalSettings, log: EventLog
) -> tuple[FileDisk, Recovered]:
    def tell(progress: Progress) -> None:
        log.event(
            "recovering", {"bytes": progress.bytes_read, "of": progress.bytes_total}
        )

    def show(progress: Progress) -> None:
        trio.from_thread.run_sync(tell, progress)

    try:
        disk = FileDisk(Path(path))
        found = partial(recover, disk, show, reserve_size=settings.reserve_size)
        return disk, await trio.to_thread.run_sync(found)
    except (WarrenError, OSError) as error:
        raise SettingsError(f"storage.data_dir {path}: {error}") from error


async def _open_streams(
    disk: FileDisk, path: str, recovered: Recovered, log: EventLog
) -> Opened:
    """Make the logs of streams fit to go on with, before there are streams."""
    opening = partial(open_streams, disk, recovered.start.superblock.store_id)
    try:
        opened = await trio.to_thread.run_sync(opening, wanted_streams(recovered))
    except OSError as error:
        disk.unlock()
        raise SettingsError(f"storage.data_dir {path}: {error}") from error
    for name in opened.set_aside:
        log.event("set aside", {"file": name})
    return opened


def wanted_streams(recovered: Recovered) -> Container[int] | None:
    """The numbers of streams that are defined; None, if nobody can tell any more.

    What is defined and cannot be made again keeps its files all the same.
    """
    if recovered.damage:
        return None
    book = Book()
    book.read(recovered.snapshot, recovered.definitions)
    return book.numbers()


def _sync(text: str) -> Sync:
    try:
        return Sync.parse(text)
    except SettingError as error:
        raise SettingsError(f"storage.sync: {error}") from error


def _kept(
    number: int, messages: list[Stored], book: Book, *, is_queue: bool
) -> Iterator[Kept]:
    """Make messages of what the journal has kept for one number."""
    make = ContentHeader.restored if is_queue else ContentHeader
    contents = ((one.route, one.header, one.body) for one in messages)
    for one, message in zip(messages, revived(contents, make), strict=True):
        yield Kept(
            number,
            one.sequence,
            message,
            one.expires_ms,
            book.return_count(number, one.sequence),
            one.position,
        )


def _forget_orphans(
    store: JournalStore, recovered: Recovered, restoration: Restoration
) -> None:
    """Messages of queues that were deleted while somebody held them."""
    for number, messages in recovered.messages.items():
        if number not in restoration.numbers:
            store.settle_all(number, [(one.sequence, one.position) for one in messages])


def _note_doubts(
    store: JournalStore, recovered: Recovered, restoration: Restoration
) -> None:
    """Nobody knows which messages have been delivered, and nobody ever will."""
    for number, messages in recovered.messages.items():
        if messages and isinstance(restoration.numbers.get(number), Queue):
            store.doubt(number, messages[-1].sequence)


def _report(log: EventLog, recovered: Recovered) -> None:
    messages = sum(map(len, recovered.messages.values()))
    if not recovered.is_new:
        log.event("recovered", {"messages": messages, "clean": recovered.was_clean})
    for line in recovered.noted:
        log.event("data damaged", {"damage": line, "do": "warren repair"})
    for name in recovered.set_aside:
        log.event("set aside", {"file": name})


def _report_streams(
    log: EventLog,
    broker: Broker,
    missing: Iterable[int],
    damaged: Iterable[StreamDamage],
) -> None:
    """Say what is damaged of streams, by the names that people know."""
    names = {
        queue.number: str(queue)
        for vhost in broker.vhosts.values()
        for queue in vhost.queues.values()
        if isinstance(queue, Stream)
    }
    for number in missing:
        log.event(
            "data damaged", {"damage": f"{names.get(number, number)} has no file"}
        )
    for damage in damaged:
        parsed = parse_name(damage.name)
        name = None if parsed is None else names.get(parsed.number)
        log.event("data damaged", {"damage": str(damage), "of": name})
