"""Bridges: queues that a stream feeds, and queues that feed a stream."""

from warren_broker.core.bridge.checking import check_bridge
from warren_broker.core.bridge.sourced_queue import SourcedQueue
from warren_broker.core.bridge.tapped_queue import TappedGroupedQueue, TappedQueue

__all__ = ["SourcedQueue", "TappedGroupedQueue", "TappedQueue", "check_bridge"]
