"""What all lives of a connection share."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING
from uuid import uuid4

import attrs

from warren._client.gate import ReadGate
from warren._client.topology import Topology
from warren.bodies.codecs import Codecs

if TYPE_CHECKING:
    from collections.abc import Iterator


def _message_ids() -> Iterator[str]:
    """Ids that no other message has: a publish that is sent again keeps its own."""
    nonce = uuid4().hex
    return (f"{nonce}-{number}" for number in count(1))


@attrs.define
class Common:
    """The codecs of bodies, what was declared, and how much waits to be taken."""

    codecs: Codecs = attrs.field(factory=Codecs)
    topology: Topology = attrs.field(factory=Topology)
    gate: ReadGate = attrs.field(factory=ReadGate)
    message_ids: Iterator[str] = attrs.field(factory=_message_ids)
