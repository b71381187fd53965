"""Every limit of the broker, in one value."""

from __future__ import annotations

from typing import Final

import attrs
from attrs import field
from attrs.validators import ge, in_, instance_of

FRAME_SIZE_MIN: Final = 4096
"""AMQP 0-9-1 section 4.2.3: what every peer must accept before tuning."""

MESSAGE_SIZE_CEILING_BYTES: Final = 512 * 1024 * 1024
"""RabbitMQ's hard cap: no configuration goes above it."""

MIB: Final = 1024 * 1024


def _number(default: int, *, low: int = 1, high: int = 2**63 - 1) -> int:
    """Return an attrs field for an integer within ``low`` to ``high``."""
    validators = [instance_of(int), in_(range(low, high + 1))]
    number: int = field(default=default, validator=validators)
    return number


def _seconds(default: float) -> float:
    """Return an attrs field for a duration of zero seconds or more."""
    seconds: float = field(default=default, validator=[ge(0)])
    return seconds


@attrs.frozen(kw_only=True)
class Limits:
    """What a peer may use. Raises ValueError or TypeError for what cannot be.

    The defaults are RabbitMQ's where it has one; where RabbitMQ is unlimited
    they are far above honest use and far below what would exhaust the process.
    """

    frame_size_max: int = _number(131_072, low=FRAME_SIZE_MIN, high=2**32 - 1)
    frame_size_unauthenticated_max: int = _number(8192, low=FRAME_SIZE_MIN)
    channel_max: int = _number(2047, high=65_535)
    heartbeat_seconds: int = _number(60, low=0, high=65_535)
    message_size_max_bytes: int = _number(128 * MIB, high=MESSAGE_SIZE_CEILING_BYTES)
    inflight_max_bytes: int = _number(256 * MIB, high=1024 * MIB)
    """Bodies half received and transactions, one connection over."""

    connections_max: int = _number(10_000)
    unauthenticated_max: int = _number(500)
    unauthenticated_per_address_max: int = _number(50)
    handshake_seconds: float = _seconds(10.0)
    tls_handshake_seconds: float = _seconds(5.0)
    login_failure_delay_seconds: float = _seconds(3.0)

    consumers_per_channel_max: int = _number(1000)
    consumers_per_connection_max: int = _number(10_000)
    unacked_per_channel_max: int = _number(100_000)
    ack_timeout_ms: int = _number(1_800_000)
    lease_max_ms: int = _number(86_400_000)
    """How long extension and renewal hold a delivery, from when it was made."""
    publish_deadline_ms: int = _number(30_000)
    """How long a message and its confirm wait for room in a full queue that blocks."""
    publish_block_deadline_ms: int = _number(30_000, low=0)
    """How long an alarm holds a publisher up before its publishes are nacked; 0: as
    long as it lasts. Those that ask for no confirms wait for its end in any case."""
    waiting_per_queue_max: int = _number(10_000)
    """Messages that wait so; independent of the queue's length, for short ones."""
    waiting_per_queue_max_bytes: int = _number(16 * MIB)
    """The same in bytes; one message may always wait."""
    retry_jitter: float = _seconds(0.1)
    """Delayed retries wait up to this part longer, at random."""

    queues_max: int = _number(100_000)
    """Per vhost, as the next two."""
    exchanges_max: int = _number(20_000)
    bindings_max: int = _number(500_000)
    policies_max: int = _number(1000)
    """Per vhost; and as many operator policies."""
    history_max_bytes: int = _number(64 * MIB)
    """What recent-history exchanges keep, one vhost over."""
    unique_ids_max: int = _number(1_000_000)
    """Ids of messages seen that a vhost remembers, some 200 bytes each."""
    exchanges_per_route_max: int = _number(1000)
    scheduled_max: int = _number(10_000_000)
    """Messages that wait to be published, per vhost."""
    schedule_horizon_ms: int = _number(315_360_000_000)
    """How late they may be published; ten years, like a time to live."""
    stream_producers_max: int = _number(10_000)
    """Producers whose sequence numbers one stream remembers."""
    stream_offsets_max: int = _number(10_000)
    """Names under which one stream stores how far its readers have come."""
    stream_tail_max_bytes: int = _number(4 * MIB)
    """What was appended last, in memory for those who read along; and as much for
    those who are behind."""
    source_window_max: int = _number(1000)
    """Records that a queue holds of the stream that feeds it."""
    source_window_max_bytes: int = _number(16 * MIB)
    """The same in bytes; one record may always be there."""
    snapshot_keys_max: int = _number(100_000)
    snapshot_max_bytes: int = _number(64 * MIB)
    """The same in bytes; both are for one reader."""
    partitions_max: int = _number(1000)
    """Of one super stream."""
    handover_ms: int = _number(30_000)
    """How long a member of a group may hold what it was given of a partition that
    another is to have."""
    binding_arguments_max: int = _number(64)
    death_records_max: int = _number(64)
