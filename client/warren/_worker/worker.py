"""Worker: one handler and what was said of it. Values only; `Pool` runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypedDict

import attrs

from warren._worker.rate import interval_seconds
from warren._worker.retry import Retry, retry_of
from warren._worker.signature import Signature, read_signature

if TYPE_CHECKING:
    from collections.abc import Callable

    from warren.wire.table import Table

CONCURRENCY_DEFAULT: Final = 8
LEASE_SECONDS_DEFAULT: Final = 60.0
PREFETCH_MAX: Final = 65_535

Style: TypeAlias = Literal["worker", "responder", "periodic"]


class WorkerOptions(TypedDict, total=False):
    """How to work. Durations are seconds.

    `concurrency`: how many calls at once in this process. `retry`: a `Retry`, a number
    of attempts, or None for one. `timeout`: how long one call may take. `processes`: a
    plain function runs in processes instead of threads. `to`: results that are not None
    are published to that queue before the message is acknowledged. `dead`: the queue of
    dead letters, ``QUEUE.dead`` if it is not given; False has them rejected, which is
    for the queue's own dead letter exchange. `batch`: the handler gets lists of up to
    so many values, or of what came within `wait`. `rate`: so many messages at most, for
    example ``100/s`` or ``10/5m``, by all calls in this process. `prefetch`: how many
    messages to hold; what the slots hold, if it is not given. `lease`: after how long
    without a word from this process a message of it is given to another; it is asked of
    brokers that can extend leases.
    """

    concurrency: int
    retry: Retry | int | None
    timeout: float | None
    processes: bool
    to: str | None
    dead: str | Literal[False] | None
    batch: int | None
    wait: float
    rate: str | None
    prefetch: int | None
    lease: float


def _validated(_: Worker, attribute: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None and value <= 0:
        raise ValueError(f"{attribute.name} is {value!r}, and must be more than 0")


@attrs.frozen(kw_only=True)
class Worker:
    """A handler of one queue, see `WorkerOptions`."""

    queue: str = attrs.field(validator=attrs.validators.min_len(1))
    function: Callable[..., Any]
    signature: Signature
    style: Style = "worker"
    arguments: Table = attrs.field(factory=dict)
    """Of the queue, if it has to be declared."""
    concurrency: int = attrs.field(default=CONCURRENCY_DEFAULT, validator=_validated)
    retry: Retry = attrs.field(default=Retry(), converter=retry_of)
    timeout: float | None = attrs.field(default=None, validator=_validated)
    processes: bool = False
    to: str | None = None
    dead: str | Literal[False] | None = None
    batch: int | None = attrs.field(default=None, validator=_validated)
    wait: float = attrs.field(default=0.5, validator=attrs.validators.ge(0))
    rate: str | None = None
    prefetch: int | None = attrs.field(default=None, validator=_validated)
    lease: float = attrs.field(default=LEASE_SECONDS_DEFAULT, validator=_validated)

    def __attrs_post_init__(self) -> None:
        if self.rate is not None:
            interval_seconds(self.rate)
        if self.processes and (self.signature.is_async or any(self.signature.wants)):
            raise TypeError(
                f"{self.name}: in a process it must be a plain function of the value"
            )

    @property
    def name(self) -> str:
        """What to call the handler in a log."""
        return getattr(self.function, "__qualname__", repr(self.function))

    @property
    def dead_queue(self) -> str | None:
        """Where dead letters go; None if they are to be rejected."""
        if self.dead is False:
            return None
        return self.dead or f"{self.queue}.dead"

    @property
    def held_max(self) -> int:
        """How many messages to hold at once."""
        wanted = self.prefetch or self.concurrency * (self.batch or 1)
        return min(wanted, PREFETCH_MAX)


def make_worker(
    queue: str,
    function: Callable[..., Any],
    style: Style,
    **options: Any,  # noqa: ANN401
) -> Worker:
    """Return a worker. Raises `TypeError` and `ValueError` for what cannot be."""
    signature = read_signature(
        function,
        is_batch=options.get("batch") is not None,
        has_value=style != "periodic",
    )
    return Worker(
        queue=queue, function=function, signature=signature, style=style, **options
    )
