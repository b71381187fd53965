"""Which requests are answered, and by what (specification, section 1.4 ff.).

A server answers the requests of one channel in their order, so the oldest unanswered
request says what the next answer must be. No-wait requests are not answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from warren.wire.methods import (
    AccessRequest,
    AccessRequestOk,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicQos,
    BasicQosOk,
    BasicRecover,
    BasicRecoverOk,
    ChannelFlow,
    ChannelFlowOk,
    ChannelOpen,
    ChannelOpenOk,
    ConfirmSelect,
    ConfirmSelectOk,
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
    TxCommit,
    TxCommitOk,
    TxRollback,
    TxRollbackOk,
    TxSelect,
    TxSelectOk,
)

if TYPE_CHECKING:
    from warren.wire.methods import Method

REPLIES: Final[dict[type[Method], tuple[type[Method], ...]]] = {
    ChannelOpen: (ChannelOpenOk,),
    ChannelFlow: (ChannelFlowOk,),
    AccessRequest: (AccessRequestOk,),
    ExchangeDeclare: (ExchangeDeclareOk,),
    ExchangeDelete: (ExchangeDeleteOk,),
    ExchangeBind: (ExchangeBindOk,),
    ExchangeUnbind: (ExchangeUnbindOk,),
    QueueDeclare: (QueueDeclareOk,),
    QueueBind: (QueueBindOk,),
    QueuePurge: (QueuePurgeOk,),
    QueueDelete: (QueueDeleteOk,),
    QueueUnbind: (QueueUnbindOk,),
    BasicQos: (BasicQosOk,),
    BasicConsume: (BasicConsumeOk,),
    BasicCancel: (BasicCancelOk,),
    BasicGet: (BasicGetOk, BasicGetEmpty),
    BasicRecover: (BasicRecoverOk,),
    ConfirmSelect: (ConfirmSelectOk,),
    TxSelect: (TxSelectOk,),
    TxCommit: (TxCommitOk,),
    TxRollback: (TxRollbackOk,),
}
"""Request -> its possible answers. `channel.close` is the state machine's."""


def replies_to(method: Method) -> tuple[type[Method], ...]:
    """Return what may answer `method`: nothing, if it is no request or is no-wait."""
    if getattr(method, "no_wait", False):
        return ()
    return REPLIES.get(type(method), ())
