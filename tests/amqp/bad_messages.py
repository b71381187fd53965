"""Rows 97 to 131 that are about publishing, consuming, settling and modes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.amqp.bad_input import Case, accepted, on, published, refused
from warren.errors import (
    AccessRefused,
    NotAllowed,
    NotFound,
    NotImplemented_,
    PreconditionFailed,
    ResourceLocked,
)
from warren.wire.methods import (
    AccessRequest,
    AccessRequestOk,
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicGet,
    BasicGetEmpty,
    BasicNack,
    BasicPublish,
    BasicQos,
    BasicQosOk,
    BasicRecover,
    BasicRecoverAsync,
    BasicReject,
    BasicReturn,
    ChannelFlow,
    ChannelFlowOk,
    ChannelOpen,
    ConfirmSelect,
    ConfirmSelectOk,
    ConnectionBlocked,
    ConnectionUpdateSecret,
    ConnectionUpdateSecretOk,
    TxCommit,
    TxRollback,
    TxSelect,
    TxSelectOk,
)
from warren_broker.core.limits import Limits

if TYPE_CHECKING:
    from tests.pairs import World
    from warren.errors import AMQPError

REPLY_TO: Final = "amq.rabbitmq.reply-to"
CONSUME_REPLIES: Final = BasicConsume(queue=REPLY_TO, consumer_tag="r", no_ack=True)
CONSUME: Final = BasicConsume(queue="kept", consumer_tag="c")
LOGIN_LIMITED: Final = b"\0limited\0limited"


def bad_publish(
    row: int,
    name: str,
    error: type[AMQPError],
    text: str,
    sends: bytes,
    **fields: object,
) -> Case:
    return refused(row, name, error, text, sends, by=BasicPublish, **fields)


def bad_tag(row: int, name: str, tag: int, *sends: bytes, **fields: object) -> Case:
    text = f"unknown delivery tag {tag}"
    return refused(row, name, PreconditionFailed, text, *sends, **fields)


def memory_alarm(world: World) -> None:
    world.broker.alarms.set("memory", active=True)


PUBLISHING: Final = (
    bad_publish(
        97,
        "no exchange",
        NotFound,
        "no exchange 'nope' in vhost '/'",
        published("nope", "k"),
    ),
    bad_publish(
        98,
        "internal exchange",
        AccessRefused,
        "cannot publish to internal exchange 'inner' in vhost '/'",
        published("inner", "k"),
    ),
    accepted(
        99,
        "mandatory without a route",
        (BasicReturn(312, "NO_ROUTE", "", "nowhere"), BasicAck(1)),
        published("", "nowhere", mandatory=True),
        before=(ConfirmSelect(),),
    ),
    refused(
        100,
        "immediate",
        NotImplemented_,
        "immediate=true",
        BasicPublish(routing_key="kept", immediate=True),
    ),
    bad_publish(
        101,
        "no write permission",
        AccessRefused,
        "write access to exchange 'kept.topic' in vhost '/' refused for user 'limited'",
        published("kept.topic", "k"),
        login=LOGIN_LIMITED,
    ),
    bad_publish(
        101,
        "no write permission on the default exchange",
        AccessRefused,
        "write access to exchange 'amq.default' in vhost '/' refused"
        " for user 'limited'",
        published("", "kept"),
        login=LOGIN_LIMITED,
    ),
    bad_publish(
        102,
        "user-id of somebody else",
        PreconditionFailed,
        "user_id property set to 'root' but authenticated user was 'guest'",
        published("", "kept", user_id="root"),
    ),
    *(
        bad_publish(
            103,
            f"expiration {text!r}",
            PreconditionFailed,
            f"invalid expiration '{text}': {reason}",
            published("", "kept", expiration=text),
        )
        for text, reason in {
            "abc": "no_integer",
            "": "no_integer",
            "-1": "{value_negative,-1}",
            "1.5": '{leftover_string,".5"}',
            "\u0661": "no_integer",
            str(2**40): f"{{value_too_large,{2**40}}}",
            "9" * 40: "{value_too_large,",
        }.items()
    ),
    accepted(
        104,
        "priority 255 of 3",
        (BasicAck(1),),
        published("", "by priority", priority=255),
        before=(ConfirmSelect(),),
    ),
    *(
        bad_publish(
            105,
            f"{key} {value!r}",
            PreconditionFailed,
            f'invalid message: {{unacceptable_type_in_header,"{key}",',
            published("", "kept", headers={key: value}),
        )
        for key in ("CC", "BCC")
        for value in ("kept", 5, {"kept": True}, ["kept", 5], [["kept"]], [b"\xff"])
    ),
    bad_publish(
        106,
        "reply-to without a reply consumer",
        PreconditionFailed,
        "fast reply consumer does not exist",
        published("", "kept", reply_to=REPLY_TO),
    ),
    refused(
        107,
        "reply consumer that acks",
        PreconditionFailed,
        "reply consumer cannot acknowledge",
        BasicConsume(queue=REPLY_TO),
    ),
    refused(
        107,
        "reply consumer twice",
        PreconditionFailed,
        "reply consumer already set",
        BasicConsume(queue=REPLY_TO, no_ack=True),
        before=(CONSUME_REPLIES,),
    ),
)

SETTLING: Final = (
    *(
        bad_tag(109, f"{method.name}, unknown", 5, method, before=(CONSUME,))
        for method in (BasicAck(5), BasicNack(5), BasicReject(5))
    ),
    *(
        bad_tag(109, f"{method.name}, tag 0", 0, method, before=(CONSUME,))
        for method in (BasicAck(0), BasicNack(0), BasicReject(0))
    ),
    bad_tag(
        109,
        "ack again",
        1,
        BasicReject(1, requeue=True),
        before=(BasicGet(queue="kept"), BasicNack(1)),
    ),
    bad_tag(
        109,
        "ack of what needs none",
        1,
        BasicAck(1),
        before=(BasicConsume(queue="empty", no_ack=True), published("", "empty")),
    ),
    accepted(
        110,
        "ack of everything there is not",
        (BasicQosOk(),),
        *(BasicAck(0, multiple=True), BasicNack(0, multiple=True), BasicQos()),
    ),
    bad_tag(111, "ack past the last", 4, BasicAck(4, multiple=True), before=(CONSUME,)),
    bad_tag(
        111,
        "ack far past the last",
        2**64 - 1,
        BasicAck(2**64 - 1, multiple=True),
        before=(CONSUME,),
    ),
    refused(
        112,
        "ack on another channel",
        PreconditionFailed,
        "unknown delivery tag 1",
        BasicAck(1),
        before=(on(2, ChannelOpen(), CONSUME),),
    ),
)

CONSUMING: Final = (
    refused(
        113,
        "prefetch in bytes",
        NotImplemented_,
        "prefetch_size!=0 (1000)",
        BasicQos(prefetch_size=1000),
    ),
    accepted(114, "global prefetch", (BasicQosOk(),), BasicQos(0, 5, global_=True)),
    refused(
        115,
        "consumer tag in use",
        NotAllowed,
        "attempt to reuse consumer tag 'c'",
        CONSUME,
        before=(CONSUME,),
    ),
    refused(
        115,
        "reply consumer's tag in use",
        NotAllowed,
        "attempt to reuse consumer tag 'r'",
        BasicConsume(queue="kept", consumer_tag="r"),
        before=(CONSUME_REPLIES,),
    ),
    *(
        refused(
            116,
            name,
            AccessRefused,
            f"queue '{method.queue}' in vhost '/' in exclusive use",
            method,
        )
        for name, method in {
            "exclusive beside others": BasicConsume(queue="busy", exclusive=True),
            "beside an exclusive one": BasicConsume(queue="taken"),
            "exclusive and single": BasicConsume(queue="single", exclusive=True),
        }.items()
    ),
    # As in RabbitMQ: an exclusive consumer keeps consumers away, and nothing else.
    accepted(
        116, "get beside an exclusive one", (BasicGetEmpty(),), BasicGet(queue="taken")
    ),
    refused(
        117,
        "one consumer too many on a channel",
        NotAllowed,
        "reached maximum (1) of consumers per channel",
        BasicConsume(queue="busy"),
        before=(BasicConsume(queue="busy"),),
        limits=Limits(consumers_per_channel_max=1),
    ),
    refused(
        117,
        "one consumer too many on a connection",
        NotAllowed,
        "reached maximum (2) of consumers per connection",
        BasicConsume(queue="busy"),
        before=(
            BasicConsume(queue="busy"),
            on(2, ChannelOpen(), BasicConsume(queue="busy")),
        ),
        limits=Limits(consumers_per_connection_max=2),
    ),
    accepted(118, "cancel of nobody", (BasicCancelOk("x"),), BasicCancel("x")),
    refused(
        119,
        "get beside a single active consumer",
        ResourceLocked,
        "cannot obtain access to locked queue 'single' in vhost '/'."
        " basic.get operations are not supported by queues with single active consumer",
        BasicGet(queue="single"),
    ),
    *(
        refused(120, f"{method.name}", NotImplemented_, "requeue=false", method)
        for method in (BasicRecover(), BasicRecoverAsync())
    ),
    # The specification lets a client pause its deliveries, so it may; RabbitMQ: 540.
    accepted(
        121,
        "pause and go on",
        (
            ChannelFlowOk(active=False),
            BasicConsumeOk("c"),
            ChannelFlowOk(active=True),
            BasicConsumeOk("d"),
            BasicCancelOk("c"),
        ),
        *(ChannelFlow(active=False), BasicConsume(queue="empty", consumer_tag="c")),
        *(ChannelFlow(active=True), BasicConsume(queue="empty", consumer_tag="d")),
        BasicCancel("c"),
    ),
)

MODES: Final = (
    refused(
        122,
        "tx after confirm",
        PreconditionFailed,
        "cannot switch from confirm to tx mode",
        TxSelect(),
        before=(ConfirmSelect(),),
    ),
    refused(
        122,
        "confirm after tx",
        PreconditionFailed,
        "cannot switch from tx to confirm mode",
        ConfirmSelect(),
        before=(TxSelect(),),
    ),
    *(
        refused(123, method.name, PreconditionFailed, "not transactional", method)
        for method in (TxCommit(), TxRollback())
    ),
    accepted(
        124,
        "confirm.select twice",
        (ConfirmSelectOk(), ConfirmSelectOk(), BasicAck(1)),
        *(ConfirmSelect(), ConfirmSelect(), published("", "kept")),
    ),
    accepted(124, "tx.select twice", (TxSelectOk(),) * 2, TxSelect(), TxSelect()),
    accepted(125, "access.request", (AccessRequestOk(1),), AccessRequest()),
    accepted(
        128,
        "update-secret",
        (ConnectionUpdateSecretOk(),),
        on(0, ConnectionUpdateSecret(b"other", "expired")),
    ),
    refused(
        128,
        "update-secret of one who may no longer",
        NotAllowed,
        "access to vhost '/' refused for user 'limited'",
        on(0, ConnectionUpdateSecret(b"other", "expired")),
        by=ConnectionUpdateSecret,
        login=LOGIN_LIMITED,
        prepare=lambda world: world.broker.access.clear_permissions("limited", "/"),
    ),
    # What is on its way is taken; then the connection is not read (see test_alarms).
    accepted(
        129,
        "publish in an alarm",
        (ConnectionBlocked("low on memory"), BasicAck(1)),
        published("", "kept"),
        before=(ConfirmSelect(),),
        prepare=memory_alarm,
    ),
)

CASES: Final = (*PUBLISHING, *SETTLING, *CONSUMING, *MODES)
