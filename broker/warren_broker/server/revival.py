"""Revival: messages are made again of what the journal has kept of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warren_broker.amqp.content_header import ContentHeader
from warren_broker.core.message import Message, Route

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from warren_broker.storage.lookup import Content


def revived(
    contents: Iterable[Content],
    make: Callable[[bytes], ContentHeader] = ContentHeader.restored,
) -> Iterator[Message]:
    """Yield a message for each; those in a row share what they have in common.

    `make` a header of its bytes.
    """
    routes: dict[bytes, Route] = {}
    route: Route | None = None
    header: ContentHeader | None = None
    for encoded, payload, body in contents:
        if route is None or route.encoded != encoded:
            route = routes.get(encoded)
            if route is None:
                route = routes[encoded] = decode_route(encoded)
        if header is None or header.payload != payload:
            header = make(payload)
        yield Message(route, header, body)


def decode_route(encoded: bytes) -> Route:
    """Read two short strings: exchange and routing key."""
    end = 1 + encoded[0]
    return Route(encoded[1:end].decode(), encoded[end + 1 :].decode(), encoded)
