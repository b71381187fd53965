"""Routing: from the exchange a message was published to, to the queues that get it.

The walk is the specification: it visits each exchange once whatever the bindings
between exchanges look like, and asks an alternate exchange where nothing matched.
Its result depends on the routing key alone unless headers come into it, and is then
kept in the exchange until the topology changes.
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
    """Return the queues for `message`, and whether any header had a say in it.

    CC and BCC are further routing keys (RabbitMQ's extension); a queue gets one copy
    however many ways lead there.
    """
    header = message.header
    keys = (message.route.routing_key, *header.extra_keys)
    by_header = bool(header.extra_keys)
    found: dict[Target, None] = {}
    seen = {start}
    waiting = deque([start])
    while waiting:
        exchange = waiting.popleft()
        by_header = by_header or exchange.depends_on_header
        matched = False
        for key in keys:
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
    return tuple(found), by_header
