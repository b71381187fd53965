"""Worker pools: handlers of queues, on top of the client.

::

    app            what a user decorates: workers, responders, periodic jobs, middleware
    worker         one handler and its options      signature  what its parameters mean
    crew           all that runs, and how it drains  pool      one queue, its slots
    handling       one message, or a batch: decode, call, and what follows
    endings        what follows: forward, retry, dead letter, reply
    retry          how often and when (decides)      delays    how it waits (broker)
    tester         the same handling without a broker

Not public: users import `App` and the rest from `warren`.
"""
