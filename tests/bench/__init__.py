"""How fast Warren is beside RabbitMQ: `python -m tests.bench`.

A report and not a test: it asserts no time and ends with status 0 when it ran.
Both brokers run on this machine, in memory, and are driven in turn by the same load
generator (`amqpload.c`), which costs so little that the broker is the limit.

`rows` says what is measured and what is wanted, `scenario` how, `contest` in which
order, `report` prints it. Linux only: what a broker costs is read from /proc.
"""
