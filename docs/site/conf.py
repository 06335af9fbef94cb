"""The documentation as a site with search: the pages as they are, read by Sphinx with MyST.

    sphinx-build -W --keep-going -c docs/site . build/site

The pages stay plain Markdown that GitHub shows: what only a site needs, such as which page comes
after which, is made here of what the pages say.  Rule: nothing is listed twice, so a page that is
linked from the index of the documentation is in the site's contents, in the same place.
"""

from __future__ import annotations

import re
from importlib.metadata import version as version_of

from sphinx.application import Sphinx

project = "takotwist"
author = "the takotwist authors"
project_copyright = "the takotwist authors, MIT licence"
version = release = version_of("takotwist")

extensions = ["myst_parser", "sphinxcontrib.mermaid", "sphinx_copybutton"]

root_doc = "docs/README"
include_patterns = [
    "*.md",
    "docs/**.md",
    "examples/*/README.md",
    "clients/js/README.md",
    "tests/vectors/README.md",
]
# What is not even looked into, and fragments, which are no pages.
exclude_patterns = [".*", "_trial*", "build", "dist", "**/node_modules", "docs/newsfragments"]

# Links between pages name headings as GitHub does.
myst_heading_anchors = 6
myst_fence_as_directive = ["mermaid"]
nitpicky = True
# Pygments stumbles over some TSX and then colours it less strictly; the examples run in tests.
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_title = f"takotwist {version}"
html_static_path: list[str] = []
html_additional_pages = {"index": "redirect.html"}
templates_path = ["templates"]
html_copy_source = False
html_show_sphinx = False

_LINK = re.compile(r"\[[^\]]*\]\(([^)#:\s]+\.md)(?:#[^)]*)?\)")


def _toctree(pages: list[str], caption: str = "") -> str:
    lines = [page.removesuffix(".md") for page in dict.fromkeys(pages)]
    options = [":hidden:", *([f":caption: {caption}"] if caption else [])]
    return "\n".join(["", "", "```{toctree}", *options, "", *lines, "```"])


def contents(text: str) -> str:
    """The table of contents that an index stands for: a part for each heading, a line for each page
    that is linked below it, in order and once."""
    seen: set[str] = set()
    parts = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE):
        title, _, below = section.partition("\n")
        pages = [page for page in _LINK.findall(below) if page not in seen]
        seen.update(pages)
        parts.append(_toctree(pages, "Begin here" if title.startswith("# ") else title))
    return "".join(parts)


def _add_contents(app: Sphinx, docname: str, source: list[str]) -> None:
    """The index gets its contents; an index of a folder those of its folder."""
    if docname == root_doc:
        source[0] += contents(source[0])
    elif re.fullmatch(r"docs/\w+/README", docname):
        pages = [page for page in _LINK.findall(source[0]) if not page.startswith("..")]
        source[0] += _toctree(pages)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _add_contents)
