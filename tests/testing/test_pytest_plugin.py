"""The plugin, in projects of their own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., pytest.RunResult]

pytest_plugins = ("pytester",)

PIKA = """
import pika
import pytest

def declare(url, queue):
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        connection.channel().queue_declare(queue)
"""


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """Run pytest on the text of a test module, with these options."""

    def run(text: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(PIKA + text)
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", *options)

    return run


def test_it_is_as_new_before_any_fixture_of_the_test(run: Run) -> None:
    result = run(
        """
        @pytest.fixture(scope="session")
        def shared(warren_session):
            declare(warren_session.url, "shared")

        @pytest.fixture
        def own(warren_session):
            declare(warren_session.url, "own")

        def test_the_first_one_keeps_what_the_session_has_made(shared, warren):
            assert list(warren.queues()) == ["shared"]

        urls = set()

        @pytest.mark.parametrize("number", range(3))
        def test_each_has_one_as_new(warren, amqp_url, number):
            assert warren.queues() == {}
            assert amqp_url == warren.url
            declare(amqp_url, "q")
            assert list(warren.queues()) == ["q"]
            urls.add(amqp_url)
            assert len(urls) == 1

        def test_session(shared, warren_session):
            assert list(warren_session.queues()) == ["q"]  # of the test before

        def test_new(own, warren):
            assert list(warren.queues()) == ["own"]

        def test_late(own, request):
            assert list(request.getfixturevalue("warren").queues()) == []

        def test_any_order(warren, own):
            assert list(warren.queues()) == ["own"]
        """.replace("\n        ", "\n")
    )
    result.assert_outcomes(passed=8)


def test_a_failure_tells_of_the_broker(run: Run) -> None:
    result = run(
        """
        @pytest.fixture
        def connection(amqp_url):
            with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
                yield connection

        def test_fails(connection):
            channel = connection.channel()
            channel.queue_declare("orders")
            channel.confirm_delivery()
            for number in range(7):
                channel.basic_publish("", "orders", b"order %d" % number)
            channel.basic_get("orders")
            assert False

        def test_fails_without_it():
            assert False

        def test_passes(warren):
            pass

        @pytest.fixture
        def broken(warren):
            raise ZeroDivisionError

        def test_is_never_begun(broken):
            pass
        """.replace("\n        ", "\n")
    )
    result.assert_outcomes(passed=1, failed=2, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*test_is_never_begun*",
            "*- Warren -*",
            "broker at amqp://127.0.0.1:*",
            "*_ test_fails _*",
            "*- Warren -*",
            "broker at amqp://127.0.0.1:*",
            "connection 127.0.0.1:* Pika*: 1 channels, 0 consumers, 1 unacked",
            "queue 'orders' in vhost '/': 6 ready, 1 unacked, 0 delayed, 0 consumers",
            "  *body=b'order 0'*",
            "  and 2 more",
            "last events",
            "*connection opened *",
        ],
    )
    assert result.stdout.str().count("- Warren -") == 2


def test_with_xdist_each_worker_has_its_own(run: Run) -> None:
    result = run(
        """
        @pytest.mark.parametrize("number", range(6))
        def test_alone(warren, number):
            declare(warren.url, f"q{number}")
            assert list(warren.queues()) == [f"q{number}"]
        """.replace("\n        ", "\n"),
        *("-n", "2"),
    )
    result.assert_outcomes(passed=6)


def test_who_does_not_use_it_loads_nothing() -> None:
    script = (
        "import sys, warren_broker.testing.pytest_plugin;"
        "print(*(name.split('.')[0] for name in sys.modules))"
    )
    loaded = subprocess.check_output([sys.executable, "-c", script], text=True).split()
    assert "pytest" in loaded
    assert {"trio", "attr", "attrs", "cbor2", "warren"}.isdisjoint(loaded)


MORE_CELERY = """

def test_a_worker_and_then_the_broker(celery_app, celery_worker, warren):
    assert warren.connections()
    test_a_worker_adds(warren, celery_app, celery_worker)
    warren.wait_idle()
"""


def test_what_is_told_of_pika_and_celery_is_true(pytester: pytest.Pytester) -> None:
    told = (Path(__file__).parents[2] / "docs/testing.md").read_text()
    pika_tests, conftest, celery_tests = re.findall(
        r"```python\n(.*?)```", told, re.DOTALL
    )[:3]
    pytester.makeconftest(conftest)
    pytester.makepyfile(test_pika=pika_tests, test_celery=celery_tests + MORE_CELERY)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=4)
