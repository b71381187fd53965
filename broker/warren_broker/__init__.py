"""Warren's broker: AMQP 0-9-1 served by one process."""
