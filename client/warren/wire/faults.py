"""Errors about frames, with the texts that RabbitMQ gives them.

Whoever reads frames takes the error from here, so that the fast reader and the plain
one say the same. All close the connection.
"""

from __future__ import annotations

from typing import Final

from warren.errors import FrameError, NotImplemented_, UnexpectedFrame
from warren.wire.constants import BASIC_CLASS, FRAME_OVERHEAD

_SNIPPET_SIZE: Final = 16
_SHOWN_SIZE: Final = 64
_PRINTABLE: Final = range(0x20, 0x7F)


def unknown_frame(kind: int, payload: bytes) -> FrameError:
    """No such kind of frame, or not what such a frame holds."""
    return _frame_error(kind, payload, "unknown_frame")


def frame_too_large(kind: int, size: int, frame_size_max: int) -> FrameError:
    """A payload of `size` bytes was announced; it need not have been read."""
    size_max = frame_size_max - FRAME_OVERHEAD
    return _frame_error(kind, b"", f"{{frame_too_large,{size},{size_max}}}")


def wrong_frame_end(kind: int, payload: bytes, end: int) -> FrameError:
    """The byte after the payload is not 0xCE: nothing after it can be trusted."""
    return _frame_error(kind, payload, f"{{invalid_frame_end_marker,{end}}}")


def unexpected_frame(kind: int, payload: bytes) -> UnexpectedFrame:
    """A frame that has no place on its channel."""
    return UnexpectedFrame(f"type {kind}, {_snippet(payload)}")


def method_expected() -> UnexpectedFrame:
    """A content header or body that no method announced."""
    return UnexpectedFrame("expected method frame, got non method frame instead")


def header_expected() -> UnexpectedFrame:
    """Another frame where the content header should be."""
    return UnexpectedFrame(
        f"expected content header for class {BASIC_CLASS},"
        " got non content header frame instead"
    )


def header_of_other_class(class_id: int) -> UnexpectedFrame:
    """A content header of another class than that of the method before it."""
    return UnexpectedFrame(
        f"expected content header for class {BASIC_CLASS},"
        f" got one for class {class_id} instead"
    )


def body_expected() -> UnexpectedFrame:
    """Another frame where the content body should go on."""
    return UnexpectedFrame("expected content body, got non content body frame instead")


def body_too_long() -> FrameError:
    """A body frame that holds more than the content header left to come."""
    return FrameError("content body frame exceeds remaining content size")


def unknown_method(class_id: int, method_id: int) -> NotImplemented_:
    """No such method, by its two numbers."""
    return NotImplemented_(f"unknown method id {{{class_id},{method_id}}}")


def malformed_method(payload: bytes) -> FrameError:
    """Arguments that are too short or too long for their method."""
    return FrameError(f"cannot decode {_octets(payload[4 : 4 + _SHOWN_SIZE])}")


def malformed_string() -> FrameError:
    """A short string that is not UTF-8."""
    return FrameError("Malformed UTF-8 in shortstr")


def malformed_header(payload: bytes) -> FrameError:
    """A content header whose properties do not fit it."""
    return FrameError(f"cannot decode properties {_octets(payload[:_SHOWN_SIZE])}")


def _frame_error(kind: int, payload: bytes, reason: str) -> FrameError:
    return FrameError(f"type {kind}, {_snippet(payload)}: {reason}")


def _snippet(payload: bytes) -> str:
    """Say how a payload begins."""
    amount = "all" if len(payload) <= _SNIPPET_SIZE else f"first {_SNIPPET_SIZE}"
    return f"{amount} octets = {_octets(payload[:_SNIPPET_SIZE])}"


def _octets(raw: bytes) -> str:
    """Write bytes as RabbitMQ's texts do: ``<<"abc">>`` or ``<<1,2,3>>``."""
    if raw and all(byte in _PRINTABLE for byte in raw):
        return f'<<"{raw.decode("ascii")}">>'
    return f"<<{','.join(map(str, raw))}>>"
