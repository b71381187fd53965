"""What `warren worker` adds up and shows."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from warren._worker.statistics import Counts
from warren_broker.cli import worker_view
from warren_broker.cli.worker_tally import Tally, decode_report, encode_report
from warren_broker.cli.worker_view import LinesView, LiveView


def report(handled: int, *, running: int = 0, queue: str = "jobs") -> list[Counts]:
    return [Counts(queue, handled=handled, failed=1, running=running)]


def test_a_report_is_a_line() -> None:
    line = encode_report(report(7))
    assert line.count(b"\n") == 1
    assert decode_report(line) == report(7)


@pytest.mark.parametrize("line", [b"", b"[", b'[{"queue": "jobs", "what": 1}]', b"7"])
def test_a_line_that_was_cut(line: bytes) -> None:
    """What the supervisor passes over."""
    with pytest.raises((ValueError, TypeError)):
        decode_report(line)


def test_what_a_process_did_counts_when_it_is_gone() -> None:
    tally = Tally()
    tally.note(1, report(10, running=3))
    tally.note(2, report(5, running=1))
    tally.note(2, report(6, running=2))
    assert tally.queues() == [Counts("jobs", handled=16, failed=2, running=5)]
    tally.forget(1)
    tally.forget(3)
    assert tally.running == {2}
    assert tally.queues() == [Counts("jobs", handled=16, failed=2, running=2)]
    tally.note(1, report(1))
    assert tally.queues() == [Counts("jobs", handled=17, failed=3, running=2)]


def test_rates_are_of_the_last_looks() -> None:
    tally = Tally()
    assert tally.rates(0.0) == {}
    for second in range(1, 20):
        tally.note(1, report(10 * second if second < 10 else 90))
        rate = tally.rates(float(second))["jobs"]
        assert rate == pytest.approx(
            10 if second < 10 else max(0, 130 - 10 * second) / 4
        )


def test_lines_tell_what_is_new(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally()
    view = LinesView(tally)
    view.look(0.0, 1)
    tally.note(1, report(20, running=2))
    for now in (5.0, 10.0, 20.0, 30.0, 70.0, 80.0, 90.0):
        view.look(now, 1)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == (
        "warren worker: jobs: 20 handled (2.0/s), 1 failed, 0 dead, 2 running"
    )
    assert len(said) == len(set(said)) < 7


def test_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    written = StringIO()
    console = Console(file=written, width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr(worker_view, "Console", lambda: console)
    tally = Tally()
    tally.note(1, report(20, running=2, queue="[bold]jobs[/nonsense]"))
    tally.restarts = 3
    with LiveView(tally) as view:
        view.look(0.0, 4)
        view.say("[red]a line[/] of a handler's")
    shown = written.getvalue()
    assert "[bold]jobs[/nonsense]" in shown
    assert "1 of 4 processes, 3 restarts" in shown
    assert "[red]a line[/] of a handler's" in shown
