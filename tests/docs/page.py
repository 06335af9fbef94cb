"""The pages of the documentation, taken apart into blocks of code.

A block may begin with a comment that is a file's name (``# channels/chat.py``):
all such blocks of a page together are the project that the page describes.  A
comment ``<!-- as: NAME -->`` over a block says to the tests what it is.
Rule: nothing that is read here is changed before it is run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from takotwist.cli.init import project_files

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

_FENCE = re.compile(r"^( *)(`{3,})([\w-]*)\s*$")
_AS = re.compile(r"^ *<!-- as: ([\w -]+?) -->$")
_FILE = re.compile(r"^(?:#|//|<!--|/\*) ([\w./-]+\.\w+|Caddyfile|Dockerfile)(?: -->| \*/)?$")


@attrs.frozen
class Block:
    """One fenced block.

    :ivar line: of the file, of its first line of code.
    :ivar kind: what ``as:`` says, or empty.
    """

    page: Path
    line: int
    language: str
    kind: str
    text: str

    @property
    def file(self) -> str | None:
        """The project's file that this is."""
        found = _FILE.match(self.text.partition("\n")[0])
        return found[1] if found else None

    @property
    def place(self) -> str:
        """For messages of tests."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """All pages that people read."""
    own = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
    found = [*(ROOT / name for name in own), *sorted(DOCS.rglob("*.md"))]
    return [*found, *sorted((ROOT / "examples").glob("*/README.md"))]


def blocks_of(page: Path) -> Iterator[Block]:
    """The fenced blocks of one page, in order."""
    lines = page.read_text().splitlines()
    kind, inside, start = "", None, 0
    body: list[str] = []
    for number, line in enumerate(lines, 1):
        fence = _FENCE.match(line)
        if inside is None and fence:
            inside, start, body = fence, number + 1, []
        elif inside is not None and fence and not fence[3] and len(fence[2]) >= len(inside[2]):
            indent = len(inside[1])
            text = "\n".join(one[indent:] for one in body) + "\n"
            yield Block(page, start, inside[3], kind, text)
            kind, inside = "", None
        elif inside is not None:
            body.append(line)
        elif said := _AS.match(line):
            kind = said[1]
        elif line.strip():
            kind = ""
    assert inside is None, f"{page}: a block is not closed"


def blocks(language: str, *names: str) -> list[Block]:
    """The blocks in `language`.

    :param names: pages below ``docs``; left out, all pages.
    """
    chosen = [DOCS / name for name in names] or pages()
    return [block for page in chosen for block in blocks_of(page) if block.language == language]


def one(page: str, kind: str) -> Block:
    """The block of a page below ``docs`` that says ``as: kind``."""
    (found,) = [block for block in blocks_of(DOCS / page) if block.kind == kind]
    return found


def project(page: Path) -> Mapping[str, str]:
    """Name -> text of the files that a page describes."""
    files: dict[str, str] = {}
    for block in blocks_of(page):
        if block.file is not None:
            assert block.file not in files, f"{block.place}: {block.file} is there twice"
            files[block.file] = block.text
    return files


def write_project(page: Path, folder: Path) -> None:
    """Put the files that a page describes into `folder`, over those of its ``tako init``."""
    begun = [block for block in blocks_of(page) if block.kind == "init"]
    files = dict(project_files(begun[0].text.split()[-1], "project")) if begun else {}
    for name, text in {**files, **project(page)}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
