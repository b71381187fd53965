"""A hash of text that is the same in every process, and everywhere on a ring."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

HASH_BITS: Final = 64


def stable_hash(text: str) -> int:
    """Return ``text`` as an evenly spread number of ``HASH_BITS`` bits."""
    raw = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(raw, digest_size=HASH_BITS // 8).digest(), "big")
