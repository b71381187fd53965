"""Routing: from the exchange a message was published to, to the queues that get it.

The walk is the specification: it visits each exchange once whatever the bindings
between exchanges look like, and asks an alternate exchange where nothing matched.
Its result is fixed if the routing key alone decides, as it does for most types, and is
then kept in the exchange until the topology changes.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from warren_broker.core.exchange import Exchange
from warren_broker.core.queue import Queue
from warren_broker.core.reply_to import ReplyQueue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warren_broker.core.message import Message

Target = Queue | ReplyQueue

CACHE_MAX: Final = 4096
"""Routing keys whose routes an exchange keeps; one more and it starts again."""


def walk(
    exchanges: Mapping[str, Exchange],
    start: Exchange,
    message: Message,
    exchanges_max: int,
) -> tuple[tuple[Target, ...], bool]:
    """Return the queues for `message`, and whether all with its routing key go there.

    CC and BCC are further routing keys (RabbitMQ's extension); a queue gets one copy
    however many ways lead there. Exchanges that must know of every message learn of
    this one.
    """
    header = message.header
    keys = (message.route.routing_key, *header.extra_keys)
    is_fixed = not header.extra_keys
    found: dict[Target, None] = {}
    seen = {start}
    waiting = deque([start])
    while waiting:
        exchange = waiting.popleft()
        # The default one, as an alternate: its queues come and go unnoticed.
        is_fixed = is_fixed and not exchange.is_default
        if not exchange.has_fixed_routes:
            is_fixed = False
            exchange.on_message(message)
        matched = False
        for key in keys[:1] if exchange.chooses_one else keys:
            for destination in exchange.match(key, header):
                matched = True
                if isinstance(destination, Queue | ReplyQueue):
                    found[destination] = None
                elif isinstance(destination, Exchange) and destination not in seen:
                    seen.add(destination)
                    waiting.append(destination)
        if not matched and exchange.alternate is not None:
            alternate = exchanges.get(exchange.alternate)
            if alternate is not None and alternate not in seen:
                seen.add(alternate)
                waiting.append(alternate)
        if len(seen) > exchanges_max:
            break
    return tuple(found), is_fixed
