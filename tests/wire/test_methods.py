"""warren.wire.methods: the specification, against two other libraries' copies of it."""

from __future__ import annotations

from inspect import signature

import pamqp.commands
import pamqp.frame
import pika.spec
import pytest
from amqp import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire.strategies import (
    by_wire,
    common_tables,
    fields_of,
    methods,
    methods_of,
    typed,
)
from warren.errors import FrameError, NotImplemented_, SyntaxError_
from warren.wire.fields import Wire
from warren.wire.frames import encode_method
from warren.wire.methods import (
    METHODS,
    AccessRequest,
    AccessRequestOk,
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicDeliver,
    BasicGetOk,
    BasicNack,
    BasicPublish,
    BasicQos,
    BasicRecoverAsync,
    BasicReturn,
    ChannelClose,
    ChannelCloseOk,
    ChannelFlow,
    ChannelFlowOk,
    ConnectionBlocked,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionSecure,
    ConnectionStart,
    ConnectionTune,
    ConnectionUnblocked,
    ConnectionUpdateSecret,
    ExchangeUnbindOk,
    Method,
    QueueDeclare,
    QueueDeclareOk,
    QueueUnbind,
    TxSelect,
    decode_method,
)

KINDS = list(METHODS.values())
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)

# What pika calls our fields, where it does not call them the same.
NAMES_IN_PIKA = {
    "nowait": "no_wait",
    "global_qos": "global_",
    "class_id": "failing_class_id",
    "method_id": "failing_method_id",
    "ticket": "reserved_1",
    "capabilities": "reserved_1",
    "known_hosts": "reserved_1",
    "out_of_band": "reserved_1",
    "channel_id": "reserved_1",
    "cluster_id": "reserved_1",
    "insist": "reserved_2",
}


# The shape of the specification


def test_the_methods_are_those_that_pika_knows() -> None:
    assert METHODS.keys() == pika.spec.methods.keys()


@every_kind
def test_names_and_numbers_are_those_of_pika(kind: type[Method]) -> None:
    theirs = pika.spec.methods[kind.index]
    ours = kind.name.replace("-", "").lower()
    assert ours == theirs.NAME.lower()
    assert kind.index == kind.class_id << 16 | kind.method_id
    assert METHODS[kind.index] is kind


@every_kind
def test_fields_are_named_as_in_pika(kind: type[Method]) -> None:
    theirs = signature(pika.spec.methods[kind.index].__init__).parameters
    names = [NAMES_IN_PIKA.get(name, name) for name in theirs if name != "self"]
    if kind is AccessRequestOk:
        names = ["ticket"]  # the one ticket that is not reserved
    assert list(fields_of(kind)) == names


@every_kind
def test_content_is_where_pika_has_it(kind: type[Method]) -> None:
    assert kind.has_content == pika.spec.has_content(kind.index)


def test_content_methods() -> None:
    carriers = {kind for kind in KINDS if kind.has_content}
    assert carriers == {BasicPublish, BasicReturn, BasicDeliver, BasicGetOk}


def test_who_may_send() -> None:
    either = {kind for kind in KINDS if kind.by_server and kind.by_client}
    assert either == {
        ChannelClose,
        ChannelCloseOk,
        ChannelFlow,
        ChannelFlowOk,
        ConnectionClose,
        ConnectionCloseOk,
        BasicAck,
        BasicNack,
        BasicCancel,
        BasicCancelOk,
    }
    from_server = {kind for kind in KINDS if kind.by_server} - either
    answers = {kind for kind in from_server if kind.__name__.endswith("Ok")}
    assert {kind.name for kind in from_server - answers} == {
        "connection.start",
        "connection.secure",
        "connection.tune",
        "connection.blocked",
        "connection.unblocked",
        "basic.return",
        "basic.deliver",
        "basic.get-empty",
    }
    # In the handshake it is the client that answers.
    from_client = {kind.name for kind in KINDS if not kind.by_server}
    assert {name for name in from_client if name.endswith("-ok")} == {
        "connection.start-ok",
        "connection.secure-ok",
        "connection.tune-ok",
    }


@pytest.mark.parametrize(
    ("kind", "name", "ids"),
    [
        (ConnectionStart, "connection.start", (10, 10)),
        (ConnectionUpdateSecret, "connection.update-secret", (10, 70)),
        (QueueDeclareOk, "queue.declare-ok", (50, 11)),
        (BasicRecoverAsync, "basic.recover-async", (60, 100)),
        (ExchangeUnbindOk, "exchange.unbind-ok", (40, 51)),
        (TxSelect, "tx.select", (90, 10)),
    ],
)
def test_names(kind: type[Method], name: str, ids: tuple[int, int]) -> None:
    assert (kind.name, (kind.class_id, kind.method_id)) == (name, ids)


@pytest.mark.parametrize(
    ("method", "raw"),
    [
        (TxSelect(), b"\0\x5a\0\x0a"),
        (
            BasicPublish(exchange="e", routing_key="k", mandatory=True),
            b"\0\x3c\0\x28\0\0\1e\1k\1",
        ),
        (
            BasicDeliver("c", 258, redelivered=True, exchange="e", routing_key="k"),
            b"\0\x3c\0\x3c\1c\0\0\0\0\0\0\1\2\1\1e\1k",
        ),
        (
            QueueDeclare(queue="q", durable=True, no_wait=True, arguments={"a": 1}),
            b"\0\x32\0\x0a\0\0\1q\x12\0\0\0\7\1aI\0\0\0\1",
        ),
        (ConnectionTune(2047, 131072, 60), b"\0\x0a\0\x1e\7\xff\0\2\0\0\0\x3c"),
    ],
)
def test_bytes_by_hand(method: Method, raw: bytes) -> None:
    assert method.encode() == raw
    assert decode_method(raw) == method


# Round trips


@given(methods)
def test_round_trip(method: Method) -> None:
    decoded = decode_method(method.encode())
    assert type(decoded) is type(method)
    assert typed(vars(decoded)) == typed(vars(method))
    assert decoded == method


@every_kind
def test_defaults_can_be_sent(kind: type[Method]) -> None:
    assert decode_method(kind().encode()) == kind()


def test_tables_are_not_shared() -> None:
    assert QueueDeclare().arguments is not QueueDeclare().arguments


@given(methods)
def test_a_cut_is_refused(method: Method) -> None:
    payload = method.encode()
    for size in range(len(payload)):
        with pytest.raises((FrameError, SyntaxError_)):
            decode_method(payload[:size])


@given(methods, st.binary(min_size=1, max_size=5))
def test_trailing_bytes_are_refused(method: Method, more: bytes) -> None:
    with pytest.raises(FrameError, match="cannot decode <<"):
        decode_method(method.encode() + more)


@given(st.sampled_from(KINDS), st.binary(max_size=60))
def test_any_arguments_are_read_or_refused(kind: type[Method], raw: bytes) -> None:
    try:
        method = decode_method(kind.index.to_bytes(4, "big") + raw)
    except (FrameError, SyntaxError_):
        return
    assert decode_method(method.encode()) == method


# Refusals


@pytest.mark.parametrize("size", [0, 1, 3])
def test_a_payload_under_four_bytes_is_an_unknown_frame(size: int) -> None:
    with pytest.raises(FrameError, match=r"type 1, .*: unknown_frame"):
        decode_method(bytes(size))


@pytest.mark.parametrize(("class_id", "method_id"), [(77, 10), (60, 999), (0, 0)])
def test_an_unknown_method(class_id: int, method_id: int) -> None:
    payload = class_id.to_bytes(2, "big") + method_id.to_bytes(2, "big")
    with pytest.raises(NotImplemented_) as caught:
        decode_method(payload + b"more")
    assert caught.value.text == f"unknown method id {{{class_id},{method_id}}}"


def test_the_text_of_cut_arguments() -> None:
    with pytest.raises(FrameError) as caught:
        decode_method(BasicAck(1).encode()[:-2])
    assert caught.value.text == "cannot decode <<0,0,0,0,0,0,0>>"


def test_a_huge_payload_makes_a_short_text() -> None:
    with pytest.raises(FrameError) as caught:
        decode_method(TxSelect().encode() + b"\0" * 100_000)
    assert len(caught.value.reply_text) <= 255


def test_a_string_that_is_not_utf8() -> None:
    payload = QueueDeclare(queue="qq").encode().replace(b"qq", b"\xff\xfe")
    with pytest.raises(FrameError) as caught:
        decode_method(payload)
    assert caught.value.text == "Malformed UTF-8 in shortstr"


def test_unused_bits_are_ignored() -> None:
    payload = BasicAck(1, multiple=True).encode()
    assert decode_method(payload[:-1] + b"\xff") == BasicAck(1, multiple=True)


@pytest.mark.parametrize(
    "method",
    [
        BasicAck(-1),
        BasicAck(2**64),
        BasicQos(0, 2**16),
        ConnectionTune(0, 2**32, 0),
        ConnectionStart(256),
        ConnectionOpen("v" * 256),
        QueueDeclare(arguments={"a": 2**63}),
    ],
)
def test_what_does_not_fit_is_a_value_error(method: Method) -> None:
    with pytest.raises(ValueError, match=r"."):
        method.encode()


def test_a_number_that_does_not_fit_names_its_method() -> None:
    with pytest.raises(ValueError, match=r"^basic\.ack: "):
        BasicAck(-1).encode()


# Other libraries' bytes

COMMON = by_wire | {
    Wire.TABLE: common_tables,
    Wire.LONGSTR: st.text(max_size=40).map(str.encode),
}


def pika_method(method: Method) -> pika.amqp_object.Method:
    return pika.spec.methods[method.index](*vars(method).values())


@every_kind
@settings(max_examples=20)
@given(data=st.data())
def test_pika_encodes_the_same(kind: type[Method], data: st.DataObject) -> None:
    method = data.draw(methods_of(kind, COMMON))
    assert method.encode()[4:] == b"".join(pika_method(method).encode())


@every_kind
@settings(max_examples=20)
@given(data=st.data())
def test_pika_decodes_the_same(kind: type[Method], data: st.DataObject) -> None:
    method = data.draw(methods_of(kind, COMMON))
    their_kind = pika.spec.methods[kind.index]
    theirs = their_kind.__new__(their_kind).decode(method.encode(), 4)
    for (name, wire), value in zip(
        fields_of(kind).items(), vars(theirs).values(), strict=True
    ):
        ours = getattr(method, name)
        # pika shows some long strings as ``str(b"...")``.
        same = {str(ours), ours} if wire is Wire.LONGSTR else [ours]
        assert value in same


SAMPLES: dict[Wire, object] = {
    Wire.BIT: True,
    Wire.OCTET: 9,
    Wire.SHORT: 311,
    Wire.LONG: 70_000,
    Wire.LONGLONG: 2**40,
    Wire.SHORTSTR: "name",
    Wire.LONGSTR: "long",
    Wire.TABLE: {"a": "b", "c": True},
}
# Fields that are no longer used: pamqp insists on its own defaults.
UNUSED = {"ticket", "capabilities", "known_hosts", "out_of_band", "insist"}
UNUSED |= {"channel_id", "cluster_id"}
IN_PAMQP = [kind for kind in KINDS if kind.class_id != AccessRequest.class_id]


@pytest.mark.filterwarnings("ignore:This command is deprecated")
@pytest.mark.parametrize("kind", IN_PAMQP, ids=lambda kind: kind.__name__)
def test_pamqp_frames_are_the_same(kind: type[Method]) -> None:
    their_kind = pamqp.commands.INDEX_MAPPING[kind.index]
    wires = fields_of(kind)
    their_names = dict(zip(wires, their_kind.__slots__, strict=True))
    used = {name for name in wires if their_names[name] not in UNUSED}
    theirs = their_kind(**{their_names[name]: SAMPLES[wires[name]] for name in used})

    def our_value(name: str, owner: object) -> object:
        value = getattr(owner, their_names[name])
        is_text = wires[name] is Wire.LONGSTR and isinstance(value, str)
        return value.encode() if is_text else value

    method = kind(**{name: our_value(name, theirs) for name in wires})
    frame = encode_method(7, method)
    assert frame == pamqp.frame.marshal(theirs, 7)
    assert decode_method(frame[7:-1]) == method
    size, channel, decoded = pamqp.frame.unmarshal(frame)
    assert (size, channel, type(decoded)) == (len(frame), 7, their_kind)
    assert {name: our_value(name, decoded) for name in wires} == vars(method)


@pytest.mark.parametrize(
    ("method", "layout"),
    [
        (QueueDeclare(queue="q", exclusive=True, arguments={"x": 1}), "BsbbbbbF"),
        (QueueUnbind(queue="q", exchange="e", arguments={}), "BsssF"),
        (BasicQos(1, 2, global_=True), "lBb"),
        (BasicAck(2**50, multiple=True), "Lb"),
        (ConnectionTune(1, 2, 3), "BlB"),
        (ConnectionSecure(b"why"), "S"),
        (ConnectionBlocked("low on memory"), "s"),
        (ConnectionUnblocked(), ""),
        (AccessRequest(), "sbbbbb"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_py_amqp_encodes_the_same(method: Method, layout: str) -> None:
    raw = serialization.dumps(layout, list(vars(method).values()))
    assert method.encode()[4:] == raw
