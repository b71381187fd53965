"""Every example runs, and shows what it says it shows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from warren_broker.cli.demo_children import running_broker

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parents[2] / "examples"

SHOWN = {
    "work_queue.py": None,  # who does what is up to the workers, see below
    "fanout.py": [
        "Ada reads: the shop is closed",
        "Ada reads: the shop is open",
        "Grace reads: the shop is closed",
        "Grace reads: the shop is open",
    ],
    "topic_router.py": [
        "all of Oslo: oslo.roof.temperature = 3 C",
        "all of Oslo: oslo.roof.wind = 9 m/s",
        "all of Oslo: oslo.temperature = 4 C",
        "nobody wants lima.wind",
        "temperatures: lima.temperature = 22 C",
        "temperatures: oslo.roof.temperature = 3 C",
        "temperatures: oslo.temperature = 4 C",
        "the roof: oslo.roof.temperature = 3 C",
        "the roof: oslo.roof.wind = 9 m/s",
    ],
    "rpc.py": [
        "1 squared is 1",
        "12 squared is 144",
        "2 squared is 4",
        "3 squared is 9",
    ],
    "leases.py": [
        "all is done, 0 tasks are left",
        "the careful worker has the yearly report, and a minute more",
        "the hung worker has the backup, and is heard of no more",
        "the third worker gets the backup a second later",
    ],
    "delayed_retry.py": [
        "a mail to Ada: attempt 1 has worked",
        "a mail to Grace: attempt 1 has failed",
        "a mail to Grace: attempt 2 has failed",
        "a mail to Grace: attempt 3 has worked",
        "a mail to nobody: attempt 1 has failed",
        "a mail to nobody: attempt 2 has failed",
        "a mail to nobody: attempt 3 has failed",
        "a mail to nobody: given up (delivery_limit)",
    ],
    "worker_pool.py": [
        "1 tea shipped at attempt 1",
        "6 glass shipped at attempt 2",
        "given up, failed: there are not so many",
        "given up, invalid: value: Order has no 'colour'",
    ],
    "pipeline.py": ["11 words have 36 letters"],
    "web_publisher.py": [
        "answered: 202 tea",
        "answered: 422 nothing",
        "shipped: 2 tea",
    ],
    "web_blocking.py": [
        "GET /mails: 200 null",
        'GET /mails: 200 {"to":"Ada"}',
        "POST /mails/Ada: 202 null",
    ],
    "ordered_keys.py": [
        "order 1: created, paid, packed, shipped",
        "order 2: created, paid, packed, shipped",
        "order 3: created, paid, packed, shipped",
        "order 4: created, paid, packed, shipped",
    ],
    "event_sourcing.py": [
        "3 events make 25",
        "Ada withdraws 80: the balance is 20",
        "Grace cannot withdraw 50: the balance is 20",
        "Grace was too late, and looks again",
        "rebuilt twice, as it was live: True",
    ],
    "change_capture.py": [
        "5 changes are in the stream",
        "black: black tea",
        "live: product 2 is gone",
        "live: product 4 is black tea",
        "snapshot: product 1 is green tea",
        "snapshot: product 2 is black coffee",
        "tea: black tea, green tea",
    ],
    "sensor_windows.py": [
        "from second   0: 20.00 C of 12",
        "from second  60: 21.00 C of 12",
        "from second 120: 22.00 C of 12",
        "from second 180: 23.00 C of 12",
        "from second 240: 24.00 C of 2",
        "the last 20: 22.80 C",
        "until second 120: 20.50 C in two minutes",
        "until second 180: 21.50 C in two minutes",
        "until second 240: 22.50 C in two minutes",
    ],
    "log_aggregation.py": [
        "bank has written 2 lines",
        "mail has written 3 lines",
        "mail: error no such user",
        "shop has written 3 lines",
        "shop: error no tea left",
    ],
    "blocking.py": [f"made a thumbnail of {number}.jpeg" for number in (1, 2, 3)],
    "tutorials/1_hello_world.py": ["received: Hello World!", "sent: Hello World!"],
    "tutorials/2_work_queues.py": [
        "clumsy has broken down",
        *(f"done: task {number}" for number in range(1, 7)),
    ],
    "tutorials/3_publish_subscribe.py": [
        "file: info: it begins",
        "file: info: it ends",
        "screen: info: it begins",
        "screen: info: it ends",
    ],
    "tutorials/4_routing.py": [
        "nobody wants debug",
        "pager gets error: it has broken",
        "screen gets error: it has broken",
        "screen gets info: it begins",
    ],
    "tutorials/5_topics.py": [
        "oranges: lazy.orange.elephant",
        "oranges: quick.orange.fox",
        "oranges: quick.orange.rabbit",
        "rabbits and the lazy: lazy.brown.fox",
        "rabbits and the lazy: lazy.orange.elephant",
        "rabbits and the lazy: lazy.pink.rabbit",
        "rabbits and the lazy: quick.orange.rabbit",
    ],
    "tutorials/6_rpc.py": [
        "fibonacci(1) is 1",
        "fibonacci(10) is 55",
        "fibonacci(30) is 832040",
    ],
    "tutorials/7_publisher_confirms.py": [
        "at_once: 200 messages are in the queue",
        "in_a_batch: 199 messages are in the queue",
        "message 7 of the batch: NO_ROUTE - no queue for key 'nowhere' of exchange ''",
        "one_by_one: 200 messages are in the queue",
    ],
}

TESTS = {"test_invoices_celery.py": 2, "test_orders_pika.py": 4}
"""Examples that are tests, and of how many."""


LOGGED = {"worker_pool.py": "example.orders: "}
"""How lines begin that are logged: failures, which are shown there."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A broker for all examples, one after the other."""
    with running_broker() as url:
        yield url


def shown(name: str, url: str) -> list[str]:
    """Run an example; return what it prints, sorted."""
    ended = subprocess.run(
        [sys.executable, str(EXAMPLES / name), url],
        capture_output=True,
        text=True,
        check=False,
    )
    said = [
        line
        for line in ended.stderr.splitlines()
        if name not in LOGGED or not line.startswith(LOGGED[name])
    ]
    assert (ended.returncode, said) == (0, [])
    return sorted(ended.stdout.splitlines())


def test_each_example_is_known_here_and_to_the_readme() -> None:
    names = {str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*.py")}
    assert names == SHOWN.keys() | TESTS.keys()
    readme = (EXAMPLES / "README.md").read_text()
    assert all(f"`{name}`" in readme for name in names)


@pytest.mark.parametrize("name", [name for name, lines in SHOWN.items() if lines])
def test_example(name: str, url: str) -> None:
    assert shown(name, url) == SHOWN[name]
    assert shown(name, url) == SHOWN[name], "the first run has left something"


def test_the_examples_that_are_tests_pass() -> None:
    ended = subprocess.run(
        [*(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"), *TESTS],
        cwd=EXAMPLES,
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"{sum(TESTS.values())} passed in" in ended.stdout, ended.stdout


def test_work_queue(url: str) -> None:
    for _ in "12":
        lines = shown("work_queue.py", url)
        assert "6 jobs are safe with the broker" in lines
        assert "the unlucky worker breaks down over job 1" in lines
        done = [line.split(" does ")[1] for line in lines if " does " in line]
        assert sorted(done) == [
            "job 1, which another had begun",
            *(f"job {number}" for number in range(2, 7)),
        ]
