"""An application of Celery, and its tests: no broker has to be started for them.

    pip install warren celery pytest
    pytest examples/test_invoices_celery.py

`celery_config` is Warren's, and lets Celery's own fixtures use the broker that the
fixture `warren` looks into. In a project of several files the line `pytest_plugins`
goes into the topmost conftest.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from celery import Celery
from celery.contrib.testing import tasks as tasks  # `celery_worker` asks for them

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery.contrib.testing.worker import TestWorkController

    from warren_broker.testing import Broker

pytest_plugins = ("celery.contrib.pytest", "warren_broker.testing.celery")

# --- the application


app = Celery("invoices")


@app.task
def total(prices: list[int]) -> int:
    """What is to be paid."""
    return sum(prices)


@app.task
def remind(customer: str) -> str:
    """Write to a customer who has not paid."""
    return f"Dear {customer}, ..."


def send_invoice(customer: str) -> None:
    """Send an invoice; the reminder follows in two weeks."""
    remind.apply_async((customer,), countdown=14 * 86_400, queue="reminders")


# --- its tests


@pytest.fixture
def celery_app(celery_config: dict[str, object]) -> Iterator[Celery]:
    """The application above, with Warren for its broker."""
    app.conf.update(celery_config)
    yield app
    app.close()


def test_a_worker_does_the_sum(
    warren: Broker, celery_worker: TestWorkController
) -> None:
    assert total.delay([20, 1, 2]).get(timeout=10) == 23
    warren.wait_idle()


def test_a_reminder_is_for_later(warren: Broker, celery_app: Celery) -> None:
    send_invoice("Ada")
    (message,) = warren.queue("reminders").ready
    assert message.headers["task"] == remind.name
    assert message.headers["eta"]
    arguments, _, _ = message.json()
    assert arguments == ["Ada"]
