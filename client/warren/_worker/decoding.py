"""Decoding: from a message to the value a handler is annotated with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from warren.bodies.codecs import JSON, TEXT

if TYPE_CHECKING:
    from warren._worker.job import Received
    from warren.bodies.codecs import Codecs


def value_of(codecs: Codecs, message: Received, kind: Any) -> object:  # noqa: ANN401
    """Return the body as a `kind`; None is however its content type has it.

    `bytes` gets any body as it is. Many clients send no content type: then `str` takes
    the body for text and anything else for JSON. Raises `BodyError`.
    """
    if kind is bytes:
        return message.body
    content_type = message.properties.content_type
    if content_type is None and kind is not None:
        content_type = TEXT if kind is str else JSON
    return codecs.decode(message.body, content_type, kind)
