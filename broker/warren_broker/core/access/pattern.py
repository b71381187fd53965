"""Permission patterns: regular expressions that cannot be made to run for long.

An administrator writes the pattern and a peer chooses the name it is matched with,
up to 255 bytes. Python's matcher tries every way to divide a name among the
quantifiers of a pattern, so the ways are bounded when the pattern is set: each
choice counts its binary logarithm, and a pattern may have `CHOICES_MAX_BITS`.

* An unbounded quantifier divides a name in up to 256 ways: 8 bits.
* ``?`` has two ways, ``{2,5}`` four, a group as many as it has alternatives.
* A repeated group repeats the choices within. Repeated without bound it may
  contain none, which refuses ``(a+)+`` and ``(a|a)*``.
* A pattern that does not begin with ``^`` is tried at each place of the name.
* What ends the pattern, ``foo.*`` or ``foo.*$``, takes all there is at once.
"""

from __future__ import annotations

import math
import re
import warnings
from typing import Final, final

PATTERN_SIZE_MAX: Final = 256
CHOICES_MAX_BITS: Final = 26
"""Less than a second of matching at the very worst, and room for every honest one."""

_UNBOUNDED_BITS: Final = 8.0
_NOTHING: Final = "^$"
"""RabbitMQ: the empty pattern permits nothing (but the empty name)."""

_TOKEN: Final = re.compile(
    r"""
    (?P<backreference> \\[1-9] | \(\?P= )
  | (?P<open>          \( (?: \?: | \?= | \?! | \?<= | \?<! )? (?!\?) )
  | (?P<extension>     \(\? )
  | (?P<close>         \) )
  | (?P<or>            \| )
  | (?P<quantifier>    (?: [*+?] | \{\d+(?:,\d*)?\} | \{,\d*\} ) [?+]? )
  | (?P<end>           \$ )
  | (?P<atom>          \\. | \[\^?\]?(?:\\.|[^\]\\])*\] | . )
    """,
    re.VERBOSE | re.DOTALL,
)


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a permission pattern, to be used with ``search``.

    Raises ValueError if it is too long, no regular expression, or one that a
    chosen name could keep busy.
    """
    if len(pattern) > PATTERN_SIZE_MAX:
        raise ValueError(f"the pattern is longer than {PATTERN_SIZE_MAX} characters")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            compiled = re.compile(pattern or _NOTHING)
        except (re.error, OverflowError, RecursionError, Warning) as error:
            raise ValueError(f"the pattern is no regular expression: {error}") from None
    if choice_bits(pattern) > CHOICES_MAX_BITS:
        raise ValueError("the pattern could take too long to match: too many choices")
    return compiled


def choice_bits(pattern: str) -> float:
    """Return how many ways there are to match ``pattern``, as a logarithm.

    The pattern must be one that compiles. Raises ValueError for a quantifier
    within a quantifier, a reference to a group, or a syntax of Python's own.
    """
    levels = [_Level()]
    for token in _TOKEN.finditer(pattern):
        kind, text = token.lastgroup, token.group()
        level = levels[-1]
        if kind == "open":
            levels.append(_Level())
        elif kind == "close":
            group = levels.pop()
            group.close_branch(is_last=False)
            levels[-1].put(group.bits, text)
        elif kind == "or":
            level.close_branch(is_last=len(levels) == 1)
        elif kind == "quantifier":
            level.repeat(text.rstrip("?+") or text[0])
        elif kind == "end":
            level.end()
        elif kind == "atom":
            level.put(0.0, text)
        else:
            raise ValueError(f"the pattern uses {text!r}, which is not supported")
    levels[0].close_branch(is_last=True)
    return levels[0].bits + (0.0 if pattern.startswith("^") else _UNBOUNDED_BITS)


@final
class _Level:
    """One group while it is read: the choices of its branches so far."""

    __slots__ = ("atom", "branch_bits", "branch_count", "is_open", "most_bits", "tail")

    def __init__(self) -> None:
        self.branch_count: int = 0
        self.most_bits: float = 0.0
        self.branch_bits: float = 0.0
        self.tail: float = 0.0
        """The bits of what was read last, as a quantifier may still follow."""
        self.atom: str = ""
        self.is_open: bool = False
        """Whether what was read last has no upper bound."""

    def put(self, bits: float, atom: str) -> None:
        """Read one character, class or group."""
        self.branch_bits += self.tail
        self.tail, self.atom, self.is_open = bits, atom, False

    def repeat(self, quantifier: str) -> None:
        """Read a quantifier."""
        low, high = _bounds(quantifier)
        self.is_open = high is None
        if high is not None:
            self.tail = high * self.tail + math.log2(max(high - low + 1, 1))
        elif self.tail:
            raise ValueError("the pattern has a choice within an unbounded quantifier")
        else:
            self.tail = _UNBOUNDED_BITS

    def end(self) -> None:
        """Read ``$``: a ``.*`` before it reaches it at once."""
        if self.is_open and self.atom == ".":
            self.tail = 0.0
        self.put(0.0, "$")

    def close_branch(self, *, is_last: bool) -> None:
        """Read what ends a branch; ``is_last`` if the whole pattern may end here."""
        if not (is_last and self.is_open):
            self.branch_bits += self.tail
        self.most_bits = max(self.most_bits, self.branch_bits)
        self.branch_count += 1
        self.branch_bits = self.tail = 0.0
        self.is_open = False

    @property
    def bits(self) -> float:
        """The choices of the whole group, once its branches are closed."""
        return self.most_bits + math.log2(self.branch_count)


def _bounds(quantifier: str) -> tuple[int, int | None]:
    """Return the least and the most repetitions; None for no most."""
    if quantifier in {"*", "+"}:
        return int(quantifier == "+"), None
    if quantifier == "?":
        return 0, 1
    low, comma, high = quantifier[1:-1].partition(",")
    if not comma:
        return int(low), int(low)
    return int(low or 0), int(high) if high else None
