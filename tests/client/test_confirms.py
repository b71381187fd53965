"""The confirm ledger against a model that remembers everything."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from warren.errors import CommandInvalid
from warren.protocol.confirms import ConfirmLedger, Mark
from warren.protocol.failures import Nacked, Unroutable

KEYS = st.sampled_from(["a", "b"])
UNROUTABLE = Unroutable("x", "k")


class LedgerAgainstModel(RuleBasedStateMachine):
    """Publishes, returns, acks and nacks in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = ConfirmLedger()
        self.unsettled: dict[int, Mark | None] = {}
        self.returned: set[int] = set()
        self.published = 0

    @rule(key=KEYS, mandatory=st.booleans())
    def publish(self, key: str, mandatory: bool) -> None:
        self.published += 1
        mark = Mark("x", key, None) if mandatory else None
        assert self.ledger.publish(mark) == self.published
        self.unsettled[self.published] = mark

    @rule(key=KEYS)
    def return_(self, key: str) -> None:
        mark = Mark("x", key, None)
        candidates = (
            number
            for number, each in self.unsettled.items()
            if each == mark and number not in self.returned
        )
        oldest = next(candidates, None)
        assert self.ledger.return_(mark, UNROUTABLE) == oldest
        if oldest is not None:
            self.returned.add(oldest)

    @rule(data=st.data(), multiple=st.booleans(), positive=st.booleans())
    def settle(self, data: st.DataObject, multiple: bool, positive: bool) -> None:
        if not self.published:
            return
        lowest = 0 if multiple else 1
        tag = data.draw(st.integers(lowest, self.published))
        answer = self.ledger.ack if positive else self.ledger.nack
        settlements = answer(tag, multiple=multiple)
        named = [
            number
            for number in self.unsettled
            if (number == tag or (multiple and (number <= tag or tag == 0)))
        ]
        assert [each.sequence for each in settlements] == named
        for each in settlements:
            self.unsettled.pop(each.sequence)
            if not positive:
                assert isinstance(each.error, Nacked)
            else:
                was_returned = each.sequence in self.returned
                assert each.error is (UNROUTABLE if was_returned else None)

    @rule(beyond=st.integers(1, 3), multiple=st.booleans())
    def settle_what_was_not_published(self, beyond: int, multiple: bool) -> None:
        with pytest.raises(CommandInvalid):
            self.ledger.ack(self.published + beyond, multiple=multiple)

    @rule()
    def abandon(self) -> None:
        assert self.ledger.abandon() == list(self.unsettled)
        self.unsettled.clear()

    @invariant()
    def counts_the_unsettled(self) -> None:
        assert len(self.ledger) == len(self.unsettled)


TestLedger = LedgerAgainstModel.TestCase


def test_tag_zero_alone_names_nothing() -> None:
    ledger = ConfirmLedger()
    ledger.publish(None)
    with pytest.raises(CommandInvalid):
        ledger.ack(0, multiple=False)


def test_message_id_tells_returns_apart() -> None:
    ledger = ConfirmLedger()
    first = ledger.publish(Mark("x", "k", "id-1"))
    second = ledger.publish(Mark("x", "k", "id-2"))
    assert ledger.return_(Mark("x", "k", "id-2"), UNROUTABLE) == second
    assert [each.error for each in ledger.ack(first, multiple=False)] == [None]
    assert [each.error for each in ledger.ack(second, multiple=False)] == [UNROUTABLE]
