"""Streams: append-only logs that any number of readers replay."""
