"""The pytest plugin: fixtures `warren`, `amqp_url` and `warren_session`.

One broker a session, in a thread, with one URL; a test that asks for `warren` finds it
as new. Nothing but this module is loaded before a test asks.

    warren_session   the broker, as the tests before have left it
    warren           the same, as new: reset before the test's other fixtures are made
    amqp_url         the URL of `warren`
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from warren_broker.testing import Broker

_RUNNING = pytest.StashKey["Broker"]()
"""Of the configuration: the broker of this session, once there is one."""

_IS_NEW = pytest.StashKey[bool]()
"""Of a test: its broker has been made as new."""


@pytest.fixture(scope="session")
def warren_session(pytestconfig: pytest.Config) -> Iterator[Broker]:
    """A broker for all tests of the session, which share what is in it.

    For fixtures that live as long. Tests that ask for `warren` empty it.
    """
    from warren_broker.testing import Broker

    with Broker.in_thread() as broker:
        pytestconfig.stash[_RUNNING] = broker
        yield broker
        del pytestconfig.stash[_RUNNING]


@pytest.fixture
def warren(warren_session: Broker, request: pytest.FixtureRequest) -> Broker:
    """A broker as new: no queues, no clients, nothing published."""
    if not request.node.stash.get(_IS_NEW, False):
        warren_session.reset()  # the test has asked for it while it runs
        request.node.stash[_IS_NEW] = True
    return warren_session


@pytest.fixture
def amqp_url(warren: Broker) -> str:
    """Where clients reach `warren`."""
    return warren.url


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Make the broker as new before any fixture of the test has clients there."""
    if "warren" not in getattr(item, "fixturenames", ()):
        return
    item.stash[_IS_NEW] = True
    broker = item.config.stash.get(_RUNNING, None)
    if broker is not None:
        broker.reset()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell of a test that fails what its broker is like."""
    report = yield
    if report.failed and "warren_session" in getattr(item, "fixturenames", ()):
        broker = item.config.stash.get(_RUNNING, None)
        if broker is not None:
            report.sections.append(("Warren", _told(broker)))
    return report


def _told(broker: Broker) -> str:
    try:
        return broker.report()
    except Exception as error:  # noqa: BLE001 - the test's own error counts
        return f"no report: {error!r}"
