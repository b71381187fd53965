"""Stories with streams: whoever appends, reads, feeds a queue, or is tapped."""
