"""Hypothesis profiles.

`ci`, the default, draws the same examples every time: one commit, one verdict.
`thorough` (`--hypothesis-profile=thorough`) goes looking for new ones.
No deadline in either: how long an example takes says more of the machine than of us.
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("ci", deadline=None, derandomize=True, max_examples=100)
settings.register_profile(
    "thorough", deadline=None, max_examples=2_000, print_blob=True
)
settings.load_profile("ci")
