"""The architecture's pages against the program: files that run, rooms, records, paths.

Each journey is followed by `sys.setprofile` over a server in memory. It is made once before in
another server, so that caches of the process hide no file, nor show one that runs only once.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from types import CodeType, FrameType
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Grant, Refusal, VerifyRequest, define_channel
from takotwist.core.topic import Topic
from takotwist.testing.memory_peer import HttpPeer
from takotwist.testing.world import World
from tests.docs.page import DOCS, ROOT

PAGE = DOCS / "architecture" / "README.md"
TARGET = "/channels/chat?roomId=lobby"
ANN = {"Authorization": "Bearer ann"}
BODY = b'{"type":"msg","data":{"text":"hi"}}'

_PACKAGE = f"{ROOT / 'takotwist'}/"
_PATH = re.compile(r"`((?:[\w.-]+/)*[\w.-]+\.(?:py|sql|ts|md|cfg|toml|json))`")
_FIGURE = re.compile(r"^\| ([^|]+) \| (\d+) \| (\d+) \|$", re.MULTILINE)


@attrs.define
class Trace:
    """The files of the package in which functions were called, in order.

    :ivar moves: calls in another file than the call before.
    :ivar codes: the functions, in the order of their first call.
    """

    files: set[str] = attrs.Factory(set)
    moves: int = 0
    codes: dict[CodeType, None] = attrs.Factory(dict)
    _last: str = ""

    @staticmethod
    def name_of(code: CodeType) -> str:
        """The file of a function, below the package."""
        return code.co_filename.removeprefix(_PACKAGE)

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """One event of the profiler."""
        name = frame.f_code.co_filename
        if event != "call" or not name.startswith(_PACKAGE):
            return
        file = name.removeprefix(_PACKAGE)
        # The client's end is no part of the server.
        if file.startswith("testing/"):
            return
        self.files.add(file)
        self.codes[frame.f_code] = None
        self.moves += bool(self._last) and file != self._last
        self._last = file


def follow(call: Callable[[], object]) -> Trace:
    """The trace of one call."""
    trace = Trace()
    before = sys.getprofile()
    sys.setprofile(trace)
    try:
        call()
    finally:
        sys.setprofile(before)
    return trace


def world() -> World:
    """A server with one channel."""
    params = {"type": "object", "properties": {"roomId": {"type": "string"}}}
    chat = define_channel("chat", params=params, messages={"msg": {"type": "object"}})

    @chat.verify(header="authorization")
    async def verify(request: VerifyRequest[Any]) -> Grant:
        return Grant(subject="ann")

    @chat.on("msg")
    def said(data: Any, context: Any) -> Any:
        return data

    return World(chat)


def subscribe(*, resumed: bool = False) -> Trace:
    """One event stream, up to its first bytes; resumed, it has one message to catch up with."""
    here = world()
    cursor = here.publish(TARGET, "msg", {"text": "seen"})["id"]
    here.publish(TARGET, "msg", {"text": "missed"})
    headers = {**ANN, "Last-Event-ID": cursor} if resumed else ANN
    readers: list[HttpPeer] = []
    trace = follow(lambda: (readers.append(here.subscribe(TARGET, headers)), here.advance(0)))
    (reader,) = readers
    assert reader.status == 200, reader.received
    assert len(reader.messages) == int(resumed), reader.received
    return trace


def publish(*, known: bool = False) -> Trace:
    """One POST, stored, answered, and given to three subscribers."""
    here = world()
    readers = [here.subscribe(TARGET, ANN), here.subscribe(TARGET, ANN), here.connect(TARGET, ANN)]
    post = {"Content-Type": "application/json"}
    if known:
        here.request("POST", TARGET, post, BODY, private=True)
    answers: list[HttpPeer] = []
    trace = follow(
        lambda: (
            answers.append(here.request("POST", TARGET, post, BODY, private=True)),
            here.advance(0),
        )
    )
    (answer,) = answers
    assert answer.status == 200, answer.received
    assert [len(reader.messages) for reader in readers] == [1 + known] * 3
    return trace


#: The journeys by the words of the table of figures.
JOURNEYS: dict[str, Callable[[], Trace]] = {
    "subscribe, from now on": subscribe,
    "subscribe, from a cursor": lambda: subscribe(resumed=True),
    "publish, slow path": publish,
    "publish, fast path": lambda: publish(known=True),
}


@cache
def traces() -> dict[str, Trace]:
    """Each journey, followed when it is made for the second time."""
    for journey in JOURNEYS.values():
        journey()
    return {name: journey() for name, journey in JOURNEYS.items()}


def section(title: str) -> str:
    """The text of the page below a heading, up to the next."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.M | re.S)
    assert found, title
    return found[1]


def named(title: str) -> set[str]:
    """The files in the rows of a section's table."""
    rows = [line for line in section(title).splitlines() if line.startswith("| ")]
    return {path for row in rows for path in _PATH.findall(row)}


class TestJourneys(SynchronousTestCase):
    """The tables against what runs."""

    def setUp(self) -> None:
        self.traces = traces()

    def files(self, kind: str) -> set[str]:
        """The files of all journeys of a kind."""
        found = [trace.files for name, trace in self.traces.items() if name.startswith(kind)]
        return set().union(*found)

    def test_subscribe(self) -> None:
        """The table of a subscribe has the files that run, helpers included, and no other."""
        self.assertEqual(named("One subscribe"), self.files("subscribe"))

    def test_publish(self) -> None:
        """The table of a publish has the files that run, helpers included, and no other."""
        self.assertEqual(named("One publish"), self.files("publish"))

    def test_figures(self) -> None:
        """A journey has the files of its figure, and no more moves."""
        figures = {name: (int(a), int(b)) for name, a, b in _FIGURE.findall(section("Figures"))}
        self.assertEqual(set(figures), set(JOURNEYS))
        for name, (files, moves) in figures.items():
            trace = self.traces[name]
            self.assertEqual(len(trace.files), files, name)
            self.assertLessEqual(trace.moves, moves, name)

    def test_fast_path(self) -> None:
        """A repeated publish skips the request of twisted.web and its route's coroutine."""
        slow, fast = self.traces["publish, slow path"], self.traces["publish, fast path"]
        self.assertIn("streams/http/request.py", slow.files - fast.files)
        self.assertIn("transports/publish/known_head.py", fast.files)
        self.assertLess(fast.moves, slow.moves)

    def test_follow(self) -> None:
        """A trace counts the package's files and the moves between them, and ends with the call."""
        trace = follow(lambda: Topic.of("chat", {"a": "b"}))
        self.assertIn("core/topic.py", trace.files)
        before = set(trace.files)
        Refusal("x")
        self.assertEqual(trace.files, before)


def private_names(node: ast.AST) -> Iterator[tuple[str, bool]]:
    """The private name that a node defines (true), or reads of another object."""
    match node:
        case ast.Attribute(value=ast.Name(id="self" | "cls") | ast.Call(func=ast.Name(id="super"))):
            name, defines = node.attr, isinstance(node.ctx, ast.Store)
            if not defines:
                return
        case ast.Attribute(attr=name):
            defines = False
        case ast.Name(id=name, ctx=ast.Store()) | ast.FunctionDef(name=name):
            defines = True
        case ast.AsyncFunctionDef(name=name):
            defines = True
        case _:
            return
    if name.startswith("_") and not name.startswith("__"):
        yield name, defines


class TestRooms(SynchronousTestCase):
    def test_imports(self) -> None:
        """The table of rooms has each room of the package, with the rooms that it imports."""
        found: dict[str, set[str]] = {}
        package = ROOT / "takotwist"
        for file in package.rglob("*.py"):
            room = file.relative_to(package).parts[0].removesuffix(".py")
            names = re.findall(r"^ *from takotwist\.(\w+)", file.read_text(), re.MULTILINE)
            if room != "__init__":
                found.setdefault(room, set()).update({*names} - {room})
        rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ?([^|]*) ?\|$", section("The rooms"), re.M)
        told = {room: {*re.findall(r"\w+", text)} for room, text in rows}
        self.assertEqual(set(told), set(found))
        for room, imports in found.items():
            self.assertEqual(told[room], imports, room)

    def test_private_attributes(self) -> None:
        """No room reads a private attribute that only another room defines."""
        package = ROOT / "takotwist"
        defined: dict[str, set[str]] = {}
        read: list[tuple[str, str, str]] = []
        for file in package.rglob("*.py"):
            room = file.relative_to(package).parts[0].removesuffix(".py")
            for node in ast.walk(ast.parse(file.read_text())):
                for name, defines in private_names(node):
                    if defines:
                        defined.setdefault(name, set()).add(room)
                    else:
                        read.append((name, room, f"{file.relative_to(package)}:{node.lineno}"))
        wrong = [
            f"{place}: {name}"
            for name, room, place in read
            if name in defined and room not in defined[name]
        ]
        self.assertEqual(wrong, [])
        self.assertGreater(len(defined), 500)
        self.assertGreater(len(read), 50)

    def test_decisions(self) -> None:
        """Each decision record is listed once, by its number, date and title, with its files."""
        rows = re.findall(
            r"^\| \[(\d{4})\]\((.+?)\) \| (\S+) \| (.+?) \| (.+?) \|$", section("Decisions"), re.M
        )
        listed = {path: (number, day, title, files) for number, path, day, title, files in rows}
        found = {}
        for record in (PAGE.parent / "decisions").iterdir():
            text = record.read_text()
            title = re.match(r"# (\d{4}): (.+)\n\nDecided (\d{4}-\d\d-\d\d)\.\n", text)
            assert title, record.name
            files = text.partition("## Where\n\n")[2].partition("; tests: ")[0]
            found[f"decisions/{record.name}"] = (title[1], title[3], title[2], files)
            self.assertTrue(record.name.startswith(title[1]))
        self.assertEqual(listed, found)
        self.assertEqual(
            sorted(number for number, *_ in rows), [f"{n:04d}" for n in range(1, len(rows) + 1)]
        )


class TestPaths(SynchronousTestCase):
    def test_exist(self) -> None:
        """Each path that a page of the architecture names is there."""
        missing = []
        count = 0
        for page in (DOCS / "architecture").rglob("*.md"):
            for path in _PATH.findall(page.read_text()):
                count += 1
                if not any((base / path).exists() for base in (ROOT, ROOT / "takotwist")):
                    missing.append(f"{page.relative_to(ROOT)}: {path}")
        self.assertEqual(missing, [])
        self.assertGreater(count, 50)
