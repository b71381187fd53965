"""A pytest plugin for applications of Celery: its fixture `celery_config`.

For who has Celery's own pytest plugin, which has a fixture of that name: this one wins
where it is named after it.

    pytest_plugins = ("celery.contrib.pytest", "warren_broker.testing.celery")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from warren_broker.testing import Broker


@pytest.fixture(scope="session")
def celery_config(warren_session: Broker) -> dict[str, object]:
    """Settings of Celery that let its fixtures use Warren, for results as well.

    Tasks are sent with confirms: once `delay` returns, the broker has them. Heartbeats
    are off, as in Celery's own settings for tests: a worker that waits for the next one
    is slow to stop, and to acknowledge its first task.

    It lasts as long as the fixtures of Celery that take it, so tests share what is in
    the broker, but for those that ask for `warren`.
    """
    return {
        "broker_url": warren_session.url,
        "broker_heartbeat": 0,
        "broker_transport_options": {"confirm_publish": True},
        "result_backend": "rpc://",
    }
