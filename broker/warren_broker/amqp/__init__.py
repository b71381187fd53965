"""The AMQP 0-9-1 front end: bytes in, bytes out, and the core in between. Sans-IO."""
