"""Transfer: a data directory becomes one file, and a file a new data directory.

An export reads what a start would read and changes nothing; what is damaged it leaves
out and reports. An import makes a directory beside the one that is wanted and gives it
its name when all of it is safe: there is a whole one or none.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import attrs
import cbor2

from warren_broker.server.book import Book
from warren_broker.server.transfer_file import (
    Moving,
    MovingRecords,
    TransferError,
    TransferReader,
    TransferWriter,
)
from warren_broker.server.transfer_streams import StreamImport, records_of
from warren_broker.storage import record as records
from warren_broker.storage import superblock
from warren_broker.storage.disk import JOURNAL, FileDisk
from warren_broker.storage.journal import Journal
from warren_broker.storage.recovery import recover
from warren_broker.storage.replay import Replay
from warren_broker.storage.settings import JournalSettings
from warren_broker.storage.space import OFFSET_BITS
from warren_broker.storage.stream.log import StoreFacts
from warren_broker.storage.stream.survey import StreamSurvey
from warren_broker.storage.survey import Survey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from warren_broker.storage.batch import Batch
    from warren_broker.storage.stream.damage import StreamDamage
    from warren_broker.storage.walk import Damage

_BATCH_BYTES: Final = 8 << 20
_SUFFIX: Final = ".importing"


@attrs.frozen
class Transferred:
    """What was exported or imported."""

    definitions: int
    messages: int
    damage: tuple[Damage | StreamDamage, ...] = ()
    """What could not be read."""


def open_data_directory(path: Path) -> FileDisk:
    """Return the disk of a directory that a broker has used.

    Raises TransferError if it is none: nothing is made then.
    """
    has_superblock = any((path / name).exists() for name in superblock.SLOTS)
    if not (has_superblock or any((path / JOURNAL).glob("*.log"))):
        raise TransferError(f"{path} is no data directory")
    return FileDisk(path)


def export_to(file: Path, path: Path) -> Transferred:
    """Write all that lives in `path` to `file`, which is new and for its owner only.

    Raises what `export_directory` raises, and leaves no file then.
    """
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as target:
            transferred = export_directory(path, target)
            target.flush()
            os.fsync(descriptor)
    except BaseException:
        file.unlink()
        raise
    return transferred


def export_directory(path: Path, target: BinaryIO) -> Transferred:
    """Write all that lives in `path` to `target`.

    Raises TransferError, StoreInUseError, StoreVersionError, StoreDamagedError,
    OpsError, OSError.
    """
    disk = open_data_directory(path)
    disk.lock()
    try:
        survey = Survey(disk, bytes(16))
        replay = read_all(survey)
        book = Book()
        try:
            cbor = survey.snapshot.cbor if survey.snapshot else None
            book.read(cbor, replay.definitions)
        except cbor2.CBORError as error:
            raise TransferError(f"{path}: the definitions are damaged") from error
        writer = TransferWriter(target, was_clean=survey.superblock.is_clean)
        for entry in book.entries():
            writer.add_definition(cbor2.dumps(entry))
        for number, messages in replay.take_messages().items():
            for one in messages:
                writer.add_message(Moving(number, *one[:5]))
        streams = StreamSurvey(disk, survey.superblock.store_id)
        for chunk in records_of(streams, book.numbers()):
            writer.add_records(chunk)
    finally:
        disk.unlock()
    writer.end()
    damage: list[Damage | StreamDamage] = [*survey.damage, *streams.damage]
    return Transferred(writer.definitions, writer.messages, tuple(damage))


def import_from(file: Path, path: Path) -> Transferred:
    """Make the data directory `path` of what `file` has; see `import_directory`."""
    with file.open("rb") as source:
        return import_directory(source, path)


def import_directory(source: BinaryIO, path: Path) -> Transferred:
    """Make the data directory `path` of what `source` has.

    After an unclean stop everything is redelivered at the next start, as it would have
    been without the transfer. Raises TransferError for a directory that is there and
    not empty, and for a file that is not whole; OSError.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise TransferError(f"{path} is there, and not an empty directory")
    reader = TransferReader(source)
    with new_directory(path) as draft:
        _fill(FileDisk(draft), reader)
    return Transferred(reader.definitions, reader.messages)


def read_all(survey: Survey) -> Replay:
    """Return what lives, by a survey that is not read yet."""
    replay = Replay(survey.snapshot)
    for number, walk in survey.walks():
        for found in walk.records():
            if found.header.kind == records.OPS:
                start = found.offset + records.HEADER_SIZE
                base = (number << OFFSET_BITS) + start
                replay.apply(found.header.lsn, base, found.body)
    return replay


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """Give out a directory that becomes `path` if all goes well, and else nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + _SUFFIX)
    draft.mkdir(mode=0o700)
    try:
        yield draft
        draft.rename(path)
    except BaseException:
        shutil.rmtree(draft)
        raise
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fill(disk: FileDisk, reader: TransferReader) -> None:
    """Write a journal of what `reader` has. Nobody else knows the directory."""
    found = recover(disk, reserve_size=0)  # the next start makes one
    journal = Journal(found.start, JournalSettings(reserve_size=0))
    block = found.start.superblock
    streams = StreamImport(disk, StoreFacts(block.store_id, block.epoch))
    try:
        for item in reader.items():
            if isinstance(item, Moving):
                journal.add_message(*item)
            elif isinstance(item, MovingRecords):
                streams.add(item)
            else:
                journal.add_definition(item)
            if journal.waiting_bytes >= _BATCH_BYTES:
                _write(disk, journal, journal.take_batch())
        streams.finish()
        if reader.was_clean:
            _write(disk, journal, journal.take_last_batch())
        else:
            _write(disk, journal, journal.take_batch())
    finally:
        disk.unlock()


def _write(disk: FileDisk, journal: Journal, batch: Batch | None) -> None:
    if batch is not None:
        batch.run(disk)
        journal.on_written(batch, None)
