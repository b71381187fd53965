"""What stands in the blocks of our pages is code, of names that are there."""

from __future__ import annotations

import ast
import io
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import warren
import warren.blocking
import warren_broker.testing
from warren_broker.config import load_config
from warren_broker.server.configured import read_configured

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MODULES: dict[str, ModuleType] = {
    "warren": warren,
    "blocking": warren.blocking,
    "warren.blocking": warren.blocking,
    "warren_broker.testing": warren_broker.testing,
}


def blocks(kind: str) -> list[tuple[str, str]]:
    """All blocks of a kind, with where they are."""
    return [
        (
            f"{page.name}:{page.read_text()[: match.start()].count(chr(10)) + 1}",
            match[1],
        )
        for page in PAGES
        for match in re.finditer(
            rf"^```{kind}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL
        )
    ]


def used(tree: ast.AST) -> set[tuple[str, str]]:
    """Names of our modules that a block uses; the fixture has a module's name."""
    if any(
        isinstance(node, ast.arg) and node.arg in MODULES for node in ast.walk(tree)
    ):
        return set()
    found = set[tuple[str, str]]()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in MODULES:
            found |= {(node.module, alias.name) for alias in node.names}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found.add((node.value.id, node.attr))
    return {(module, name) for module, name in found if module in MODULES}


def test_python() -> None:
    seen = set[tuple[str, str]]()
    for place, text in blocks("python"):
        tree = compile(
            text, place, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        )
        seen |= used(tree)
        for module, name in used(tree):
            assert hasattr(MODULES[module], name), f"{place}: {module}.{name}"
    assert seen > {("warren", "App"), ("warren_broker.testing", "broker_in_nursery")}


@pytest.mark.parametrize(("place", "text"), blocks("toml"))
def test_configuration(place: str, text: str, tmp_path: Path) -> None:
    """It can be read, and a broker could start with it."""
    path = tmp_path / f"{place}.toml"
    path.write_text(text)
    read_configured(load_config(str(path), {}))


def test_an_hour_passes_as_the_page_says() -> None:
    (text,) = (text for _, text in blocks("python") if "MockClock" in text)
    said = io.StringIO()
    with redirect_stdout(said):
        exec(compile(text, "testing.md", "exec"), {})
    assert said.getvalue() == "Ada, it is time\n"
