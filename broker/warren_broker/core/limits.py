"""Every limit of the broker, in one value."""

from __future__ import annotations

from typing import Final

import attrs
from attrs import field
from attrs.validators import ge, in_, instance_of

from warren_broker.core.meaning import meaning

FRAME_SIZE_MIN: Final = 4096
"""AMQP 0-9-1 section 4.2.3: what every peer must accept before tuning."""

MESSAGE_SIZE_CEILING_BYTES: Final = 512 * 1024 * 1024
"""RabbitMQ's hard cap: no configuration goes above it."""

MIB: Final = 1024 * 1024


LARGEST: Final = 2**63 - 1


def _number(
    default: int, text: str, *, low: int = 1, high: int = LARGEST, unit: str = ""
) -> int:
    """Return an attrs field for an integer within ``low`` to ``high``."""
    validators = [instance_of(int), in_(range(low, high + 1))]
    number: int = field(
        default=default, validator=validators, metadata=meaning(text, unit=unit)
    )
    return number


def _seconds(default: float, text: str) -> float:
    """Return an attrs field for a duration, or a share, of zero or more."""
    seconds: float = field(default=default, validator=[ge(0)], metadata=meaning(text))
    return seconds


@attrs.frozen(kw_only=True)
class Limits:
    """What a peer may use.

    Raises ValueError or TypeError for what cannot be. The defaults are RabbitMQ's where
    it has one; where RabbitMQ is unlimited they are far above honest use and far below
    what would exhaust the process.
    """

    frame_size_max: int = _number(
        131_072,
        "The largest frame, as offered to clients; they may ask for less.",
        low=FRAME_SIZE_MIN,
        high=2**32 - 1,
        unit="bytes",
    )
    frame_size_unauthenticated_max: int = _number(
        8192,
        "The same for clients that have not logged in.",
        low=FRAME_SIZE_MIN,
        unit="bytes",
    )
    channel_max: int = _number(2047, "Channels of one connection.", high=65_535)
    heartbeat_seconds: int = _number(
        60,
        "The interval that is offered to clients, who choose; 0: none.",
        low=0,
        high=65_535,
    )
    message_size_max_bytes: int = _number(
        128 * MIB, "The largest body of a message.", high=MESSAGE_SIZE_CEILING_BYTES
    )
    inflight_max_bytes: int = _number(
        256 * MIB,
        "Bodies half received and transactions under way, one connection over.",
        high=1024 * MIB,
    )

    connections_max: int = _number(
        10_000, "Clients at once; 80 % of the file descriptors are a limit as well."
    )
    unauthenticated_max: int = _number(
        500, "Clients that have not logged in yet; others wait."
    )
    unauthenticated_per_address_max: int = _number(50, "The same, from one address.")
    handshake_seconds: float = _seconds(10.0, "For a client to log in.")
    tls_handshake_seconds: float = _seconds(5.0, "For the part of it that is TLS.")
    login_failure_delay_seconds: float = _seconds(
        3.0, "How long a client whose login was refused waits to be told."
    )

    consumers_per_channel_max: int = _number(1000, "Consumers of one channel.")
    consumers_per_connection_max: int = _number(10_000, "Consumers of one connection.")
    unacked_per_channel_max: int = _number(
        100_000,
        "Messages that a channel may hold; then deliveries pause, and `basic.get` is"
        " refused.",
    )
    ack_timeout_ms: int = _number(
        1_800_000,
        "The lease: how long a message may be held, where neither queue nor consumer"
        " says it (`x-consumer-timeout`).",
    )
    lease_max_ms: int = _number(
        86_400_000,
        "How long extension and renewal hold a delivery, from when it was made.",
    )
    publish_deadline_ms: int = _number(
        30_000,
        "How long a message and its confirm wait for room in a full queue that blocks.",
    )
    publish_block_deadline_ms: int = _number(
        30_000,
        "How long an alarm holds a publisher up before its publishes are nacked; 0: as"
        " long as it lasts. Those that ask for no confirms wait for its end in any"
        " case.",
        low=0,
    )
    waiting_per_queue_max: int = _number(
        10_000,
        "Messages that wait for room in one queue; independent of the queue's length,"
        " for short ones.",
    )
    waiting_per_queue_max_bytes: int = _number(
        16 * MIB, "The same in bytes; one message may always wait."
    )
    retry_jitter: float = _seconds(
        0.1, "Delayed retries wait up to this part longer, at random."
    )

    queues_max: int = _number(100_000, "Queues and streams of one virtual host.")
    exchanges_max: int = _number(20_000, "Exchanges of one virtual host.")
    bindings_max: int = _number(500_000, "Bindings of one virtual host.")
    policies_max: int = _number(
        1000, "Policies of one virtual host; and as many operator policies."
    )
    history_max_bytes: int = _number(
        64 * MIB, "What recent-history exchanges keep, one virtual host over."
    )
    unique_ids_max: int = _number(
        1_000_000,
        "Ids of messages seen that a virtual host remembers, some 200 bytes each.",
    )
    exchanges_per_route_max: int = _number(
        1000, "Exchanges that one message may come through."
    )
    scheduled_max: int = _number(
        10_000_000, "Messages that wait to be published, in one virtual host."
    )
    schedule_horizon_ms: int = _number(
        315_360_000_000,
        "How late they may be published; ten years, like a time to live.",
    )
    stream_producers_max: int = _number(
        10_000, "Producers whose sequence numbers one stream remembers."
    )
    stream_offsets_max: int = _number(
        10_000, "Names under which one stream stores how far its readers have come."
    )
    stream_tail_max_bytes: int = _number(
        4 * MIB,
        "What was appended last to a stream, in memory for those who read along; and as"
        " much for those who are behind.",
    )
    source_window_max: int = _number(
        1000, "Records that a queue holds of the stream that feeds it."
    )
    source_window_max_bytes: int = _number(
        16 * MIB, "The same in bytes; one record may always be there."
    )
    snapshot_keys_max: int = _number(
        100_000, "Keys of a snapshot of a stream, for one reader."
    )
    snapshot_max_bytes: int = _number(64 * MIB, "The same in bytes.")
    snapshots_max_bytes: int = _number(
        512 * MIB, "The snapshots of all readers together, until they are delivered."
    )
    partitions_max: int = _number(1000, "Partitions of one super stream.")
    handover_ms: int = _number(
        30_000,
        "How long a member of a group may hold what it was given of a partition that"
        " another is to have.",
    )
    binding_arguments_max: int = _number(64, "Arguments of one binding.")
    death_records_max: int = _number(64, "Entries in the `x-death` of one message.")
