"""Testing: the broker as a fixture of somebody's tests.

`Broker.in_thread` for clients of any kind, `broker_in_nursery` for trio, and for pytest
the plugin in `pytest_plugin`, which is installed with Warren.

Names are loaded when they are first used: pytest loads the plugin wherever Warren is
installed, whether it is used there or not.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from warren_broker.testing.faults import Faults
    from warren_broker.testing.in_nursery import NurseryBroker, broker_in_nursery
    from warren_broker.testing.in_thread import Broker, Clock
    from warren_broker.testing.stage import NotServing
    from warren_broker.testing.values import (
        ConnectionState,
        Event,
        Message,
        PublishedMessage,
        QueuedMessage,
        QueueState,
    )

_HOMES: Final = {
    "Broker": "in_thread",
    "Clock": "in_thread",
    "ConnectionState": "values",
    "Event": "values",
    "Faults": "faults",
    "Message": "values",
    "NotServing": "stage",
    "NurseryBroker": "in_nursery",
    "PublishedMessage": "values",
    "QueueState": "values",
    "QueuedMessage": "values",
    "broker_in_nursery": "in_nursery",
}
"""Public name -> the module where it lives."""

__all__ = [
    "Broker",
    "Clock",
    "ConnectionState",
    "Event",
    "Faults",
    "Message",
    "NotServing",
    "NurseryBroker",
    "PublishedMessage",
    "QueueState",
    "QueuedMessage",
    "broker_in_nursery",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's names have any type
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
