"""Rows 71 to 96, and those of later rows that are about queues and exchanges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.amqp.bad_input import Case, accepted, published, refused
from warren.errors import AccessRefused, NotFound, PreconditionFailed, ResourceLocked
from warren.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicGet,
    ConfirmSelect,
    ExchangeBind,
    ExchangeBindOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    ExchangeUnbind,
    ExchangeUnbindOk,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
    QueueUnbind,
    QueueUnbindOk,
)
from warren_broker.core.limits import Limits

if TYPE_CHECKING:
    from warren.wire.methods import Method
    from warren.wire.table import FieldValue

LOCKED: Final = (
    "cannot obtain exclusive access to locked queue 'locked' in vhost '/'."
    " It could be originally declared on another connection or the exclusive property"
    " value does not match that of the original declaration."
)
DEFAULT_EXCHANGE: Final = "operation not permitted on the default exchange"
NAME_255: Final = "q" * 255


def declare(name: str = "mine", **arguments: FieldValue) -> QueueDeclare:
    """A declare with arguments; `x_max_length` stands for `x-max-length`."""
    table = {key.replace("_", "-"): value for key, value in arguments.items()}
    return QueueDeclare(queue=name, arguments=table)


def inequivalent(row: int, key: str, values: str, method: Method) -> Case:
    kind = "exchange" if isinstance(method, ExchangeDeclare) else "queue"
    name = getattr(method, kind)
    text = f"inequivalent arg '{key}' for {kind} '{name}' in vhost '/': {values}"
    return refused(row, f"another {key}", PreconditionFailed, text, method)


QUEUES: Final = (
    refused(
        71,
        "passive declare of no queue",
        NotFound,
        "no queue 'nope' in vhost '/'",
        QueueDeclare(queue="nope", passive=True),
    ),
    inequivalent(
        72,
        "durable",
        "received 'true' but current is 'false'",
        QueueDeclare(queue="kept", durable=True),
    ),
    inequivalent(
        72,
        "auto_delete",
        "received 'true' but current is 'false'",
        QueueDeclare(queue="kept", auto_delete=True),
    ),
    inequivalent(
        72,
        "x-max-length",
        "received the value '9' of type 'signedint' but current is none",
        declare("kept", x_max_length=9),
    ),
    refused(
        72,
        "exclusive",
        ResourceLocked,
        "cannot obtain exclusive access to locked queue 'kept' in vhost '/'",
        QueueDeclare(queue="kept", exclusive=True),
    ),
    refused(
        73,
        "reserved queue name",
        AccessRefused,
        "queue name 'amq.mine' contains reserved prefix 'amq.*'",
        QueueDeclare(queue="amq.mine"),
    ),
    *(
        refused(74, f"{method.name} {number}", ResourceLocked, LOCKED, method)
        for number, method in enumerate(
            (
                QueueDeclare(queue="locked", exclusive=True),
                QueueDeclare(queue="locked"),
                QueueDeclare(queue="locked", passive=True),
                QueueBind(queue="locked", exchange="kept.topic"),
                QueueUnbind(queue="locked", exchange="kept.topic"),
                BasicConsume(queue="locked"),
                BasicGet(queue="locked"),
                QueuePurge(queue="locked"),
                QueueDelete(queue="locked"),
            )
        )
    ),
    accepted(
        75,
        "a name of 255 bytes",
        (QueueDeclareOk(NAME_255),),
        QueueDeclare(queue=NAME_255),
    ),
    accepted(
        76,
        "line breaks in a name",
        (QueueDeclareOk("mine"),),
        QueueDeclare(queue="mi\r\nne\n"),
    ),
    *(
        refused(77, f"{method.name}", NotFound, "no previously declared queue", method)
        for method in (
            QueueBind(exchange="kept.topic"),
            QueueUnbind(exchange="kept.topic"),
            BasicConsume(),
            BasicGet(),
            QueuePurge(),
            QueueDelete(),
            QueueDeclare(passive=True),
        )
    ),
    accepted(
        77,
        "the last queue",
        (
            QueueDeclareOk,
            QueueBindOk,
            QueueUnbindOk,
            QueuePurgeOk,
            QueueDeclareOk,
            QueueDeleteOk,
        ),
        *(QueueDeclare(), QueueBind(exchange="kept.topic")),
        *(QueueUnbind(exchange="kept.topic"), QueuePurge()),
        *(QueueDeclare(passive=True), QueueDelete()),
    ),
    refused(
        95,
        "passive declare after delete",
        NotFound,
        "no queue 'mine' in vhost '/'",
        QueueDeclare(queue="mine", passive=True),
        before=(declare(), QueueDelete(queue="mine")),
    ),
)

EXCHANGES: Final = (
    *(
        refused(
            86,
            f"type {type_name!r}",
            PreconditionFailed,
            f"unknown exchange type '{type_name}'",
            ExchangeDeclare(exchange="mine", type=type_name),
        )
        for type_name in ("nope", "", "x-jms-topic")
    ),
    *(
        refused(87, f"{method.name} {number}", AccessRefused, DEFAULT_EXCHANGE, method)
        for number, method in enumerate(
            (
                ExchangeDeclare(exchange="", type="direct"),
                ExchangeDeclare(exchange="", type="direct", passive=True),
                ExchangeDelete(exchange=""),
            )
        )
    ),
    refused(
        88,
        "reserved exchange name",
        AccessRefused,
        "exchange name 'amq.mine' contains reserved prefix 'amq.*'",
        ExchangeDeclare(exchange="amq.mine", type="direct"),
    ),
    refused(
        88,
        "delete of amq.topic",
        AccessRefused,
        "deletion of system exchange 'amq.topic' in vhost '/' not allowed",
        ExchangeDelete(exchange="amq.topic"),
    ),
    accepted(
        89,
        "amq.direct as it is",
        (ExchangeDeclareOk(),),
        ExchangeDeclare(exchange="amq.direct", type="direct", durable=True),
    ),
    inequivalent(
        89,
        "durable",
        "received 'false' but current is 'true'",
        ExchangeDeclare(exchange="amq.direct", type="direct"),
    ),
    inequivalent(
        89,
        "type",
        "received 'fanout' but current is 'direct'",
        ExchangeDeclare(exchange="amq.direct", type="fanout", durable=True),
    ),
    refused(
        90,
        "passive declare of no exchange",
        NotFound,
        "no exchange 'nope' in vhost '/'",
        ExchangeDeclare(exchange="nope", passive=True),
    ),
    *(
        refused(91, f"{method.name} {number}", AccessRefused, DEFAULT_EXCHANGE, method)
        for number, method in enumerate(
            (
                QueueBind(queue="kept", exchange=""),
                QueueUnbind(queue="kept", exchange=""),
                ExchangeBind(destination="kept.topic", source=""),
                ExchangeBind(destination="", source="kept.topic"),
                ExchangeUnbind(destination="kept.topic", source=""),
            )
        )
    ),
    *(
        refused(92, f"{method.name} {number}", NotFound, text, method)
        for number, (text, method) in enumerate(
            (
                ("no queue 'no'", QueueBind(queue="no", exchange="kept.topic")),
                ("no exchange 'no'", QueueBind(queue="kept", exchange="no")),
                ("no exchange 'no'", ExchangeBind(destination="no", source="inner")),
                ("no exchange 'no'", ExchangeBind(destination="inner", source="no")),
            )
        )
    ),
    # RabbitMQ refuses more than two: but Celery's native delayed delivery declares
    # such keys, and here matching costs the words and not their combinations.
    accepted(
        93,
        "three # in a key",
        (QueueBindOk(), BasicAck(1), QueueUnbindOk()),
        QueueBind(queue="kept", exchange="kept.topic", routing_key="#.a.#.b.#"),
        *(ConfirmSelect(no_wait=True), published("kept.topic", "x.a.y.b.z")),
        QueueUnbind(queue="kept", exchange="kept.topic", routing_key="#.a.#.b.#"),
    ),
    accepted(
        94,
        "unbind of no binding",
        (QueueUnbindOk(), QueueUnbindOk(), QueueUnbindOk(), ExchangeUnbindOk()),
        QueueUnbind(queue="kept", exchange="kept.topic", routing_key="never"),
        QueueUnbind(queue="kept", exchange="nope"),
        QueueUnbind(queue="nope", exchange="kept.topic"),
        ExchangeUnbind(destination="inner", source="kept.topic", routing_key="never"),
    ),
    accepted(
        95,
        "delete of nothing",
        (QueueDeleteOk(0), ExchangeDeleteOk()),
        *(QueueDelete(queue="nope"), ExchangeDelete(exchange="nope")),
    ),
    refused(
        96,
        "if-unused with a consumer",
        PreconditionFailed,
        "queue 'busy' in vhost '/' in use",
        QueueDelete(queue="busy", if_unused=True),
    ),
    refused(
        96,
        "if-empty with messages",
        PreconditionFailed,
        "queue 'kept' in vhost '/' not empty",
        QueueDelete(queue="kept", if_empty=True),
    ),
    refused(
        96,
        "exchange if-unused with a binding",
        PreconditionFailed,
        "exchange 'kept.topic' in vhost '/' in use",
        ExchangeDelete(exchange="kept.topic", if_unused=True),
    ),
    refused(
        108,
        "bind of direct reply-to",
        AccessRefused,
        "cannot bind or unbind to a volatile (direct reply-to) queue",
        QueueBind(queue="amq.rabbitmq.reply-to", exchange="kept.topic"),
    ),
    accepted(
        126,
        "an exchange bound to itself",
        (
            *(ExchangeDeclareOk(), ExchangeBindOk(), QueueDeclareOk, QueueBindOk()),
            *(BasicAck(1), QueueDeclareOk("mine", 1)),
        ),
        ExchangeDeclare(exchange="loop", type="fanout"),
        *(ExchangeBind(destination="loop", source="loop"), declare()),
        *(QueueBind(queue="mine", exchange="loop"), ConfirmSelect(no_wait=True)),
        *(published("loop", ""), declare()),
    ),
)

LIMITS: Final = (
    refused(
        132,
        "one queue too many",
        PreconditionFailed,
        "cannot declare queue 'mine': queue limit (10) in vhost '/' is reached",
        declare(),
        limits=Limits(queues_max=10),
    ),
    refused(
        132,
        "one exchange too many",
        PreconditionFailed,
        "cannot declare exchange 'mine': exchange limit (11) in vhost '/' is reached",
        ExchangeDeclare(exchange="mine", type="direct"),
        limits=Limits(exchanges_max=11),
    ),
    refused(
        132,
        "one binding too many",
        PreconditionFailed,
        "binding limit (3) in vhost '/' is reached",
        QueueBind(queue="kept", exchange="kept.topic", routing_key="more"),
        limits=Limits(bindings_max=3),
    ),
)

CASES: Final = (*QUEUES, *EXCHANGES, *LIMITS)
