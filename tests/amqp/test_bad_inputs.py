"""Every row of the table of bad inputs, in three fragmentations.

Whatever comes, the error is the right one on the right level, nobody else notices, a
refused operation has changed nothing, and once all are gone nothing is left.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Final

import pytest

from tests.amqp.bad_arguments import WARRENS_OWN
from tests.amqp.bad_input import Case, Level, Stage, joined, on
from tests.amqp.bad_inputs import CASES, ROWS
from tests.amqp.fingerprint import fingerprint, leftovers
from tests.amqp.scenery import Scenery
from tests.pairs import CAPABILITIES, byte_by_byte, random_cuts, whole
from warren.wire.constants import PROTOCOL_HEADER
from warren.wire.methods import (
    BasicAck,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ChannelOpenOk,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionStartOk,
    ConnectionTuneOk,
)
from warren_broker.amqp.handshake import State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.amqp.bad_input import Input
    from tests.pairs import Cut, RawClient, World

REPLY_TEXT_MAX: Final = 255
CLOSE_WAIT_SECONDS: Final = 5.0
MOMENT: Final = 0.001
CUTS: Final = {
    "whole": whole,
    "bytes": byte_by_byte,
    "cuts": random_cuts(seed=1),
}
STATES: Final = {
    Stage.NOTHING: State.WAITING_HEADER,
    Stage.STARTING: State.STARTING,
    Stage.TUNING: State.TUNING,
    Stage.OPENING: State.OPENING,
    Stage.OPEN: State.OPEN,
    Stage.CHANNEL: State.OPEN,
}
REFUSALS: Final = {Level.CONNECTION, Level.CHANNEL, Level.SILENT}


def reach(client: RawClient, case: Case) -> None:
    """Bring a connection to the stage of the case."""
    maximum = client.world.broker.limits.channel_max
    properties = {"capabilities": dict(CAPABILITIES)}
    steps: dict[Stage, Input] = {
        Stage.STARTING: PROTOCOL_HEADER,
        Stage.TUNING: on(0, ConnectionStartOk(properties, response=case.login)),
        Stage.OPENING: on(0, ConnectionTuneOk(maximum, 131_072, 0)),
        Stage.OPEN: on(0, ConnectionOpen()),
        Stage.CHANNEL: on(1, ChannelOpen()),
    }
    for stage, step in steps.items():
        if stage.value <= case.stage.value:
            client.send_raw(joined((step,)))
            client.arrivals()
    assert client.connection.state is STATES[case.stage]
    client.send_raw(joined(case.before))
    client.arrivals()
    if case.prepare is not None:
        case.prepare(client.world)


def check_close(case: Case, close: ConnectionClose | ChannelClose) -> None:
    """A close says what went wrong, and with which method."""
    assert case.error is not None
    code = case.error.code
    assert close.reply_code == code
    assert close.reply_text.startswith(f"{code.name} - ")
    assert case.text[:REPLY_TEXT_MAX] in close.reply_text
    assert len(close.reply_text.encode()) <= REPLY_TEXT_MAX
    by = case.by
    ids = by if isinstance(by, tuple) else (by.class_id, by.method_id)
    assert (close.failing_class_id, close.failing_method_id) == ids


def expect_connection_close(client: RawClient, case: Case) -> None:
    (close,) = client.methods()
    assert isinstance(close, ConnectionClose)
    check_close(case, close)
    assert not client.closed
    client.send(ConnectionCloseOk(), channel=0)  # not heard if frames are wrong
    client.world.advance(CLOSE_WAIT_SECONDS)
    assert client.methods() == []
    assert client.closed


def expect_channel_close(client: RawClient, case: Case) -> None:
    (close,) = client.methods()
    assert isinstance(close, ChannelClose)
    check_close(case, close)
    client.send(ChannelCloseOk())
    assert client.ask(ChannelOpen()) == ChannelOpenOk()


def expect_silence(client: RawClient, case: Case) -> None:
    """The end comes after a pause, and only the log knows why."""
    notices = [
        notice.fields["error"]
        for notice in client.world.broker.take_notices()
        if notice.event == "handshake failed"
    ]
    assert [str(error).split(" - ")[0] for error in notices] == (
        [] if case.error is None else [case.error.code.name]
    )
    client.world.advance(case.after - MOMENT)
    assert not client.closed
    client.world.advance(2 * MOMENT)
    assert client.closed
    assert client.methods() == []


def expect_protocol_header(client: RawClient, _: Case) -> None:
    client.arrivals()
    assert client.raw == PROTOCOL_HEADER
    assert client.closed


def expect_end(client: RawClient, _: Case) -> None:
    assert not client.closed
    client.hang_up()
    assert client.methods() == []
    assert client.closed


def expect_answers(client: RawClient, case: Case) -> None:
    found = client.methods()
    expected = [each for each in case.answers if not isinstance(each, BasicAck)]
    answers = [each for each in found if not isinstance(each, BasicAck)]
    assert [
        type(answer) if isinstance(wanted, type) else answer
        for answer, wanted in zip_longest(answers, expected)
    ] == expected
    assert confirmed(found) == confirmed(case.answers)


def confirmed(answers: Iterable[object]) -> int:
    """How far the confirms go; how many there are is up to the cuts."""
    return max((x.delivery_tag for x in answers if isinstance(x, BasicAck)), default=0)


EXPECTATIONS: Final = {
    Level.CONNECTION: expect_connection_close,
    Level.CHANNEL: expect_channel_close,
    Level.SILENT: expect_silence,
    Level.PROTOCOL_HEADER: expect_protocol_header,
    Level.GONE: expect_end,
    Level.OK: expect_answers,
}


def run(case: Case, world: World, cut: Cut) -> None:
    """Let the case happen, check what the peer sees and that nothing has changed."""
    client = world.connect(cut, is_loopback=case.is_loopback)
    reach(client, case)
    world.broker.take_notices()
    before = fingerprint(world.broker)
    client.send_raw(case.sends)
    EXPECTATIONS[case.level](client, case)
    if case.level in REFUSALS:
        assert fingerprint(world.broker) == before
    client.hang_up()
    world.clients.remove(client)
    world.broker.alarms.set("memory", active=False)


def test_the_table_is_whole() -> None:
    assert {case.row for case in CASES} == {WARRENS_OWN, *ROWS}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_bad_input(case: Case, cut: Cut) -> None:
    scenery = Scenery(case.limits)
    run(case, scenery.world, cut)
    scenery.check_witness()
    scenery.check_kept()
    scenery.world.close()
    assert leftovers(scenery.world.broker) == []
