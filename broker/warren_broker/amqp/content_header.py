"""ContentHeader: the content header of a message, as the bytes that arrived.

Only what the broker's rules need is read, by skipping over the rest; the bytes go out
as they came in. Five things rewrite a header and nothing else does: dead-lettering, the
removal of BCC, direct reply-to, the delivery count of what is redelivered, and the end
of a delay.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, Self, final

from warren.errors import PreconditionFailed
from warren.wire.faults import malformed_header
from warren.wire.properties import (
    FLAG_CONTENT_TYPE,
    FLAG_CORRELATION_ID,
    FLAG_DELIVERY_MODE,
    FLAG_EXPIRATION,
    FLAG_HEADERS,
    FLAG_MESSAGE_ID,
    FLAG_PRIORITY,
    FLAG_REPLY_TO,
    FLAG_TIMESTAMP,
    FLAG_USER_ID,
    PROPERTIES_OFFSET,
    scan_header,
)
from warren.wire.table import LongInt, decode_table, encode_table
from warren_broker.core.arguments.fields import type_name
from warren_broker.core.directives import read_directives
from warren_broker.core.message import Header
from warren_broker.core.reply_to import REPLY_TO

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warren_broker.core.message import Directives

_EXPIRATION_MAX_MS: Final = 2**32 - 1
_PERSISTENT: Final = 2
_EXTRA_KEYS_MAX: Final = 64
_FLAGS_OFFSET: Final = PROPERTIES_OFFSET - 2
_ALL_FLAGS: Final = tuple(FLAG_CONTENT_TYPE >> position for position in range(14))
_FIXED_SIZES: Final = {FLAG_DELIVERY_MODE: 1, FLAG_PRIORITY: 1, FLAG_TIMESTAMP: 8}
"""Bytes of the properties that are no strings; and the table tells its own size."""
_TEXTS: Final = {
    "message_id": FLAG_MESSAGE_ID,
    "correlation_id": FLAG_CORRELATION_ID,
    "timestamp": FLAG_TIMESTAMP,
}
"""The properties that routing may ask for."""
_SELDOM_REPEATED: Final = (
    FLAG_MESSAGE_ID | FLAG_CORRELATION_ID | FLAG_TIMESTAMP | FLAG_HEADERS
)


@final
class ContentHeader(Header):
    """A content header whose lengths have been checked.

    Attributes:
        body_size: bytes of body that follow.
        is_special: publishing it takes more than passing it on: `prepared`.
        repeats: publishers may well send these very bytes again, so the header is
            worth keeping in a cache; ids and times make it unique.
    """

    __slots__ = (
        "_headers_at",
        "body_size",
        "is_special",
    )

    def __init__(self, payload: bytes) -> None:
        """Read the payload of a content header frame.

        Raises:
            UnexpectedFrame: it is of another class, or its weight is not 0.
            FrameError, SyntaxError_: its properties, or the headers table, are not
                what they say; receivers need not fear them.
            PreconditionFailed: `expiration`, CC, BCC, or a header that asks something
                of the broker (`read_directives`), is not what it must be.
        """
        scan = scan_header(payload)
        self.payload = payload
        self.body_size = scan.body_size
        self.repeats = not scan.flags & _SELDOM_REPEATED
        self.persistent = scan.delivery_mode == _PERSISTENT
        self.priority = scan.priority
        self.expiration_ms = (
            None if scan.expiration is None else _milliseconds(scan.expiration)
        )
        self.extra_keys: tuple[str, ...] = ()
        self.directives: Directives | None = None
        self.is_plain = True
        self.is_special = scan.reply_to == REPLY_TO or scan.user_id is not None
        self._headers_at: int | None = None
        if scan.headers is not None:
            self._headers_at, stop = scan.headers
            table, end = decode_table(payload, self._headers_at)
            if end != stop:
                raise malformed_header(payload)
            keys, directives = _extra_keys(table), read_directives(table)
            if keys or directives is not None:
                self.instruct(keys, directives)
                self.is_special |= bool(keys)

    @classmethod
    def restored(cls, payload: bytes) -> Self:
        """Return the header with `payload`; what it asked at publishing is done."""
        header = cls(payload)
        if header.directives is not None:
            lasting = header.directives.after_publishing()
            header.instruct(header.extra_keys, lasting)
        return header

    @property
    def user_id(self) -> str | None:
        """The property of that name; only few look at it."""
        return self._short_text(FLAG_USER_ID)

    @property
    def reply_to(self) -> str | None:
        """The property of that name; only few look at it."""
        return self._short_text(FLAG_REPLY_TO)

    def headers(self) -> dict[str, object]:
        """Return the decoded headers table; a new one each time.

        What the broker has added to it has no limit.
        """
        if self._headers_at is None:
            return {}
        table, _ = decode_table(self.payload, self._headers_at, fields_max=sys.maxsize)
        return dict(table)

    def property_text(self, name: str) -> str | None:
        """Return a property, see `Header.property_text`; KeyError for another name.

        What is no UTF-8 is escaped: nobody has looked into it yet.
        """
        flag = _TEXTS[name]
        if flag != FLAG_TIMESTAMP:
            return self._short_text(flag)
        raw = _parts(self.payload).get(flag)
        return None if raw is None else str(int.from_bytes(raw, "big"))

    def _short_text(self, flag: int) -> str | None:
        raw = _parts(self.payload).get(flag)
        return None if raw is None else raw[1:].decode("utf-8", "backslashreplace")

    def rewritten(
        self, headers: Mapping[str, object], *, keep_expiration: bool
    ) -> ContentHeader:
        """Return the header with another headers table, see `Header.rewritten`."""
        directives = self.directives
        header = self._with_headers(headers, keep_expiration=keep_expiration)
        if directives is not None:
            directives = directives.after_publishing()
        header.instruct(_extra_keys(headers), directives)
        return header

    def with_reply_to(self, name: str) -> ContentHeader:
        """Return the header with another `reply_to`."""
        raw = name.encode()
        parts = _parts(self.payload)
        parts[FLAG_REPLY_TO] = bytes((len(raw),)) + raw
        return self._with(parts)

    def without_bcc(self) -> ContentHeader:
        """Return the header as receivers may see it: BCC is blind."""
        headers = self.headers()
        if headers.pop("BCC", None) is None:
            return self
        return self._with_headers(headers, keep_expiration=True)

    def _with_headers(
        self, headers: Mapping[str, object], *, keep_expiration: bool
    ) -> ContentHeader:
        parts = _parts(self.payload)
        parts[FLAG_HEADERS] = encode_table(_with_wide_counts(headers))  # type: ignore[arg-type]
        if not keep_expiration:
            parts.pop(FLAG_EXPIRATION, None)
        return self._with(parts)

    def _with(self, parts: dict[int, bytes]) -> ContentHeader:
        """Return the header with other properties; nobody has to check it again."""
        prefix = self.payload[:_FLAGS_OFFSET]
        flags = sum(parts).to_bytes(2, "big")
        raw = [parts[flag] for flag in sorted(parts, reverse=True)]
        header = ContentHeader.__new__(ContentHeader)
        header.payload = b"".join((prefix, flags, *raw))
        header.body_size = self.body_size
        header.repeats = False
        header.persistent = self.persistent
        header.priority = self.priority
        header.expiration_ms = self.expiration_ms if FLAG_EXPIRATION in parts else None
        header.extra_keys = self.extra_keys
        header.directives = self.directives
        header.is_plain = self.is_plain
        header.is_special = self.is_special
        header._headers_at = None
        if FLAG_HEADERS in parts:
            before = [len(parts[flag]) for flag in parts if flag > FLAG_HEADERS]
            header._headers_at = PROPERTIES_OFFSET + sum(before)
        return header


def _with_wide_counts(headers: Mapping[str, object]) -> dict[str, object]:
    """Return `headers` with the broker's own counts as RabbitMQ sends them: 64 bits.

    Clients of typed languages take them for nothing else.
    """
    widened = dict(headers)
    attempts, deaths = widened.get("x-delivery-count"), widened.get("x-death")
    if isinstance(attempts, int):
        widened["x-delivery-count"] = LongInt(attempts)
    if isinstance(deaths, list):
        widened["x-death"] = [_with_wide_count(death) for death in deaths]
    return widened


def _with_wide_count(death: object) -> object:
    if isinstance(death, dict) and isinstance(death.get("count"), int):
        return {**death, "count": LongInt(death["count"])}
    return death


def _parts(payload: bytes) -> dict[int, bytes]:
    """Return the properties of a header that was read before, by flag, undecoded.

    Nobody has looked into them: rewriting must not find fault with what publishing
    let pass.
    """
    flags = int.from_bytes(payload[_FLAGS_OFFSET:PROPERTIES_OFFSET], "big")
    parts = {}
    offset = PROPERTIES_OFFSET
    for flag in _ALL_FLAGS:
        if not flags & flag:
            continue
        if flag == FLAG_HEADERS:
            size = 4 + int.from_bytes(payload[offset : offset + 4], "big")
        else:
            size = _FIXED_SIZES.get(flag) or 1 + payload[offset]
        parts[flag] = payload[offset : offset + size]
        offset += size
    return parts


def _milliseconds(text: str) -> int:
    """Return `expiration` as a number; texts of errors as RabbitMQ's."""
    digits = len(text) - len(text.lstrip("0123456789"))
    if text.startswith("-") and text[1:].isdecimal() and text.isascii():
        raise PreconditionFailed(
            f"invalid expiration '{text}': {{value_negative,{text}}}"
        )
    if not digits or not text.isascii():
        raise PreconditionFailed(f"invalid expiration '{text}': no_integer")
    if digits < len(text):
        leftover = text[digits:]
        raise PreconditionFailed(
            f"invalid expiration '{text}': {{leftover_string,\"{leftover}\"}}"
        )
    milliseconds = int(text)
    if milliseconds > _EXPIRATION_MAX_MS:
        raise PreconditionFailed(
            f"invalid expiration '{text}': {{value_too_large,{milliseconds}}}"
        )
    return milliseconds


def _extra_keys(headers: Mapping[str, object]) -> tuple[str, ...]:
    keys: list[str] = []
    for name in ("CC", "BCC"):
        value = headers.get(name)
        if value is None:
            continue
        if not isinstance(value, list):
            raise _wrong_extra_keys(name, value)
        for key in value:
            if not isinstance(key, str):
                raise _wrong_extra_keys(name, key)
            keys.append(key)
    if len(keys) > _EXTRA_KEYS_MAX or any(len(key.encode()) > 255 for key in keys):
        raise PreconditionFailed(
            f"invalid message: more than {_EXTRA_KEYS_MAX} keys in CC and BCC,"
            " or one of more than 255 bytes"
        )
    return tuple(keys)


def _wrong_extra_keys(name: str, value: object) -> PreconditionFailed:
    reason = f'{{unacceptable_type_in_header,"{name}",{type_name(value)}}}'
    return PreconditionFailed(f"invalid message: {reason}")
