"""A Dockerfile, taken apart into stages and instructions.

Rule: an instruction, flag or form that is not understood is an error.  A test that passed over
one would show less than it says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import attrs

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_PAIR = re.compile(r'([\w.]+)=("(?:[^"\\]|\\.)*"|\S*)\s*')
_FLAG = re.compile(r"--([\w-]+)(?:=(\S+))?\s+")

_KNOWN = frozenset(
    ("ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "RUN",
     "STOPSIGNAL", "USER", "VOLUME", "WORKDIR")
)  # fmt: skip


@attrs.frozen
class Instruction:
    """One instruction.

    :ivar flags: what stands before its arguments, as ``--chown=...``.
    :ivar text: its arguments, lines joined, nothing substituted.
    """

    line: int
    name: str
    flags: Mapping[str, str]
    text: str

    @property
    def words(self) -> list[str]:
        """The arguments, of a list in JSON or apart by spaces."""
        if self.text.startswith("["):
            words: list[str] = json.loads(self.text)
            return words
        return self.text.split()

    @property
    def pairs(self) -> dict[str, str]:
        """The arguments as ``name=value``; a name alone has no value and is left out."""
        found = _PAIR.findall(self.text)
        return {name: value.strip('"') for name, value in found}


@attrs.frozen
class Stage:
    """What follows one ``FROM``."""

    name: str
    base: str
    instructions: tuple[Instruction, ...]


def substituted(text: str, values: Mapping[str, str]) -> str:
    """``$NAME`` and ``${NAME}`` replaced; one without a value is empty, as docker has it."""
    return _VARIABLE.sub(lambda found: values.get(found[1] or found[2], ""), text)


def instructions(text: str) -> Iterator[Instruction]:
    """The instructions of a file, comments left out.

    :raises ValueError: one is not known here.
    """
    joined, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or not (line.strip() or joined):
            continue
        first = first if joined else number
        joined += line.rstrip().removesuffix("\\") if line.rstrip().endswith("\\") else line
        if line.rstrip().endswith("\\"):
            continue
        name, _, rest = joined.strip().partition(" ")
        joined = ""
        if name not in _KNOWN:
            raise ValueError(f"line {first}: {name} is not known here")
        flags = {}
        while found := _FLAG.match(rest):
            flags[found[1]] = found[2] or ""
            rest = rest[found.end() :]
        yield Instruction(first, name, flags, rest.strip())


def stages(text: str, arguments: Mapping[str, str]) -> list[Stage]:
    """The stages of a file.

    :param arguments: as ``--build-arg`` gives them.
    """
    before: dict[str, str] = {}
    found: list[tuple[str, str, list[Instruction]]] = []
    for one in instructions(text):
        if one.name == "FROM":
            base, *named = substituted(one.text, before).split()
            found.append((named[1] if named else str(len(found)), base, []))
        elif found:
            found[-1][2].append(one)
        elif one.name == "ARG":
            before |= one.pairs
            before |= {name: value for name, value in arguments.items() if name in before}
        else:
            raise ValueError(f"line {one.line}: {one.name} before the first FROM")
    return [Stage(name, base, tuple(inside)) for name, base, inside in found]


def _matches(pattern: str, path: PurePosixPath) -> bool:
    """Whether a line of ``.dockerignore`` names `path`, or a folder that it is in."""
    wanted = pattern.strip("/").split("/")
    for part in (path, *path.parents):
        have = list(part.parts)
        if wanted[0] == "**":
            have = have[-len(wanted) + 1 :]
            if have and len(have) == len(wanted) - 1 and all(map(fnmatchcase, have, wanted[1:])):
                return True
        elif len(have) == len(wanted) and all(map(fnmatchcase, have, wanted)):
            return True
    return False


def context_files(folder: Path) -> set[PurePosixPath]:
    """What a build sees of a folder: all that its ``.dockerignore`` lets through, the last line
    that names a file deciding; without one, everything."""
    ignoring = folder / ".dockerignore"
    if not ignoring.exists():
        every = (path for path in folder.rglob("*") if path.is_file())
        return {PurePosixPath(path.relative_to(folder).as_posix()) for path in every}
    lines = [line.strip() for line in ignoring.read_text().splitlines()]
    patterns = [line for line in lines if line and not line.startswith("#")]
    # Folders that no exception reaches into are not even looked at: there is a .venv beside.
    kept = {line[1:].split("/")[0] for line in patterns if line.startswith("!")}
    found = set()
    for top in sorted(kept):
        under = folder / top
        for path in [under] if under.is_file() else under.rglob("*"):
            name = PurePosixPath(path.relative_to(folder).as_posix())
            ignored = False
            for pattern in patterns:
                if _matches(pattern.lstrip("!"), name):
                    ignored = not pattern.startswith("!")
            if path.is_file() and not ignored:
                found.add(name)
    return found
