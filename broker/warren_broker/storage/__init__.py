"""Storage: the journal that lets a broker remember.

Everything here is synchronous and knows neither sockets nor clocks nor AMQP: it turns
what happened into bytes, and bytes back into what lives. `disk` is the only door to
the file system. The format of every file is in docs/FORMAT.md.

    recovery.recover(disk)  ->  Recovered: what lives, and where the journal goes on
    journal.Journal         ->  collects what happens, gives it out in batches
    batch.Batch.run(disk)   ->  in another thread: written, synced, tidied up
    repair.repair(disk)     ->  what is damaged is set aside, what is whole is kept
"""
