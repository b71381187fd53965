"""Numbers of AMQP 0-9-1, section 4.2 of the specification."""

from __future__ import annotations

from typing import Final

PROTOCOL_HEADER: Final = b"AMQP\0\0\x09\x01"
"""What a client sends first."""

PROTOCOL_HEADER_ALTERNATE: Final = b"AMQP\x01\x01\0\x09"
"""What some clients of 0-9-1 send first; RabbitMQ accepts it too."""

FRAME_METHOD: Final = 1
FRAME_HEADER: Final = 2
FRAME_BODY: Final = 3
FRAME_HEARTBEAT: Final = 8
FRAME_END: Final = 0xCE

FRAME_HEADER_SIZE: Final = 7
"""Bytes before a payload: kind u8, channel u16, payload size u32."""

FRAME_OVERHEAD: Final = 8
"""Bytes of a frame that are not payload: its header and its end."""

FRAME_SIZE_MIN: Final = 4096
"""Bytes: the smallest `frame_size_max` a peer may ask for."""

HEARTBEAT: Final = b"\x08\0\0\0\0\0\0\xce"
"""A whole heartbeat frame: it has no payload and belongs to channel 0."""

BASIC_CLASS: Final = 60
"""The one class whose methods carry content."""
