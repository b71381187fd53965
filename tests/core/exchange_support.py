"""What the tests of exchanges share: ends of bindings, headers, and naive rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from warren_broker.core.destination import Destination
from warren_broker.core.message import Header

if TYPE_CHECKING:
    from collections.abc import Mapping


class Place(Destination):
    """A destination that is only a name."""

    kind: ClassVar[str] = "queue"

    def __repr__(self) -> str:
        return self.name


class PlainHeader(Header):
    """A header that was never encoded."""

    def __init__(
        self,
        headers: Mapping[str, object] | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        self.payload = b""
        self.persistent = False
        self.repeats = True
        self.priority = 0
        self.expiration_ms = None
        self.instruct((), None)
        self._headers = dict(headers or {})
        self._properties = dict(properties or {})

    def headers(self) -> dict[str, object]:
        return self._headers

    @classmethod
    def restored(cls, payload: bytes) -> PlainHeader:
        raise AssertionError("a header that repeats is kept")

    def property_text(self, name: str) -> str | None:
        return self._properties.get(name)

    def rewritten(
        self, headers: Mapping[str, object], *, keep_expiration: bool
    ) -> PlainHeader:
        return PlainHeader(headers)


NO_HEADERS = PlainHeader()


def topic_matches(pattern: str, key: str) -> bool:
    """The rule of topics as one would tell it; exponential, and obviously right."""

    def match(steps: list[str], words: list[str]) -> bool:
        if not steps:
            return not words
        if steps[0] == "#":
            return any(match(steps[1:], words[i:]) for i in range(len(words) + 1))
        if not words or steps[0] not in {"*", words[0]}:
            return False
        return match(steps[1:], words[1:])

    return match(pattern.split(".") if pattern else [], key.split(".") if key else [])


def headers_match(
    arguments: Mapping[str, object], headers: Mapping[str, object]
) -> bool:
    """The rule of the headers exchange, condition by condition."""
    mode = arguments.get("x-match", "all")
    with_x = mode in {"all-with-x", "any-with-x"}
    results = [
        key in headers
        and (
            value is None
            or (type(headers[key]) is type(value) and headers[key] == value)
        )
        for key, value in arguments.items()
        if key != "x-match" and (with_x or not key.startswith("x-"))
    ]
    return all(results) if mode in {"all", "all-with-x"} else any(results)
