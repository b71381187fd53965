"""The ledger: what a broker was told and has said, and what must be true after it.

It knows the rules of queues from the outside only. Everything that survives is a fact
of its history.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.simulation.history import History, Violation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.simulation.history import Fact, Value


@dataclass(frozen=True)
class QueueTerms:
    """How a queue was declared. Times in seconds; `letters`: where what dies goes.

    `tap`: the stream that gets copies.
    """

    durable: bool = True
    ttl: int = 0
    letters: str = ""
    length: int = 0
    tap: str = ""

    @property
    def arguments(self) -> dict[str, object]:
        found: dict[str, object] = {}
        if self.ttl:
            found["x-message-ttl"] = self.ttl * 1000
        if self.letters:
            found["x-dead-letter-exchange"] = ""
            found["x-dead-letter-routing-key"] = self.letters
        if self.length:
            found["x-max-length"] = self.length
        if self.tap:
            found["x-tap"] = self.tap
        return found


@dataclass
class Note:
    """A message as its publisher knows it. `delay`: seconds, 0 for now."""

    name: str
    exchange: str
    key: str
    persistent: bool
    ttl: int = 0
    delay: int = 0

    @property
    def body(self) -> bytes:
        return self.name.encode()

    @property
    def headers(self) -> dict[str, object]:
        return {"x-delay": self.delay * 1000} if self.delay else {}


@dataclass(eq=False)
class Copy:
    """A message in a queue."""

    name: str
    note: Note
    queue: str
    step: int  # when it came
    place: int  # among all copies
    expires_at: float | None
    kept: bool  # beyond a restart
    is_timely: bool  # it came because time has passed
    is_ready: bool = True
    was_given: bool = False  # and came back
    holder: object = None

    @property
    def rank(self) -> tuple[int, int]:
        """Those of a lower rank came before: of one moment nobody knows."""
        return self.step, 0 if self.is_timely else self.place


class Ledger:
    """What is in the broker now, told by its clients; and the history of that.

    With `WAITS` a message may wait for room, and what comes behind it does not.
    """

    WAITS = False

    def __init__(self) -> None:
        self.history = History()
        self.now = 0.0
        self.queues: dict[str, QueueTerms] = {}
        self.exchanges: dict[str, bool] = {}  # durable
        self.bindings: dict[tuple[str, str], None] = {}
        self.copies: dict[str, dict[str, Copy]] = {}
        self.later: dict[str, tuple[Note, float]] = {}
        self.known: dict[tuple[str, str], Copy] = {}  # all that were ever to be kept
        self.promised: dict[str, tuple[Note, float]] = {}  # the same of those for later
        self._published: dict[str, int] = {}  # in which step
        self._places = 0
        self._is_ticking = False
        self._fresh: dict[str, tuple[Copy, int, object]] = {}  # the last, when, to whom

    # --- what clients do

    def declare_queue(self, name: str, terms: QueueTerms) -> None:
        if name not in self.queues:
            self.queues[name] = terms
            self.copies[name] = {}
            self._fresh.pop(name, None)
            if terms.durable:
                self.history.set(("queue", name), terms.arguments)

    def delete_queue(self, name: str) -> None:
        for copy in list(self.copies[name].values()):
            self._remove(copy)
        for source, queue in [each for each in self.bindings if each[1] == name]:
            self.unbind(source, queue)
        del self.copies[name]
        if self.queues.pop(name).durable:
            self.history.set(("queue", name), None)

    def declare_exchange(self, name: str, *, durable: bool) -> None:
        if name not in self.exchanges:
            self.exchanges[name] = durable
            if durable:
                self.history.set(("exchange", name), "fanout")

    def delete_exchange(self, name: str) -> None:
        for source, queue in [each for each in self.bindings if each[0] == name]:
            self.unbind(source, queue)
        if self.exchanges.pop(name):
            self.history.set(("exchange", name), None)

    def bind(self, source: str, queue: str) -> None:
        if (source, queue) not in self.bindings:
            self.bindings[source, queue] = None
            self._note_binding(source, queue, True)

    def unbind(self, source: str, queue: str) -> None:
        if (source, queue) in self.bindings:
            del self.bindings[source, queue]
            self._note_binding(source, queue, None)

    def publish(self, note: Note) -> None:
        self._published.setdefault(note.name, self.history.step)
        if note.delay:
            self.later[note.name] = note, self.now + note.delay
            self.promised[note.name] = self.later[note.name]
            if note.persistent:
                self.history.set(("later", note.name), True)
        else:
            self._route(note)

    def purge(self, queue: str) -> int:
        ready = self.ready(queue)
        for copy in ready:
            self._remove(copy)
        return len(ready)

    def settle(self, copy: Copy) -> None:
        self._remove(copy)

    def refuse(self, copy: Copy) -> None:
        if self._is_there(copy):
            self._bury(copy)

    def give_back(self, copies: list[Copy]) -> None:
        """Those that were given come back, all before one is given away again."""
        for copy in copies:
            if not self._is_there(copy):
                continue
            copy.holder, copy.was_given = None, True
            if self._is_over(copy):
                self._bury(copy)
            else:
                copy.is_ready = True
                self._trim(copy.queue)

    def pass_time(self, now: float) -> None:
        """Do what is due: at most a second has passed."""
        self.now = now
        self._is_ticking = True
        for name, (note, due) in sorted(
            self.later.items(), key=lambda each: each[1][1]
        ):
            if due <= now:
                del self.later[name]
                self.history.set(("later", name), None)
                self._route(note)
        for queue in list(self.queues):
            for copy in self.ready(queue):
                if self._is_over(copy):
                    self._bury(copy)
        self._is_ticking = False

    # --- what clients hear

    def given(
        self, queue: str, name: str, *, redelivered: bool, no_ack: bool, holder: object
    ) -> Copy:
        """A message was delivered. Raises Violation if that may not be."""
        copy = self.copies.get(queue, {}).get(name)
        if copy is None:
            raise Violation(f"{name} of {queue} is given and is not there")
        if not copy.is_ready:
            raise Violation(f"{name} of {queue} is given to two")
        if redelivered != copy.was_given:
            raise Violation(f"{name} of {queue}: redelivered is {redelivered}")
        if not redelivered:
            self._check_order(copy, holder)
        if no_ack:
            self._remove(copy)
        else:
            copy.is_ready, copy.holder = False, holder
        return copy

    def expects_empty(self, queue: str) -> bool:
        return not any(copy.is_ready for copy in self.copies[queue].values())

    def ready(self, queue: str) -> list[Copy]:
        """What can be given of `queue`, in order."""
        found = [copy for copy in self.copies[queue].values() if copy.is_ready]
        return sorted(found, key=lambda copy: copy.place)

    # --- another life

    def restart(self, found: Mapping[Fact, Value], *, is_clean: bool) -> None:
        """The broker is gone; `found` is what has survived. Raises Violation."""
        may_wait = self._may_wait if self.WAITS and not is_clean else _never
        self.history.reconcile(found, is_clean=is_clean, may_wait=may_wait)
        self.queues = {fact[1]: _terms(found[fact]) for fact in _of(found, "queue")}
        self.exchanges = {fact[1]: True for fact in _of(found, "exchange")}
        self.bindings = {(fact[1], fact[2]): None for fact in _of(found, "binding")}
        self.copies = {name: {} for name in self.queues}
        for fact in _of(found, "copy"):
            copy = self.known[fact[1], fact[2]]
            copy.is_ready, copy.holder = True, None
            copy.was_given = copy.was_given or not is_clean
            self.copies[copy.queue][copy.name] = copy
        later = {fact[1] for fact in _of(found, "later")}
        self.later = {
            name: self.promised[name] for name in self.promised if name in later
        }
        self._fresh = {}

    def come_back(self) -> None:
        """The limits are kept again, as a broker does that has just started."""
        for queue in list(self.queues):
            self._trim(queue)

    # --- inside

    def _may_wait(self, fact: Fact) -> bool:
        """Whether it is a message that nobody was promised, wherever it is by now."""
        if fact[0] not in ("copy", "later"):
            return False
        name = fact[-1].partition("/")[0]
        return self._published[name] > self.history.safe

    def _check_order(self, copy: Copy, holder: object) -> None:
        """What two users get in one step may have been given in any order."""
        now = self.history.step
        last, step, other = self._fresh.get(copy.queue, (copy, now, holder))
        if last.rank > copy.rank and (step < now or holder is other):
            raise Violation(f"{copy.queue}: {copy.name} after {last.name}")
        self._fresh[copy.queue] = copy, now, holder

    def _note_binding(self, source: str, queue: str, value: Value) -> None:
        if self.exchanges[source] and self.queues[queue].durable:
            self.history.set(("binding", source, queue), value)

    def _route(self, note: Note) -> None:
        if note.exchange:
            targets = [
                queue for source, queue in self.bindings if source == note.exchange
            ]
        else:
            targets = [note.key] if note.key in self.queues else []
        for queue in targets:
            self._put(note.name, note, queue, note.ttl)

    def _put(self, name: str, note: Note, queue: str, ttl: int) -> None:
        terms = self.queues[queue]
        self._places += 1
        times = [each for each in (ttl, terms.ttl) if each]
        copy = Copy(
            name,
            note,
            queue,
            self.history.step,
            self._places,
            self.now + min(times) if times else None,
            kept=note.persistent and terms.durable,
            is_timely=self._is_ticking,
        )
        self.copies[queue][name] = copy
        if copy.kept:
            self.known[queue, name] = copy
            self.history.set(("copy", queue, name), True)
        self._trim(queue)

    def _trim(self, queue: str) -> None:
        limit = self.queues[queue].length
        if limit:
            for copy in self.ready(queue)[:-limit]:
                self._bury(copy)

    def _bury(self, copy: Copy) -> None:
        self._remove(copy)
        letters = self.queues[copy.queue].letters
        if letters in self.queues:
            self._put(f"{copy.name}/{copy.queue}", copy.note, letters, 0)

    def _remove(self, copy: Copy) -> None:
        if self._is_there(copy):
            del self.copies[copy.queue][copy.name]
            if copy.kept:
                self.history.set(("copy", copy.queue, copy.name), None)

    def _is_there(self, copy: Copy) -> bool:
        return self.copies.get(copy.queue, {}).get(copy.name) is copy

    def _is_over(self, copy: Copy) -> bool:
        return copy.expires_at is not None and copy.expires_at <= self.now


def _never(fact: Fact) -> bool:
    return False


def _of(found: Mapping[Fact, Value], kind: str) -> Iterator[Fact]:
    return (fact for fact in found if fact[0] == kind)


def _terms(arguments: object) -> QueueTerms:
    assert isinstance(arguments, dict)
    return QueueTerms(
        ttl=arguments.get("x-message-ttl", 0) // 1000,
        letters=arguments.get("x-dead-letter-routing-key", ""),
        length=arguments.get("x-max-length", 0),
        tap=arguments.get("x-tap", ""),
    )
