"""Whoever follows the page `start.md` gets what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[2] / "docs" / "start.md"
TEXT = PAGE.read_text()
BLOCKS = list(
    re.finditer(
        r"(?:`(?P<name>\w+\.py)`:\n\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$",
        TEXT,
        re.MULTILINE | re.DOTALL,
    )
)

SET_UP = ("python3 -m venv ", ". venv/", "pip install ")
"""How commands begin that somebody has given before this can run."""

URL = "amqp://127.0.0.1:5672/"
LASTING = {
    "warren serve": "warren serve --listen 127.0.0.1:0",
    "warren worker tasks:app": f"warren worker tasks:app --url {URL}",
}
"""Commands that a terminal is for, and what is given here: another port."""


class Follower:
    """Does in a directory what the page says, with the broker on any free port."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.url = URL
        self.says: IO[str] | None = None
        self._directory = directory
        self._stack = stack
        self._environment = {
            **{key: os.environ[key] for key in os.environ if key[:7] != "WARREN_"},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    def python(self, text: str, name: str) -> None:
        """A file."""
        (self._directory / name).write_text(text.replace(URL, self.url))

    def console(self, text: str, _: str) -> None:
        """Commands, each with what it prints."""
        for command, expected in commands(text):
            if command in LASTING:
                self._begin(LASTING[command], expected)
            elif not command.startswith(SET_UP):
                assert expected.rstrip() in self._run(command), command

    def text(self, text: str, _: str) -> None:
        """What the command that was begun last says next."""
        assert self.says
        assert [self.says.readline() for _ in text.splitlines()] == text.splitlines(
            True
        )

    def _begin(self, command: str, expected: str) -> None:
        process = subprocess.Popen(
            command.replace(URL, self.url).split(),
            cwd=self._directory,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._stack.enter_context(process)
        self._stack.callback(process.terminate)
        self.says = process.stdout
        if expected:
            assert self.says
            self.url = self.says.readline().removeprefix("ready ").rstrip()
            assert expected == f"ready {URL}\n"
            assert re.sub(r"\d+/$", "5672/", self.url) == URL

    def _run(self, command: str) -> str:
        ended = subprocess.run(
            command.replace("warren publish", f"warren publish --url {self.url}"),
            shell=True,
            cwd=self._directory,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (0, ""), command
        return ended.stdout


def commands(text: str) -> Iterator[tuple[str, str]]:
    for part in text.split("$ ")[1:]:
        command, _, expected = part.partition("\n")
        yield command, expected


def test_the_page_is_followed(tmp_path: Path) -> None:
    with ExitStack() as stack:
        follower = Follower(tmp_path, stack)
        for block in BLOCKS:
            getattr(follower, block["kind"])(block["text"], block["name"])


def test_no_block_is_passed_over() -> None:
    assert 2 * len(BLOCKS) == len(re.findall(r"^```", TEXT, re.MULTILINE)) > 0


def test_a_pool_has_less_than_twenty_lines() -> None:
    (tasks,) = (block["text"] for block in BLOCKS if block["name"] == "tasks.py")
    assert len(tasks.splitlines()) < 20
    assert tasks in (PAGE.parents[1] / "README.md").read_text()
