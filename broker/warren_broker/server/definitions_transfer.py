"""Definitions in and out of a data directory that no broker uses.

An import is one record: all of it is there afterwards, or nothing is. Messages are not
touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cbor2

from warren_broker.core.access import Access, AccountStore
from warren_broker.core.broker import Broker
from warren_broker.core.restoration import Restoration
from warren_broker.management.definitions import Imported, apply_document
from warren_broker.management.definitions_of import definitions_of
from warren_broker.server.background import Nobody
from warren_broker.server.book import Book
from warren_broker.server.journal_store import JournalStore
from warren_broker.server.streams import Streams
from warren_broker.server.transfer import (
    new_directory,
    open_data_directory,
    read_all,
)
from warren_broker.server.transfer_file import TransferError
from warren_broker.server.wall_clock import system_seconds
from warren_broker.storage.disk import FileDisk
from warren_broker.storage.journal import Journal
from warren_broker.storage.lookup import Lookup
from warren_broker.storage.recovery import recover
from warren_broker.storage.settings import JournalSettings
from warren_broker.storage.survey import Survey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from warren_broker.storage.recovery import Recovered
    from warren_broker.storage.walk import Damage


def import_definitions(
    document: Mapping[str, Any], path: Path, vhost: str | None = None
) -> Imported:
    """Give the data directory `path` what `document` defines; make it if it is new.

    For `vhost` see `apply_document`. Raises DefinitionsError, and then nothing has
    changed; TransferError, StoreInUseError, StoreVersionError, StoreDamagedError,
    OpsError, OSError.
    """
    if path.is_dir() and any(path.iterdir()):
        return _import(open_data_directory(path), document, vhost)
    with new_directory(path) as draft:
        return _import(FileDisk(draft), document, vhost)


def export_definitions(path: Path) -> tuple[dict[str, Any], tuple[Damage, ...]]:
    """Return what is defined in `path`, which is not changed, and what is damaged.

    Raises TransferError, StoreInUseError, StoreVersionError, StoreDamagedError,
    OpsError, OSError.
    """
    disk = open_data_directory(path)
    disk.lock()
    try:
        survey = Survey(disk, bytes(16))
        replay = read_all(survey)
    finally:
        disk.unlock()
    snapshot = survey.snapshot.cbor if survey.snapshot else None
    book = _read(snapshot, replay.definitions)
    return definitions_of(_broker_of(book)), tuple(survey.damage)


def _import(disk: FileDisk, document: Mapping[str, Any], vhost: str | None) -> Imported:
    found = recover(disk, reserve_size=0)  # the next start makes one
    try:
        journal = Journal(found.start, JournalSettings(reserve_size=0))
        book = _read(found.snapshot, found.definitions)
        book.go_on_after(found.messages)
        broker = _broker_of(book)
        streams = Streams(found.start, {}, disk, reading=Nobody(), upkeep=Nobody())
        streams.is_restoring = False
        store = JournalStore(journal, book, Lookup(journal, disk), streams)
        broker.store = store
        imported = apply_document(broker, document, vhost)
        _write(disk, store, found)
    finally:
        disk.unlock()
    return imported


def _read(snapshot: bytes | None, entries: Iterable[bytes]) -> Book:
    book = Book()
    try:
        book.read(snapshot, entries)
    except cbor2.CBORError as error:
        raise TransferError("the definitions are damaged") from error
    return book


def _broker_of(book: Book) -> Broker:
    """Return a broker with what is defined, but without messages and without guest."""
    broker = Broker(access=Access(AccountStore()), wall_seconds=system_seconds())
    definitions = book.definitions()
    broker.administration.restore(definitions)
    Restoration(broker, is_clean=True).define(definitions)
    return broker


def _write(disk: FileDisk, store: JournalStore, found: Recovered) -> None:
    """Write the one record; the next start knows as much of the last stop as now."""
    commit = store.take_commit(is_last=found.was_clean or found.is_new)
    if commit is not None:
        commit.run(disk)
        if commit.error is not None:
            raise commit.error
