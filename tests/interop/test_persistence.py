"""What survives the end of the process, as pika sees it."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, final

import pika
import pytest
from pika.exceptions import AMQPError, ChannelClosedByBroker

from tests.interop.serving import WARREN, Serving, warrens_own

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pika.adapters.blocking_connection import BlockingChannel

pytestmark = warrens_own


@final
class Story:
    """A broker that keeps what is durable, and its only client."""

    def __init__(self, data_dir: Path) -> None:
        self.broker = Serving(data_dir=data_dir)
        self._connection: pika.BlockingConnection | None = None

    def connect(self, *, confirms: bool = True) -> BlockingChannel:
        self.disconnect()
        address = pika.URLParameters(self.broker.url)
        self._connection = pika.BlockingConnection(address)
        channel = self._connection.channel()
        if confirms:
            channel.confirm_delivery()
        return channel

    def disconnect(self) -> None:
        """Close the connection, whether or not anybody is left to hear it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(AMQPError):
                connection.close()

    def restart(self, *, cleanly: bool) -> BlockingChannel:
        """End the broker in one way or the other, and connect to the next one."""
        if cleanly:
            self.disconnect()
            self.broker.restart()
        else:
            self.broker.kill()
            self.broker.start_again()
        return self.connect()


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    """Ended in an orderly way."""
    story = Story(tmp_path / "data")
    with story.broker:
        yield story
        story.disconnect()


def put(
    channel: BlockingChannel, *bodies: bytes, queue: str = "q", **more: object
) -> None:
    """Publish persistent messages."""
    properties = pika.BasicProperties(delivery_mode=2, **more)
    for body in bodies:
        channel.basic_publish("", queue, body, properties)


def take_all(channel: BlockingChannel, queue: str = "q") -> list[tuple[bytes, bool]]:
    """Get and ack everything: bodies, and whether each was redelivered."""
    taken = []
    while True:
        method, _, body = channel.basic_get(queue)
        if method is None:
            return taken
        taken.append((body, method.redelivered))
        channel.basic_ack(method.delivery_tag)


@pytest.mark.parametrize("cleanly", [True, False])
def test_confirmed_messages_are_there_in_their_order(
    story: Story, cleanly: bool
) -> None:
    channel = story.connect()
    channel.queue_declare("q", durable=True)
    bodies = [b"%d" % number for number in range(300)]
    put(channel, *bodies)
    channel = story.restart(cleanly=cleanly)
    # After a kill nobody knows who had what: no message may claim to be new.
    assert take_all(channel) == [(body, not cleanly) for body in bodies]


@pytest.mark.parametrize("cleanly", [True, False])
def test_what_was_settled_does_not_come_back(story: Story, cleanly: bool) -> None:
    channel = story.connect()
    channel.queue_declare("q", durable=True)
    channel.queue_declare("gone", durable=True)
    channel.queue_declare("purged", durable=True)
    put(channel, b"1", b"2", b"3")
    put(channel, b"x", queue="gone")
    put(channel, b"x", b"y", queue="purged")
    method, _, _ = channel.basic_get("q")
    channel.basic_ack(method.delivery_tag)
    channel.queue_delete("gone")
    channel.queue_purge("purged")
    put(channel, b"4")  # its confirm says that the ack is safe as well
    channel = story.restart(cleanly=cleanly)
    assert [body for body, _ in take_all(channel)] == [b"2", b"3", b"4"]
    assert take_all(channel, "purged") == []
    with pytest.raises(ChannelClosedByBroker, match="no queue 'gone'"):
        channel.queue_declare("gone", passive=True)


@pytest.mark.parametrize("cleanly", [True, False])
def test_what_was_not_durable_is_gone(story: Story, cleanly: bool) -> None:
    channel = story.connect()
    channel.queue_declare("transient")
    channel.queue_declare("q", durable=True)
    channel.basic_publish("", "q", b"transient")
    put(channel, b"x", queue="transient")
    put(channel, b"kept")
    channel = story.restart(cleanly=cleanly)
    assert [body for body, _ in take_all(channel)] == [b"kept"]
    with pytest.raises(ChannelClosedByBroker, match="'transient'"):
        channel.queue_declare("transient", passive=True)


@pytest.mark.parametrize("cleanly", [True, False])
def test_exchanges_bindings_and_arguments_are_as_they_were(
    story: Story, cleanly: bool
) -> None:
    channel = story.connect()
    arguments = {
        "x-max-priority": 5,
        "x-message-ttl": 600_000,
        "x-own": [1, b"b"],
    }
    channel.exchange_declare("x", "topic", durable=True)
    channel.exchange_declare("up", "fanout", durable=True)
    channel.queue_declare("q", durable=True, arguments=arguments)
    channel.queue_declare("unbound", durable=True)
    channel.queue_bind("q", "x", "a.#")
    channel.queue_bind("unbound", "x", "b.#")
    channel.exchange_bind("x", "up")
    channel.queue_unbind("unbound", "x", "b.#")
    channel = story.restart(cleanly=cleanly)
    channel.exchange_declare("x", "topic", durable=True)
    channel.queue_declare("q", durable=True, arguments=arguments)  # equivalent
    for priority in (1, 5, 3):
        properties = pika.BasicProperties(delivery_mode=2, priority=priority)
        channel.basic_publish("up", "a.b", b"%d" % priority, properties)
        channel.basic_publish("x", "b.c", b"to nobody", properties)
    channel = story.restart(cleanly=cleanly)
    assert [body for body, _ in take_all(channel)] == [b"5", b"3", b"1"]
    assert take_all(channel, "unbound") == []


def test_a_redelivered_message_says_so_after_a_clean_stop(story: Story) -> None:
    channel = story.connect()
    channel.queue_declare("q", durable=True, arguments={"x-delivery-limit": 2})
    put(channel, b"poison", b"new")
    method, _, _ = channel.basic_get("q")
    channel.basic_nack(method.delivery_tag)
    channel = story.restart(cleanly=True)
    assert take_all(channel) == [(b"poison", True), (b"new", False)]


def test_a_poison_message_is_counted_across_restarts(story: Story) -> None:
    channel = story.connect()
    channel.queue_declare("q", durable=True, arguments={"x-delivery-limit": 2})
    put(channel, b"poison")
    for _ in range(2):
        method, _, _ = channel.basic_get("q")
        channel.basic_nack(method.delivery_tag)
        channel = story.restart(cleanly=True)
    method, _, _ = channel.basic_get("q")
    channel.basic_nack(method.delivery_tag)
    assert take_all(channel) == []


def test_a_time_to_live_goes_on_while_nobody_serves(story: Story) -> None:
    channel = story.connect()
    channel.queue_declare("q", durable=True)
    put(channel, b"short", expiration="300")
    put(channel, b"long", expiration="600000")
    published_at = time.monotonic()
    story.broker.kill()
    while time.monotonic() < published_at + 0.3:
        story.broker.start_again()  # the time passes with useful work
        story.broker.kill()
    story.broker.start_again()
    assert [body for body, _ in take_all(story.connect())] == [b"long"]


def test_a_scheduled_message_is_published_after_a_restart(story: Story) -> None:
    channel = story.connect()
    channel.queue_declare("q", durable=True)
    due = time.time() + 1.5
    put(channel, b"later", headers={"x-delay": 1500})
    channel = story.restart(cleanly=False)
    channel.basic_consume("q", lambda *_: channel.stop_consuming(), auto_ack=True)
    channel.connection.call_later(15, channel.stop_consuming)
    channel.start_consuming()
    assert due - 0.1 < time.time() < due + 10


@pytest.mark.parametrize("cleanly", [True, False])
def test_a_commit_is_there_as_a_whole(story: Story, cleanly: bool) -> None:
    channel = story.connect(confirms=False)
    for queue in ("q", "work"):
        channel.queue_declare(queue, durable=True)
    channel.tx_select()
    put(channel, b"job", queue="work")
    channel.tx_commit()
    method, _, _ = channel.basic_get("work")
    channel.basic_ack(method.delivery_tag)
    put(channel, b"result")
    channel.tx_commit()
    channel = story.restart(cleanly=cleanly)
    assert take_all(channel, "work") == []
    assert [body for body, _ in take_all(channel)] == [b"result"]


def test_a_dead_letter_moves_in_one_piece(story: Story) -> None:
    channel = story.connect()
    channel.queue_declare("dead", durable=True)
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    channel.queue_declare("q", durable=True, arguments=arguments)
    put(channel, *[b"%d" % number for number in range(20)])
    for _ in range(10):
        method, _, _ = channel.basic_get("q")
        channel.basic_reject(method.delivery_tag, requeue=False)
    channel = story.restart(cleanly=False)
    both = [body for queue in ("dead", "q") for body, _ in take_all(channel, queue)]
    assert sorted(both) == sorted(b"%d" % number for number in range(20))


def test_a_second_process_is_refused_and_the_first_lives_on(
    story: Story, tmp_path: Path
) -> None:
    path = tmp_path / "data"
    second = subprocess.run(
        [WARREN, "serve", "--listen", "127.0.0.1:0", "--data-dir", path],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 78
    assert str(path) in second.stderr
    channel = story.connect()
    channel.queue_declare("q", durable=True)
    put(channel, b"alive")
    assert [body for body, _ in take_all(channel)] == [b"alive"]


def test_a_long_queue_is_written_once_and_read_back(story: Story) -> None:
    bodies = [b"%d" % number for number in range(6500)]
    channel = story.connect(confirms=False)
    limits = {"x-max-in-memory-bytes": 0}
    channel.queue_declare("long", durable=True, arguments=limits)
    channel.tx_select()
    put(channel, *bodies, queue="long")
    channel.tx_commit()
    assert look_through(channel, "long", len(bodies)) == bodies
    for cleanly in (False, True):
        channel = story.restart(cleanly=cleanly)
        assert look_through(channel, "long", len(bodies)) == bodies


def look_through(channel: BlockingChannel, queue: str, count: int) -> list[bytes]:
    """Take so many messages and give them back."""
    found = []
    for _, _, body in channel.consume(queue, inactivity_timeout=20):
        found.append(body)
        if len(found) == count or body is None:
            break
    channel.cancel()
    return found


def test_files_are_as_small_as_a_small_disk_needs_them(tmp_path: Path) -> None:
    options = tmp_path / "warren.toml"
    options.write_text("[storage]\nsegment_bytes = 1048576\nreserve_bytes = 70000\n")
    data_dir = tmp_path / "data"
    with Serving("--config", options, data_dir=data_dir) as broker:
        with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.queue_declare("tasks", durable=True)
            persistent = pika.BasicProperties(delivery_mode=2)
            for _ in range(3):
                channel.basic_publish("", "tasks", bytes(700_000), persistent)
        assert (data_dir / "reserve").stat().st_size == 70_000
        sizes = [file.stat().st_size for file in (data_dir / "journal").iterdir()]
        assert len(sizes) == 2
        assert max(sizes) < 1_048_576 + 800_000, "it ends with what passes its size"
