"""Receipts: one answer for all the open questions of a publish, given once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from warren_broker.core.receipt import Receipt, ReceiptHolder


class Notebook(ReceiptHolder):
    """A holder that writes everything down."""

    def __init__(self) -> None:
        self.notes: list[tuple[int, bool]] = []

    def on_fate(self, tag: int, *, taken: bool) -> None:
        self.notes.append((tag, taken))


@given(answers=st.lists(st.booleans(), min_size=1, max_size=6), given_at=st.integers(0))
def test_a_holder_is_told_once_and_as_soon_as_it_is_known(
    answers: list[bool], given_at: int
) -> None:
    notebook, receipt = Notebook(), Receipt()
    for _ in answers:
        receipt.expect()
    given_at %= len(answers) + 1
    for position in range(len(answers) + 1):
        if position == given_at:
            receipt.give_to(notebook, 7)
        so_far = answers[:position]
        is_known = not all(so_far) or len(so_far) == len(answers)
        expected = [(7, all(so_far))] if is_known and position >= given_at else []
        assert notebook.notes == expected
        if position < len(answers):
            receipt.answer(taken=answers[position])


def test_who_has_dropped_it_hears_nothing() -> None:
    notebook, receipt = Notebook(), Receipt()
    receipt.expect()
    receipt.give_to(notebook, 7)
    receipt.drop()
    receipt.answer(taken=True)
    assert notebook.notes == []


@given(answers=st.lists(st.booleans(), min_size=1, max_size=4))
def test_something_may_happen_when_all_have_taken_it(answers: list[bool]) -> None:
    receipt, calls = Receipt(), []
    receipt.on_taken = lambda: calls.append("taken")
    for _ in answers:
        receipt.expect()
    for taken in answers:
        receipt.answer(taken=taken)
    assert calls == ["taken"] * all(answers)
