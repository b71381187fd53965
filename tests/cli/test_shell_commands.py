"""`warren publish` and `warren consume`, as a shell would use them."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pika
import pytest

from warren_broker.cli.demo_children import running_broker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pika.adapters.blocking_connection import BlockingChannel

WARREN = [
    sys.executable,
    "-W",
    "error",
    "-c",
    "from warren_broker.cli import main; main(prog_name='warren')",
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A broker of our own."""
    with running_broker() as url:
        yield url


@pytest.fixture
def channel(url: str) -> Iterator[BlockingChannel]:
    """Another client's view of the broker."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        yield connection.channel()


@pytest.fixture
def queue(channel: BlockingChannel, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty queue, named after the test."""
    name = request.node.name
    channel.queue_declare(name)
    yield name
    channel.queue_delete(name)


def warren(
    *arguments: str, url: str, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end."""
    command, *options = arguments
    return subprocess.run(
        [*WARREN, command, "--url", url, *options],
        input=stdin,
        capture_output=True,
        check=False,
    )


def start(*arguments: str, url: str, **pipes: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401
    """Start a command."""
    command, *options = arguments
    return subprocess.Popen([*WARREN, command, "--url", url, *options], **pipes)


def bodies(channel: BlockingChannel, queue: str) -> list[bytes]:
    """Take everything from a queue."""
    taken = []
    while True:
        got, _, body = channel.basic_get(queue, auto_ack=True)
        if got is None:
            return taken
        assert body is not None
        taken.append(body)


def fill(channel: BlockingChannel, queue: str, count: int) -> list[bytes]:
    """Put numbered messages into a queue."""
    made = [b"%d" % number for number in range(count)]
    for body in made:
        channel.basic_publish("", queue, body)
    return made


# --- publish


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (b"", []),
        (b"one\ntwo\n", [b"one", b"two"]),
        (b"one\n\nno end", [b"one", b"", b"no end"]),
        (b"\xff\xfe binary\r\n", [b"\xff\xfe binary\r"]),
    ],
)
def test_each_line_is_a_message(
    url: str, channel: BlockingChannel, queue: str, text: bytes, messages: list[bytes]
) -> None:
    ended = warren("publish", "--key", queue, url=url, stdin=text)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert bodies(channel, queue) == messages


def test_many_lines_keep_their_order(
    url: str, channel: BlockingChannel, queue: str
) -> None:
    lines = [b"%d" % number for number in range(5000)]
    ended = warren("publish", "--key", queue, url=url, stdin=b"\n".join(lines))
    assert ended.returncode == 0
    assert bodies(channel, queue) == lines


@pytest.mark.parametrize("text", [b"", b"a\nb\n", bytes(300_000)])
def test_the_whole_input_is_one_message(
    url: str, channel: BlockingChannel, queue: str, text: bytes
) -> None:
    ended = warren("publish", "--key", queue, "--whole", url=url, stdin=text)
    assert ended.returncode == 0
    assert bodies(channel, queue) == [text]


def test_properties(url: str, channel: BlockingChannel, queue: str) -> None:
    options = ["--persistent", "--content-type", "text/plain"]
    headers = ["--header", "a=1", "--header", "b=x=y"]
    warren("publish", "--key", queue, *options, *headers, url=url, stdin=b"body")
    _, properties, _ = channel.basic_get(queue, auto_ack=True)
    assert properties is not None
    assert properties.delivery_mode == 2
    assert properties.content_type == "text/plain"
    assert properties.headers == {"a": "1", "b": "x=y"}


def test_lines_leave_before_the_input_ends(
    url: str, channel: BlockingChannel, queue: str
) -> None:
    with start("publish", "--key", queue, url=url, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"first\n")
        process.stdin.flush()
        for _, _, body in channel.consume(queue, auto_ack=True):
            assert body == b"first"
            break
        process.stdin.close()
        assert process.wait() == 0


def test_unroutable_lines_are_told(url: str) -> None:
    ended = warren("publish", "--key", "nowhere", url=url, stdin=b"a\nb\n")
    assert ended.returncode == 1
    assert ended.stderr.decode().splitlines() == [
        "warren: message 1: NO_ROUTE - no queue for key 'nowhere' of exchange ''",
        "warren: message 2: NO_ROUTE - no queue for key 'nowhere' of exchange ''",
        "warren: 2 of 2 messages failed",
    ]


def test_refused_lines_are_told(url: str, channel: BlockingChannel) -> None:
    limit = {"x-max-length": 1, "x-overflow": "reject-publish"}
    channel.queue_declare("small", exclusive=False, arguments=limit)
    ended = warren("publish", "--key", "small", url=url, stdin=b"a\nb\n")
    assert ended.returncode == 1
    assert b"1 of 2 messages failed" in ended.stderr
    channel.queue_delete("small")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--exchange", "nowhere"], r"NOT_FOUND - no exchange 'nowhere'"),
        (["--key", "q", "--url", "amqp://127.0.0.1:1/"], r"connect to 127\.0\.0\.1"),
        (["--key", "q", "--url", "http://h/"], r"begins with amqp://"),
        (["--key", "q" * 300], r"255|short"),
        ([], r"name an --exchange"),
        (["--key", "q", "--header", "novalue"], r"NAME=VALUE"),
    ],
)
def test_what_cannot_be_published(url: str, options: list[str], complaint: str) -> None:
    ended = warren("publish", *options, url=url, stdin=b"a\n")
    assert ended.returncode in (1, 2)
    assert re.search(complaint, ended.stderr.decode())
    assert b"Traceback" not in ended.stderr


def test_a_wrong_password(url: str) -> None:
    wrong = url.replace("amqp://", "amqp://guest:wrong@")
    ended = warren("publish", "--key", "q", url=wrong)
    assert ended.returncode == 1
    assert b"ACCESS_REFUSED" in ended.stderr


# --- consume


@pytest.mark.parametrize("mode", ["--ack", "--no-ack"])
def test_bodies_are_lines(
    url: str, channel: BlockingChannel, queue: str, mode: str
) -> None:
    made = fill(channel, queue, 50)
    ended = warren("consume", "--queue", queue, "--count", "50", mode, url=url)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout.splitlines() == made
    assert bodies(channel, queue) == []


def test_no_more_is_taken_than_asked_for(
    url: str, channel: BlockingChannel, queue: str
) -> None:
    made = fill(channel, queue, 50)
    ended = warren("consume", "--queue", queue, "--count", "20", url=url)
    assert ended.stdout.splitlines() == made[:20]
    assert bodies(channel, queue) == made[20:]


def test_output_to_a_file(
    url: str,
    channel: BlockingChannel,
    queue: str,
    tmp_path_factory: Any,  # noqa: ANN401
) -> None:
    made = fill(channel, queue, 500)
    path = tmp_path_factory.mktemp("output") / "lines"
    with path.open("wb") as file:
        options = ["--queue", queue, "--count", "500"]
        with start("consume", *options, url=url, stdout=file) as process:
            assert process.wait() == 0
    assert path.read_bytes().splitlines() == made


def test_a_large_body_passes_a_pipe(
    url: str, channel: BlockingChannel, queue: str
) -> None:
    channel.basic_publish("", queue, bytes(1_000_000))
    ended = warren("consume", "--queue", queue, "--count", "1", url=url)
    assert ended.stdout == bytes(1_000_000) + b"\n"
    assert bodies(channel, queue) == []


def test_what_head_does_not_read_stays_in_the_queue(
    url: str, channel: BlockingChannel, queue: str
) -> None:
    made = fill(channel, queue, 100)
    with start("consume", "--queue", queue, url=url, stdout=subprocess.PIPE) as left:
        head = subprocess.run(
            ["head", "-n", "10"], stdin=left.stdout, capture_output=True, check=True
        )
        assert left.stdout is not None
        left.stdout.close()
        assert left.wait() == 0
    assert head.stdout.splitlines() == made[:10]
    assert bodies(channel, queue) == made[10:]


def test_nothing_is_written_ahead_of_the_reader(
    url: str, channel: BlockingChannel, queue: str
) -> None:
    """What is in a pipe when its reader goes is read by nobody."""
    made = fill(channel, queue, 100)
    with start("consume", "--queue", queue, url=url, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        select.select([process.stdout], [], [])
        warren("publish", "--key", queue, url=url)  # takes its time, publishes nothing
        assert os.read(process.stdout.fileno(), 100_000) == b"0\n"
        select.select([process.stdout], [], [])
        process.stdout.close()
        assert process.wait() == 0
    assert bodies(channel, queue) == made[1:]


def test_an_idle_consumer_sees_that_its_reader_has_gone(
    url: str, channel: BlockingChannel, queue: str
) -> None:
    fill(channel, queue, 1)
    with start("consume", "--queue", queue, url=url, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.wait() == 0
    assert bodies(channel, queue) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_consumer_gives_back_what_was_not_read(
    url: str, channel: BlockingChannel, queue: str, number: signal.Signals
) -> None:
    made = fill(channel, queue, 100)
    with start(
        "consume",
        "--queue",
        queue,
        url=url,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 100) == b"0\n"
        process.send_signal(number)
        printed, errors = process.communicate()
        assert process.returncode == 128 + number
        assert errors == b""
    read = 1 + len(printed.splitlines())
    # A line that was in the pipe when the signal came was printed, not acknowledged.
    assert bodies(channel, queue) in (made[read:], made[read - 1 :])


def test_a_missing_queue_is_declared_and_bound(
    url: str, channel: BlockingChannel
) -> None:
    options = ["--queue", "fresh", "--bind", "amq.topic:a.#", "--bind", "amq.fanout:"]
    with start(
        "consume",
        *options,
        "--count",
        "2",
        url=url,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        assert b"no queue 'fresh'" in process.stderr.readline()
        wait_for_consumer(channel, "fresh")
        channel.basic_publish("amq.topic", "a.b", b"by topic")
        channel.basic_publish("amq.fanout", "", b"by fanout")
        printed, _ = process.communicate()
    assert sorted(printed.splitlines()) == [b"by fanout", b"by topic"]
    channel.queue_delete("fresh")


def wait_for_consumer(channel: BlockingChannel, queue: str) -> None:
    """Wait for another process; the test's time limit ends what never comes."""
    while not channel.queue_declare(queue, passive=True).method.consumer_count:
        channel.connection.process_data_events(0.01)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--bind", "nowhere:k"], "no exchange 'nowhere'"),
        (["--bind", "nocolon"], "EXCHANGE:KEY"),
        (["--url", "amqp://127.0.0.1:1/"], "127.0.0.1:1"),
    ],
)
def test_what_cannot_be_consumed(
    url: str, queue: str, options: list[str], complaint: str
) -> None:
    ended = warren("consume", "--queue", queue, *options, url=url)
    assert ended.returncode in (1, 2)
    assert complaint in ended.stderr.decode()
    assert b"Traceback" not in ended.stderr


def test_a_queue_that_is_deleted_ends_its_consumer(
    url: str, channel: BlockingChannel
) -> None:
    channel.queue_declare("doomed")
    with start(
        "consume", "--queue", "doomed", url=url, stderr=subprocess.PIPE
    ) as process:
        wait_for_consumer(channel, "doomed")
        channel.queue_delete("doomed")
        _, errors = process.communicate()
    assert process.returncode == 1
    assert b"server cancelled the consumer of 'doomed'" in errors
