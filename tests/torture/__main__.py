"""`python -m tests.torture`: the ways in which a broker may end, in turns.

Power cuts, a slow disk and a small one; then SIGKILL and SIGTERM at any moment under
load, SIGKILL exactly at the n-th sync or write of the journal, a sync that fails, a
write that finds no room. After each the queues are drained, and the ledger is asked.
What cannot be done on a machine is left out, and it says why.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final, Never

from tests.torture import report
from tests.torture.killing import Killing
from tests.torture.mounts import MountError
from tests.torture.power import PowerCuts
from tests.torture.slow import SlowDisk
from tests.torture.small import SmallDisk
from tests.torture.trial import Trial, TrialError

# Name, trial, and its share of the time that is left.
TRIALS: Final[tuple[tuple[str, type[Trial], float], ...]] = (
    ("power", PowerCuts, 0.45),
    ("slow disk", SlowDisk, 0.1),
    ("small disk", SmallDisk, 0.25),
    ("killing", Killing, 1),
)
ENDS: Final = [end for _, kind, _ in TRIALS for end in kind.ENDS]


def main() -> int:
    """Status 1 if a promise was broken, 130 if it was interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.torture", epilog="ends: " + ", ".join(ENDS)
    )
    parser.add_argument("--secs", type=float, default=480, help="how long (480)")
    parser.add_argument("--publishers", type=int, default=4, help="at once (4)")
    parser.add_argument("--seed", type=int, default=None, help="of the moments")
    parser.add_argument("--ends", help="only these, with commas between")
    options = parser.parse_args()
    ends = options.ends.split(",") if options.ends else ENDS
    if unknown := set(ends) - set(ENDS):
        parser.error(f"no such end: {', '.join(unknown)}")
    seed = options.seed if options.seed is not None else int(time.time())
    print(f"torture: seed {seed}", flush=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        with TemporaryDirectory(prefix="warren-torture-") as name:
            return _run(Path(name), seed, options, ends)
    except KeyboardInterrupt:
        print("torture: interrupted", file=sys.stderr)
        return 130


def _interrupt(*_: object) -> Never:
    """End, once: what comes now is cleaning up."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _run(
    directory: Path, seed: int, options: argparse.Namespace, ends: list[str]
) -> int:
    until = time.monotonic() + options.secs
    trials: dict[str, Trial] = {}
    plan = [each for each in TRIALS if _is_possible(*each[:2], ends)]
    for name, kind, share in plan:
        print(f"torture: {name}", flush=True)
        place = directory / name.replace(" ", "-")
        trial = trials[name] = kind(place, Random(seed), options.publishers)
        left = until - time.monotonic()
        try:
            trial.run(left if kind is plan[-1][1] else left * share, ends)
        except (TrialError, MountError) as error:
            trial.wrong.append(f"given up, so what is left counts as lost: {error}")
        trial.conclude()
    report.show(trials)
    wrong = [f"{name}: {text}" for name, each in trials.items() for text in each.wrong]
    for text in wrong:
        print(f"torture: {text}", file=sys.stderr)
    return 1 if wrong else 0


def _is_possible(name: str, kind: type[Trial], ends: list[str]) -> bool:
    if not any(end in ends for end in kind.ENDS):
        return False
    if (reason := kind.missing()) is not None:
        print(f"torture: without {name}: {reason}")
    return reason is None


if __name__ == "__main__":
    sys.exit(main())
