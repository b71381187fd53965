"""Every link between our pages leads somewhere, and every page is on the first one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*ROOT.glob("*.md"), *DOCS.glob("*.md"), *(ROOT / "examples").glob("*.md")]
LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Where links into a page may point to: its headings, as code hosts name them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def faults(page: Path) -> list[str]:
    """Links that lead nowhere."""
    found = []
    for link in LINK.findall(CODE.sub("", page.read_text())):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if "://" in link:
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert faults(page) == []


def test_a_link_to_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text(
        "# What it can do, `now`\n```\n# no heading\n```\n"
    )
    page = tmp_path / "page.md"
    page.write_text(
        "# Own\n[1](other.md) [2](other.md#what-it-can-do-now) [3](#own) `[4](code)`\n"
        "[5](none.md) [6](other.md#no-heading) [7](#other) [8](other.md#)\n"
        "```\n[9](block)\n```\n"
    )
    assert faults(page) == ["none.md", "other.md#no-heading", "#other"]


def test_the_first_page_has_every_page() -> None:
    """The site's navigation is made of it."""
    first = (DOCS / "index.md").read_text()
    listed = re.findall(r"^- .*\]\(([\w-]+\.md)\)", first, re.MULTILINE)
    assert sorted([*listed, "index.md"]) == sorted(
        page.name for page in DOCS.glob("*.md")
    )


def test_pages_that_are_named_in_passing_are_there() -> None:
    places = [*PAGES, *ROOT.glob("*.toml"), *ROOT.glob("client/**/*.py")]
    places += ROOT.glob("broker/**/*.py")
    named = {
        name
        for path in places
        for name in re.findall(r"docs/[\w-]+\.md", path.read_text())
    }
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
