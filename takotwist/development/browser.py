"""News for browsers while an app is written, and the page at ``/`` that shows the same.

The client's scripts, as ``tako dev`` serves them, load ``/_tako/dev.js``: it prints each problem in
the page's console, and loads the page anew when its files have changed.  Rule: nothing of this is
served by another command, and no page has to know of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from takotwist.codecs.sse import SseEvent
from takotwist.core.channel import Registry
from takotwist.development.problem import Problem
from takotwist.server.start_page import answer_page, render
from takotwist.streams.http.interface import Request
from takotwist.streams.sse.route import json_event, sse

EVENTS = "/_tako/dev/events"
SCRIPT = "/_tako/dev.js"

#: The client's scripts that load ours.
CLIENTS = ("client.js", "live.js")

#: Most pages that listen; another one takes the place of the first.
MAX_LISTENING = 64

_SCRIPT = """\
// Served by `tako dev` alone: problems in the console, and the page anew when its files change.
const events = new EventSource(new URL("dev/events", import.meta.url));
let pages;
const listen = (type, hear) =>
  events.addEventListener(type, (event) => hear(JSON.parse(event.data)));
listen("problem", ({ text }) => console.error(`takotwist: ${text}`));
listen("solved", () => console.info("takotwist: the problem is solved"));
listen("pages", (generation) => {
  if (pages !== undefined && pages !== generation) location.reload();
  pages = generation;
});
"""


@attrs.define(slots=True, eq=False)
class _Listener:
    """One page: what it is to be told, and how to wake it."""

    waiting: list[SseEvent] = attrs.field(factory=list)
    wake: Deferred[None] | None = None
    over: bool = False


@attrs.define(slots=True, eq=False)
class Browsers:
    """The pages that listen, and the state that a new one is told first.

    :ivar generation: changes when pages are to be loaded anew, and outlives a start over.
    :ivar problem: the one that stands.
    """

    generation: int = 0
    problem: Problem | None = None
    _listening: list[_Listener] = attrs.field(factory=list, init=False)

    def wrong(self, problem: Problem) -> None:
        """Say a problem."""
        self.problem = problem
        self._tell(_problem_event(problem))

    def well(self) -> None:
        """Say that the last problem is one no more."""
        if self.problem is not None:
            self.problem = None
            self._tell(json_event({}, "solved"))

    def pages_changed(self) -> None:
        """Have pages loaded anew."""
        self.generation += 1
        self._tell(json_event(self.generation, "pages"))

    def close(self) -> None:
        """End all of them."""
        for listener in self._listening:
            self._end(listener)

    @property
    def listening(self) -> int:
        """The number of pages that listen."""
        return len(self._listening)

    async def events(self) -> AsyncIterator[SseEvent]:
        """The state, and then what happens."""
        if len(self._listening) >= MAX_LISTENING:
            self._end(self._listening.pop(0))
        listener = _Listener([json_event(self.generation, "pages")])
        if self.problem is not None:
            listener.waiting.append(_problem_event(self.problem))
        self._listening.append(listener)
        try:
            while not listener.over:
                while listener.waiting:
                    yield listener.waiting.pop(0)
                listener.wake = Deferred()
                await listener.wake
        finally:
            if listener in self._listening:
                self._listening.remove(listener)

    def _tell(self, event: SseEvent) -> None:
        for listener in self._listening:
            # A page in the background reads late: only the newest of each kind is of use to it.
            listener.waiting = [one for one in listener.waiting if one.event != event.event]
            listener.waiting.append(event)
            self._wake(listener)

    def _end(self, listener: _Listener) -> None:
        listener.over = True
        self._wake(listener)

    @staticmethod
    def _wake(listener: _Listener) -> None:
        wake, listener.wake = listener.wake, None
        if wake is not None and not wake.called:
            wake.callback(None)


def _problem_event(problem: Problem) -> SseEvent:
    return json_event({"text": problem.text}, "problem")


class _Answering(Resource):
    """A resource of one function."""

    isLeaf = True

    def __init__(self, answer: Callable[[Any], object]) -> None:
        Resource.__init__(self)
        self._answer = answer

    def render(self, request: object) -> int:
        """Implement `IResource`."""
        self._answer(request)
        return NOT_DONE_YET


def _script(text: str) -> Callable[[Request], None]:
    body = text.encode()

    def answer(request: Request) -> None:
        request.setHeader("Content-Type", "text/javascript; charset=utf-8")
        request.setHeader("Cache-Control", "no-store")
        # As the client is served otherwise: any page may load it.
        request.setHeader("Access-Control-Allow-Origin", "*")
        request.setHeader("Cross-Origin-Resource-Policy", "cross-origin")
        request.setHeader("Content-Length", str(len(body)))
        if request.method != b"HEAD":
            request.write(body)
        request.finish()

    return answer


def scripts() -> Mapping[str, IResource]:
    """The client's scripts, with ours loaded by them, and ours."""
    folder = Path(str(files("takotwist") / "static"))
    loading = '\nimport(new URL("dev.js", import.meta.url));\n'
    served = {
        f"/_tako/{name}": _script((folder / name).read_text("utf-8") + loading) for name in CLIENTS
    }
    return {
        path: _Answering(answer) for path, answer in {**served, SCRIPT: _script(_SCRIPT)}.items()
    }


def pages(
    browsers: Browsers,
    registry: Registry,
    functions: Callable[[], Mapping[str, object]],
    folder: Path,
    *,
    own: bool,
) -> Mapping[str, IResource]:
    """All pages of ``tako dev``.

    :param functions: the functions that pages may call, by name.
    :param folder: the project's.
    :param own: false where the app answers ``/``.
    """

    def start(request: Request) -> None:
        body = _defined(registry, functions(), folder)
        if browsers.problem is not None:
            body = f'<p class="wrong">{escape(browsers.problem.shown(folder))}</p>{body}'
        answer_page(request, render(f'{body}<script type="module" src="{SCRIPT}"></script>'))

    shown = {EVENTS: _Answering(lambda request: sse(request, browsers.events(), retry=500))}
    return {**scripts(), **shown, **({"/": _Answering(start)} if own else {})}


def _defined(registry: Registry, functions: Mapping[str, object], folder: Path) -> str:
    """The definitions, as HTML."""
    rows = [
        f"<dt><code>{escape(one.definition.name)}"
        f"({escape(', '.join(one.definition.params.names))})</code></dt>"
        f"<dd>{escape(one.place.removeprefix(f'{folder}/'))}</dd>"
        for one in sorted(registry, key=lambda one: one.definition.name)
    ]
    rows += [
        f"<dt><code>{escape(name)}()</code></dt><dd>a function</dd>" for name in sorted(functions)
    ]
    if rows:
        return f"<p>It has channels and functions, and no pages:</p><dl>{''.join(rows)}</dl>"
    return (
        "<p>Nothing is defined yet. Put a file into the folder <code>channels</code>:</p>"
        "<pre>from takotwist import define_channel\n\n"
        'news = define_channel("news")</pre>'
    )
