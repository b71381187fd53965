"""NamedQueue: what clients declare, bind, consume and delete as a queue."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from warren_broker.core.destination import Destination

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warren_broker.core.arguments import QueueArguments
    from warren_broker.core.message import Message
    from warren_broker.core.queue.entry import Entry
    from warren_broker.core.session import Session
    from warren_broker.core.vhost import VHost


class Declaration(NamedTuple):
    """What a queue is to be. Attributes: see `NamedQueue`."""

    name: str
    durable: bool
    auto_delete: bool
    owner: Session | None
    arguments: Mapping[str, object]
    rules: QueueArguments


class NamedQueue(Destination):
    """A queue of any type, or a stream, of one virtual host.

    Attributes:
        owner: the session that declared it exclusive; None when it is not.
        arguments: as declared.  declared: the same, parsed.
        rules: what holds at present, policies included.
        number: the store knows it by that; 0: the store does not.
    """

    kind: ClassVar[str] = "queue"
    __slots__ = (
        "arguments",
        "auto_delete",
        "declared",
        "is_deleted",
        "number",
        "owner",
        "rules",
        "vhost",
    )

    def __init__(self, vhost: VHost, declaration: Declaration) -> None:
        super().__init__(declaration.name, durable=declaration.durable)
        self.vhost = vhost
        self.auto_delete = declaration.auto_delete
        self.owner = declaration.owner
        self.arguments = declaration.arguments
        self.declared = self.rules = declaration.rules
        self.is_deleted = False
        self.number = 0

    def __str__(self) -> str:
        """Return the name as reply texts have it."""
        return f"queue '{self.name}' in vhost '{self.vhost.name}'"

    @property
    @abstractmethod
    def ready_count(self) -> int:
        """What queue.declare-ok tells: messages that wait, or that a stream keeps."""

    @property
    @abstractmethod
    def content_count(self) -> int:
        """Messages that would be gone with it."""

    @property
    @abstractmethod
    def consumer_count(self) -> int:
        """How many consumers it has."""

    @abstractmethod
    def accept(self, message: Message) -> bool:
        """Take `message`; False when a rule refuses it, or lets it wait."""

    def accept_answered(self, message: Message) -> bool:
        """The same for one whose publisher has its answer, or never gets any.

        Such are dead letters, what was delayed, and copies.
        """
        return self.accept(message)

    @abstractmethod
    def take_one(self) -> Entry | None:
        """Take the next entry for basic.get; None when nothing is ready."""

    @abstractmethod
    def purge(self) -> int:
        """Drop all that waits, and return how many there were."""

    @abstractmethod
    def touch(self) -> None:
        """Somebody uses it."""

    @abstractmethod
    def apply_rules(self, rules: QueueArguments) -> None:
        """Keep to `rules` from now on."""

    @abstractmethod
    def adopt(self, number: int) -> None:
        """The store knows it by `number`, from before a restart."""

    def begin(self) -> None:
        """What it works with is there; only a bridge needs to know.

        Raises AccessRefused if somebody has that for itself.
        """

    @abstractmethod
    def close(self) -> None:
        """It is deleted: let go of everything, tell the consumers."""
