"""What a command has changed is there after a crash, or nothing of it is."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import trio

from tests.core.support import message
from tests.server.harness import RememberingLog
from tests.simulated_disk import SimulatedDisk
from tests.storage.explorer import variants
from tests.streams import streams_on
from warren.errors import WarrenError
from warren_broker.amqp.connection import ServerConnection
from warren_broker.amqp.content_header import ContentHeader
from warren_broker.core.access import Access, AccountStore, PasswordHash, Permissions
from warren_broker.core.broker import Broker
from warren_broker.core.message import Message
from warren_broker.core.policy import Policy
from warren_broker.management.definitions_of import definitions_of
from warren_broker.server.awakening import restore
from warren_broker.server.book import Book
from warren_broker.server.journal_store import JournalStore
from warren_broker.server.keeper import Keeper
from warren_broker.server.server import Server
from warren_broker.server.settings import ListenerSettings, ServerSettings
from warren_broker.storage.journal import Journal
from warren_broker.storage.lookup import Lookup
from warren_broker.storage.ops import Define, Settled, scan_ops
from warren_broker.storage.outcome import Outcome
from warren_broker.storage.recovery import recover
from warren_broker.storage.settings import JournalSettings

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL = JournalSettings(
    segment_size=900, reserve_size=0, segments_min=1, runway_size=300
)
STORE_ID = b"sixteen bytes..."
ALL = Permissions(configure=".*", write="", read="^a")
PERSISTENT = ContentHeader(bytes.fromhex("003c000000000000000000001000") + b"\x02")


def guest() -> Access:
    """As a broker begins, but with the same hash each time."""
    access = Access(AccountStore())
    access.add_user("guest", PasswordHash.of(b"guest", salt=b"salt"))
    access.set_permissions("guest", "/", ALL)
    return access


class Kept:
    """A broker whose store is a journal on a simulated disk."""

    def __init__(self, disk: SimulatedDisk) -> None:
        disk.locked = False
        self.disk = disk
        self.recovered = recover(disk, reserve_size=0, store_id=STORE_ID)
        self.journal = Journal(self.recovered.start, SMALL)
        streams, _ = streams_on(disk, self.recovered.start)
        lookup = Lookup(self.journal, disk)
        self.store = JournalStore(self.journal, Book(), lookup, streams)
        self.broker = Broker(access=guest(), wall_seconds=1000.0)
        for _ in restore(self.broker, self.recovered, self.store):
            pass

    def take(self, turn: Callable[[Broker], object]) -> None:
        self.broker.begin_turn(0.0)
        turn(self.broker)
        while self.broker.next_deadline() == 0.0:  # policies are applied by and by
            self.broker.on_deadline(0.0)

    def commit(self, *, is_last: bool = False) -> None:
        if self.journal.wants_snapshot:
            self.journal.add_snapshot(self.store.snapshot())
        commit = self.store.take_commit(is_last=is_last)
        if commit is not None:
            commit.run(self.disk)
            assert self.store.on_written(commit) is Outcome.WRITTEN

    def state(self) -> dict[str, Any]:
        """Everything that should survive."""
        found = definitions_of(self.broker)
        found["counts"] = {
            (vhost.name, queue.name): queue.backlog.count
            for vhost in self.broker.vhosts.values()
            for queue in vhost.queues.values()
        }
        return {name: _in_order(value) for name, value in found.items()}


def _in_order(value: object) -> object:
    return sorted(value, key=repr) if isinstance(value, list) else value


def password(random: Random) -> PasswordHash:
    return PasswordHash.of(b"secret", salt=random.randbytes(4))


def command(random: Random) -> Callable[[Broker], object]:
    """One thing an operator or a client may do, that may be refused."""
    user, vhost = random.choice("uvw"), random.choice(("/", "a", "b"))
    name, kind = random.choice("pq"), random.random() < 0.3
    limit, hashed = random.randint(1, 9), password(random)
    made = Policy.parse(name, "", {"max-length": limit}, is_operator=kind)

    def queue(broker: Broker) -> None:
        place = broker.vhosts[vhost]
        if name not in place.queues:
            place.add_queue(
                name, durable=True, auto_delete=False, owner=None, arguments={}
            )
        exchange = place.exchange("amq.fanout")
        place.bind(exchange, place.queues[name], "k", {"n": limit})

    def publish(broker: Broker) -> None:
        route = message(name).route
        broker.vhosts[vhost].publish(Message(route, PERSISTENT, b"body"))

    return random.choice(
        [
            lambda broker: broker.administration.create_vhost(vhost),
            lambda broker: broker.administration.delete_vhost(vhost),
            lambda broker: broker.administration.put_user(user, hashed, ["t"]),
            lambda broker: broker.administration.delete_user(user),
            lambda broker: broker.administration.set_tags(user, ["administrator"]),
            lambda broker: broker.administration.set_permissions(user, vhost, ALL),
            lambda broker: broker.administration.set_permissions("guest", vhost, ALL),
            lambda broker: broker.administration.clear_permissions(user, vhost),
            lambda broker: broker.administration.set_policy(vhost, made),
            lambda broker: broker.administration.delete_policy(
                vhost, name, is_operator=kind
            ),
            queue,
            queue,
            publish,
            publish,
        ]
    )


def run_some(kept: Kept, random: Random, count: int) -> list[dict[str, Any]]:
    """Take so many turns; return the state after each, the first being before."""
    states = [kept.state()]
    for _ in range(count):
        turn = command(random)
        if "/" in kept.broker.vhosts and random.random() < 0.9:
            kept.broker.administration._fixed_vhosts = frozenset("/")  # it stays
        try:
            kept.take(turn)
        except (WarrenError, KeyError):
            assert kept.state() == states[-1], "refused, and changed something"
        states.append(kept.state())
    return states


def commit_with_crashes(kept: Kept, random: Random, expected: tuple[Any, ...]) -> int:
    """Commit; at each change of the disk try every crash, and return how many."""
    crashes = 0

    def crash() -> None:
        nonlocal crashes
        for name, keep in variants(kept.disk.pending, random, every_byte=False):
            disk = kept.disk.crashed(lambda pending, keep=keep: keep)
            assert Kept(disk).state() in expected, f"{name}: torn"
            crashes += 1

    kept.disk.on_change = crash
    kept.commit()
    kept.disk.on_change = lambda: None
    return crashes


@pytest.mark.parametrize("seed", range(6))
def test_every_crash_leaves_a_state_between_two_commands(seed: int) -> None:
    random = Random(seed)
    kept = Kept(SimulatedDisk())
    crashes = 0
    for _ in range(12):
        states = run_some(kept, random, 5)
        safe = states[-1]
        kept.commit()
        assert Kept(kept.disk.crashed()).state() == safe

        states = run_some(kept, random, 3)

        crashes += commit_with_crashes(kept, random, (states[0], states[-1]))
        if random.random() < 0.3:
            kept.commit(is_last=True)
            kept = Kept(kept.disk.crashed())
        elif random.random() < 0.3:
            kept = Kept(kept.disk.crashed())
        assert kept.state() == states[-1]
    assert crashes > 50


def test_passwords_are_never_on_the_disk_in_clear() -> None:
    kept = Kept(SimulatedDisk())
    hashed = PasswordHash.of(b"correct horse battery")
    kept.take(lambda broker: broker.administration.put_user("u", hashed))
    kept.commit()
    everything = b"".join(kept.disk.contents().values())
    assert hashed.encode().encode() in everything
    assert b"correct horse" not in everything


def test_a_deleted_vhost_is_one_definition_and_its_segments_are_freed() -> None:
    kept = Kept(SimulatedDisk())
    kept.take(lambda broker: broker.administration.create_vhost("v"))

    def fill(broker: Broker) -> None:
        vhost = broker.vhosts["v"]
        for name in "abc":
            vhost.add_queue(
                name, durable=True, auto_delete=False, owner=None, arguments={}
            )
            for _ in range(10):
                route = message(name).route
                vhost.publish(Message(route, PERSISTENT, bytes(100)))

    kept.take(fill)
    kept.commit()
    kept.take(lambda broker: broker.administration.delete_vhost("v"))
    batch = kept.journal.take_batch()
    assert batch is not None
    written = [op for _, op in scan_ops(b"".join(batch.chunks))]
    assert [type(op) for op in written] == [Define, Settled, Settled, Settled]
    batch.run(kept.disk)
    kept.journal.on_written(batch, None)
    again = Kept(kept.disk.crashed())
    assert again.recovered.messages == {}
    assert list(again.broker.vhosts) == ["/"]
    for number in range(20):
        kept.take(lambda broker, n=number: broker.administration.create_vhost(f"{n}"))
        kept.commit()
    assert kept.journal.size < 3000, "what was in it holds no segment"


def test_what_cannot_be_restored_is_told_and_kept() -> None:
    kept = Kept(SimulatedDisk())
    kept.store.define(("user", "u"), {"password_hash": "?", "hashing_algorithm": "x"})
    kept.store.define(("policy", "/", "p"), {"pattern": "("})
    kept.commit()
    again = Kept(kept.disk.crashed())
    notices = again.broker.take_notices()
    assert [each.event for each in notices] == ["not restored"] * 2
    assert ("user", "u") in again.store.book.definitions()


def test_a_command_returns_when_it_is_safe() -> None:
    async def main() -> None:
        kept = Kept(SimulatedDisk())
        keeper = Keeper(
            kept.journal, kept.disk, kept.store, kept.broker, RememberingLog()
        )
        settings = ServerSettings(listeners=ListenerSettings(tcp=()))
        server = Server(
            settings, kept.broker, ServerConnection, RememberingLog(), keeper
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run)
            admin = kept.broker.administration
            assert await server.command(lambda: admin.create_vhost("v"))
            assert kept.store.committed >= kept.store.said
            assert "v" in Kept(kept.disk.crashed()).broker.vhosts
            assert not await server.command(lambda: admin.create_vhost("v"))
            server.stop()

    trio.run(main)
