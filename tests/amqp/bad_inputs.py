"""All that a peer may do wrong, as one table: 134 rows, some in several variants."""

from __future__ import annotations

from typing import Final

from tests.amqp import (
    bad_arguments,
    bad_bridges,
    bad_channels,
    bad_contents,
    bad_frames,
    bad_handshakes,
    bad_messages,
    bad_streams,
    bad_topology,
)

ROWS: Final = range(1, 135)

CASES: Final = (
    *bad_handshakes.CASES,
    *bad_frames.CASES,
    *bad_contents.CASES,
    *bad_channels.CASES,
    *bad_arguments.CASES,
    *bad_topology.CASES,
    *bad_messages.CASES,
    *bad_streams.CASES,
    *bad_bridges.CASES,
)
