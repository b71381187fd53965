"""The client side of AMQP 0-9-1 without input or output.

`connection.ClientConnection` takes the bytes that were received and the present time,
and leaves behind events, bytes to send and a next deadline. It waits for nothing and
reads no clock, so a test owns both of its ends and any framework can carry it.
"""
