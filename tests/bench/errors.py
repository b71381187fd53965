"""The one error of a measurement."""

from __future__ import annotations


class BenchError(Exception):
    """A broker did not start, or a run of the generator failed; the text says why."""
