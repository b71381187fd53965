"""Queues: entries that wait, consumers that take them, and the rules between."""

from warren_broker.core.queue.consumer import Consumer, Window, resume_all
from warren_broker.core.queue.entry import Entry
from warren_broker.core.queue.grouped import GroupedQueue
from warren_broker.core.queue.queue import Queue

__all__ = ["Consumer", "Entry", "GroupedQueue", "Queue", "Window", "resume_all"]
