"""Links lead somewhere, and no page names a file that is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.page import DOCS, ROOT, pages, project

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_REPOSITORY_FILE = re.compile(
    r"[\w.-]+(?:/[\w.-]+)*/[\w.-]+\.(?:py|md|toml|ts|tsx|mjs|sh|sql|json)"
)


def _prose(page: Path) -> str:
    return re.sub(r"^( *)```.*?^\1```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    text = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def _links(page: Path) -> Iterator[str]:
    for found in _LINK.finditer(_prose(page)):
        if not re.match(r"[a-z]+:", found[1]):
            yield found[1]


class TestLinks(SynchronousTestCase):
    def test_internal_links(self) -> None:
        """Every link inside the project leads to a file or a folder, and to a heading in it."""
        dead = []
        for page in pages():
            for link in _links(page):
                path, _, fragment = link.partition("#")
                target = (page.parent / path).resolve() if path else page
                if not target.exists():
                    dead.append(f"{page.relative_to(ROOT)}: {link}")
                elif fragment and fragment not in map(anchor, _HEADING.findall(target.read_text())):
                    dead.append(f"{page.relative_to(ROOT)}: {link}: no such heading")
        self.assertEqual(dead, [])

    def test_all_pages_are_reached(self) -> None:
        """Every page of the documentation is linked from its index, or from a folder's index that
        is."""
        reached = {DOCS / "README.md"}
        indexes = [*reached]
        for index in indexes:
            linked = {(index.parent / link.partition("#")[0]).resolve() for link in _links(index)}
            folders = (one for one in linked - reached if one.name == "README.md")
            indexes += [one for one in folders if one.is_relative_to(DOCS)]
            reached |= linked
        self.assertEqual([str(one) for one in DOCS.rglob("*.md") if one not in reached], [])

    def test_named_files(self) -> None:
        """A file that a page names is in the project, or is one that the page itself describes."""
        missing = []
        for page in pages():
            own = project(page)
            for found in _CODE.finditer(_prose(page)):
                name = found[1]
                if not _REPOSITORY_FILE.fullmatch(name) or name in own:
                    continue
                bases = (ROOT, ROOT / "takotwist", page.parent, ROOT / "clients" / "js")
                if not any((base / name).exists() for base in bases):
                    missing.append(f"{page.relative_to(ROOT)}: {name}")
        self.assertEqual(missing, [])
