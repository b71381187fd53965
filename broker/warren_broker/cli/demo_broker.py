"""`warren serve` for the demo: it also ends when its standard input ends.

So no broker is left behind, whatever happens to the demo.
"""

from __future__ import annotations

import os
import signal
import sys
from threading import Thread
from typing import Final

from warren_broker.cli import main

STANDARD_INPUT: Final = 0


def _end_with_input() -> None:
    os.read(STANDARD_INPUT, 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    Thread(target=_end_with_input, daemon=True).start()
    main(["serve", *sys.argv[1:]], prog_name="warren")
