"""Trial: lives of brokers that end in one family of ways, and what came of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Final

from tests.torture.ledger import DAMAGED, WRONG, Ledger
from tests.torture.load import Load, drain
from tests.torture.process import DAMAGE_EVENTS, Process
from tests.torture.records import READ, RecordLedger
from tests.torture.streams import audit

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path
    from random import Random

BUG_EVENTS: Final = ("bug",)


class TrialError(Exception):
    """It makes no sense to go on; the text says why."""


class Trial(ABC):
    """One family of ways to end.

    Attributes:
        figures: as in `Ledger.report`, of all ledgers.
        record_figures: the same of streams.
        ends: how many lives ended in which way.
        facts: what else is worth to be told.
        wrong: promises that were broken, in words.
    """

    ENDS: ClassVar[tuple[str, ...]]
    SIZE_MAX: ClassVar[int] = 900
    RETENTION: ClassVar[dict[str, int]] = {}

    def __init__(self, directory: Path, random: Random, publishers: int) -> None:
        self.figures: Counter[str] = Counter()
        self.record_figures: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.facts: list[str] = []
        self.wrong: list[str] = []
        self.ledger = Ledger(self.SIZE_MAX)
        self.records = RecordLedger(self.SIZE_MAX, **self.RETENTION)
        self.directory = directory
        self.random = random
        self.publishers = publishers
        directory.mkdir()

    @classmethod
    @abstractmethod
    def missing(cls) -> str | None:
        """Return why it cannot be done here; None if it can."""

    @abstractmethod
    def run(self, seconds: float, ends: Collection[str]) -> None:
        """Try `ends` for so long. Raises TrialError, or MountError."""

    @contextmanager
    def broker(
        self, data_dir: Path, injection: str = "", **options: object
    ) -> Iterator[Process]:
        """Begin to start a broker; look at its log when it has ended."""
        with Process(data_dir, injection, **options) as process:
            try:
                yield process
            except TrialError as error:
                raise TrialError(f"{error}; it said: {process.last_words()}") from error
            process.kill()
            for line in process.events(*DAMAGE_EVENTS):
                self.ledger.note(DAMAGED, line)
            self.wrong += process.events(*BUG_EVENTS)

    def load(self, url: str, *, consumes: bool) -> Load:
        """Return clients that publish and read, and with `consumes` consume as well."""
        return Load(url, self.ledger, self.records, self.publishers, consumes=consumes)

    def require_ready(self, process: Process) -> None:
        """Raises TrialError unless it starts."""
        if not process.wait_ready():
            raise TrialError("no start")

    def finish(self, data_dir: Path, **options: object) -> None:
        """Drain and read what is left, and ask the ledgers."""
        with self.broker(data_dir, **options) as process:
            self.require_ready(process)
            left = drain(process.url, self.ledger)
            audit(process.url, self.records)
            if process.stop():
                self.wrong.append("the last broker did not stop well")
        self.facts.append(f"{left} messages were left at the end")
        self.facts.append(f"{self.records.report()[READ]:,} records were read along")

    def conclude(self) -> None:
        """Add up; to be called once, at the end."""
        self.figures += self.ledger.report()
        self.record_figures += self.records.report()
        self.wrong += self.ledger.findings + self.records.findings
        self.wrong += [
            f"{what}{name}: {count}"
            for what, figures in (
                ("", self.figures),
                ("streams, ", self.record_figures),
            )
            for name in WRONG
            if (count := figures[name])
        ]
