"""Asking: the other side of a responder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from warren._worker.endings import ERROR_HEADER
from warren._worker.failures import RemoteError

if TYPE_CHECKING:
    from warren._client.connection import Connection
    from warren._client.delivery import Delivery

Value = TypeVar("Value")


@overload
async def ask(connection: Connection, queue: str, body: object) -> Any: ...  # noqa: ANN401
@overload
async def ask(
    connection: Connection, queue: str, body: object, kind: type[Value]
) -> Value: ...
async def ask(
    connection: Connection, queue: str, body: object, kind: type | None = None
) -> Any:
    """Ask a responder, and return the value of its answer, as a `kind`.

    Waits for ever: put a `trio.fail_after` around it. Raises `RemoteError` if the
    answer is an error, `BodyError` if it is no `kind`, and what `Connection.request`
    raises.

    ::

        with trio.fail_after(2):
            price = await warren.ask(connection, "prices", {"sku": "tea"}, float)
    """
    answer: Delivery[Any]
    answer = await connection.request(body, kind or object, routing_key=queue)
    if ERROR_HEADER in answer.headers:
        text = answer.body.decode(errors="replace")
        raise RemoteError(str(answer.headers[ERROR_HEADER]), text)
    return answer.value
