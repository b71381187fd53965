"""What all lives of a connection share."""

from __future__ import annotations

import attrs

from warren._client.gate import ReadGate
from warren._client.topology import Topology
from warren.bodies.codecs import Codecs


@attrs.define
class Common:
    """The codecs of bodies, what was declared, and how much waits to be taken."""

    codecs: Codecs = attrs.field(factory=Codecs)
    topology: Topology = attrs.field(factory=Topology)
    gate: ReadGate = attrs.field(factory=ReadGate)
