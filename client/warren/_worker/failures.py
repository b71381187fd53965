"""What handlers raise on purpose, and what a worker says of a handler."""

from __future__ import annotations

from warren.errors import WarrenError


class GiveUp(WarrenError):
    """Raise it in a handler: this message is not to be tried again."""


class TryAgain(WarrenError):
    """Raise it in a handler: not now. `seconds` is when, None as `Retry` has it.

    It counts as an attempt.
    """

    def __init__(self, text: str = "", *, seconds: float | None = None) -> None:
        super().__init__(text)
        self.seconds = seconds


class HandlerTimeout(WarrenError):
    """A handler took longer than its timeout, and was cancelled or given up."""


class HandlerDied(WarrenError):
    """The process of a handler ended without an answer."""


class ReturnedTooOften(WarrenError):
    """A message came back again and again, and no handler has said why."""


class RemoteError(WarrenError):
    """An error that was raised elsewhere; `kind` is its type's name.

    A responder has answered with it, see `ask`; or it came from the process of a
    handler, and is of a type that does not get through the pipe.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(kind, text)
        self.kind = kind
        self.text = text

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"
