"""`python -m tests.simulation --seeds N`: as many stories as there is time for."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter

from tests.simulation.small_disk.story import SmallStory
from tests.simulation.story import STEPS, Story
from tests.simulation.streams.story import StreamStory


def main() -> int:
    """Status 1 if a story has ended in a violation, or in an exception."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=1000, help="how many (1000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--steps", type=int, default=STEPS, help="of each story")
    parser.add_argument("--streams", action="store_true", help="with streams")
    parser.add_argument("--small-disk", action="store_true", help="which gets full")
    parser.add_argument("--stop-after", type=int, default=10, help="failures (10)")
    options = parser.parse_args()
    failed: list[int] = []
    counts: Counter[str] = Counter()
    kind = StreamStory if options.streams else Story
    kind = SmallStory if options.small_disk else kind
    began = time.monotonic()
    for seed in range(options.first, options.first + options.seeds):
        story = kind(seed)
        try:
            story.play(options.steps)
        except Exception as error:  # noqa: BLE001 - whatever it is, the seed has found it
            failed.append(seed)
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{last.filename.rpartition('/')[2]}:{last.lineno}"
            print(f"seed {seed}: {type(error).__name__} {error} ({place})")
        counts += story.counts
        if len(failed) >= options.stop_after:
            break
    seconds = time.monotonic() - began
    print(f"{seed + 1 - options.first} seeds in {seconds:.1f} s, failed: {failed}")
    print(", ".join(f"{name} {count}" for name, count in counts.most_common()))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
