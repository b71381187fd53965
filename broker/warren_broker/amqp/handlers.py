"""Handlers: what each method of a channel does, as a table.

A handler takes the channel and the method, acts, and answers. What it raises, an
AMQPError, it raises before it has changed anything that outlives the channel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from warren.wire import methods as m
from warren_broker.amqp import basic, topology, transactions

if TYPE_CHECKING:
    from warren_broker.amqp.channel import ServerChannel

Handler = Callable[["ServerChannel", Any], None]

HANDLERS: Final[dict[int, Handler]] = {
    m.ChannelOpen.index: basic.channel_open,
    m.ChannelFlow.index: basic.channel_flow,
    m.ChannelFlowOk.index: basic.ignore,
    m.ChannelClose.index: basic.channel_close,
    m.AccessRequest.index: basic.access_request,
    m.ExchangeDeclare.index: topology.exchange_declare,
    m.ExchangeDelete.index: topology.exchange_delete,
    m.ExchangeBind.index: topology.exchange_bind,
    m.ExchangeUnbind.index: topology.exchange_unbind,
    m.QueueDeclare.index: topology.queue_declare,
    m.QueueBind.index: topology.queue_bind,
    m.QueuePurge.index: topology.queue_purge,
    m.QueueDelete.index: topology.queue_delete,
    m.QueueUnbind.index: topology.queue_unbind,
    m.BasicQos.index: basic.qos,
    m.BasicConsume.index: basic.consume,
    m.BasicCancel.index: basic.cancel,
    m.BasicCancelOk.index: basic.ignore,
    m.BasicGet.index: basic.get,
    m.BasicAck.index: basic.ack,
    m.BasicReject.index: basic.reject,
    m.BasicNack.index: basic.nack,
    m.BasicRecover.index: basic.recover,
    m.BasicRecoverAsync.index: basic.recover_async,
    m.ConfirmSelect.index: transactions.confirm_select,
    m.TxSelect.index: transactions.tx_select,
    m.TxCommit.index: transactions.tx_commit,
    m.TxRollback.index: transactions.tx_rollback,
}
