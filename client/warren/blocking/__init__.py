"""The client for scripts: the same names as `warren.connect` gives, without `await`.

::

    from warren import blocking

    with blocking.connect("amqp://guest:guest@localhost/") as connection:
        connection.declare_queue("hello")
        connection.publish("hello, world", routing_key="hello")
        with connection.consume("hello") as consumer:
            for delivery in consumer:
                with delivery:
                    print(delivery.value)

A thread of the connection's own runs trio, so that heartbeats go on whatever the script
is doing, and for how long. Calls may come from any thread. Errors are those of the
client; every call raises them in the thread that made it.
"""

from warren.blocking.connection import Channel, Connection, connect
from warren.blocking.messages import Batch, Consumer, Delivery

__all__ = ["Batch", "Channel", "Connection", "Consumer", "Delivery", "connect"]
