"""How the site is built of these pages: `make docs`.

The pages are plain Markdown, for people who read them where the code is. So there is no
directive for the navigation: it is the links of index.md, in their order, and a page
that is not there is an error.
"""

from __future__ import annotations

import re
from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "Warren"
version = release = metadata.version("warren")
extensions = ["myst_parser"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"Warren {release}"
html_copy_source = False
html_show_copyright = False
nitpicky = True


def add_navigation(_: Sphinx, name: str, text: list[str]) -> None:
    """Make the links of the first page the table of contents."""
    if name == "index":
        pages = re.findall(r"^- .*\]\(([\w-]+)\.md\)", text[0], re.MULTILINE)
        text[0] += "\n".join(["", "```{toctree}", ":hidden:", "", *pages, "```"])


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", add_navigation)
