"""Streams on the disk: logs of records that stay where they are.

A stream is a row of segment files, each named after the first offset in it. A segment
is a row of chunks: records that became safe together. Beside each segment there is an
index, which saves reading and is never needed. docs/FORMAT.md has the bytes.

    opening.open_streams(disk)  ->  OpenedStream: the files of one stream, made fit
    log.StreamLog               ->  collects records, gives them out in batches
    batch.StreamBatch.run(disk) ->  in another thread: written and synced
    reading.SegmentReader       ->  in one more thread: records by offset or time
    compaction.Compaction       ->  the newest record of each key, step by step
"""
