"""Alarms: who must know learns of the first shortage and of the end of the last."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren_broker.core.alarms import AlarmListener, Alarms


class Listener(AlarmListener):
    """Writes down what it is told, and may leave at once."""

    def __init__(self, alarms: Alarms, *, leaves: bool = False) -> None:
        self.alarms = alarms
        self.leaves = leaves
        self.heard: list[str | None] = []

    def on_alarm(self, reason: str | None) -> None:
        self.heard.append(reason)
        if self.leaves:
            self.alarms.remove_listener(self)


@given(
    st.lists(st.tuples(st.sampled_from(["memory", "disk"]), st.booleans()), max_size=20)
)
def test_a_change_is_told_once(changes: list[tuple[str, bool]]) -> None:
    alarms = Alarms()
    listener = Listener(alarms)
    alarms.add_listener(listener)
    short: list[str] = []
    for resource, active in changes:
        before, told = bool(short), len(listener.heard)
        if active and resource not in short:
            short.append(resource)
        elif not active and resource in short:
            short.remove(resource)
        alarms.set(resource, active=active)
        listed = [each for each in ("memory", "disk") if each in short]
        reason = "low on " + " & ".join(listed) if short else None
        assert alarms.reason == reason
        expected = [reason] if before != bool(short) else []
        assert listener.heard[told:] == expected


@pytest.mark.parametrize("leaves", [False, True])
def test_a_listener_may_leave_while_it_is_told(*, leaves: bool) -> None:
    alarms = Alarms()
    listeners = [Listener(alarms, leaves=leaves) for _ in range(3)]
    for listener in listeners:
        alarms.add_listener(listener)
    alarms.set("memory", active=True)
    alarms.set("memory", active=False)
    expected = ["low on memory"] if leaves else ["low on memory", None]
    assert [listener.heard for listener in listeners] == [expected] * 3
    alarms.remove_listener(listeners[0])  # a second time is no error
