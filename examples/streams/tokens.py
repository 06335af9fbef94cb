"""Tokens of a language model as they come, and none lost when the line is cut.

    python examples/streams/tokens.py          # then http://localhost:8080/

The model here is a few sentences, a word at a time.  It writes into an `Answer`
that belongs to no request: a client that is cut off comes back with the number
of the last token that it saw (``Last-Event-ID``) and gets the rest, while the
model has gone on meanwhile.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from takotwist.codecs.sse import SseEvent
from takotwist.streams.sse.route import json_event, last_event_id, sse

#: Answers that are kept; the oldest is forgotten first.
MOST_ANSWERS = 100

#: Most bytes of a question.
MOST_BYTES = 4096

PAGE = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Tokens</title>
<style>
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 44rem; margin: 2rem auto; padding: 0 1rem; }
input, button { font: inherit; padding: .4rem .8rem; border-radius: .5rem; }
input { border: 1px solid #8886; }
button { background: #c2503f; border: 0; color: #fff; cursor: pointer; }
</style>
<h1>Tokens of a model</h1>
<form>
<input name="question" value="Why are octopuses clever?" size="40" aria-label="Your question">
<button>Ask</button>
</form>
<p id="answer" aria-live="polite"></p>
<p><small>Cut the line while it answers: the page comes back, and no token is lost.</small>
<script>
document.querySelector("form").onsubmit = async (event) => {
  event.preventDefault();
  const body = event.target.question.value;
  const { id } = await (await fetch("answers", { method: "POST", body })).json();
  const answer = document.querySelector("#answer");
  answer.textContent = "";
  const source = new EventSource(`answers/${id}`);   // comes back by itself, where it was
  source.onmessage = ({ data }) => (answer.textContent += JSON.parse(data));
  source.addEventListener("done", () => source.close());
};
</script>
"""


class Answer:
    """Answer of the model so far."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.done = False
        self._waiting: list[Deferred[None]] = []

    def say(self, token: str | None) -> None:
        """The next token; `None` is the end."""
        if token is None:
            self.done = True
        else:
            self.tokens.append(token)
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.called:
                one.callback(None)

    async def events(self, seen: int) -> AsyncIterator[SseEvent]:
        """The tokens after the first `seen`, as they come, and the end."""
        while True:
            while seen < len(self.tokens):
                seen += 1
                yield json_event(self.tokens[seen - 1], id=str(seen))
            if self.done:
                yield SseEvent(data="", event="done", id=str(seen))
                return
            more: Deferred[None] = Deferred()
            self._waiting.append(more)
            await more


async def model(reactor: IReactorTime, question: str, answer: Answer) -> None:
    """Stands where yours would be called."""
    text = f"You ask: {question} That is a deep one. Eight arms, nine brains, and no time to lose."
    for word in text.split(" "):
        await deferLater(reactor, 0.1)
        answer.say(f"{word} ")
    answer.say(None)


def make_app(reactor: IReactorTime) -> Klein:
    """The routes."""
    app, answers, numbers = Klein(), dict[int, Answer](), count(1)

    @app.route("/")
    def page(request: Any) -> bytes:
        request.setHeader(b"Content-Type", b"text/html; charset=utf-8")
        return PAGE

    @app.route("/answers", methods=["POST"])
    def ask(request: Any) -> bytes:
        question = request.content.read(MOST_BYTES).decode("utf-8", "replace")
        number, answer = next(numbers), Answer()
        answers[number] = answer
        if len(answers) > MOST_ANSWERS:
            del answers[next(iter(answers))]
        Deferred.fromCoroutine(model(reactor, question, answer))
        request.setHeader(b"Content-Type", b"application/json")
        return json.dumps({"id": number}).encode()

    @app.route("/answers/<int:number>")
    def read(request: Any, number: int) -> Any:
        answer = answers.get(number)
        if answer is None:
            request.setResponseCode(404)
            return b""
        seen = last_event_id(request) or "0"
        place = int(seen) if seen.isdecimal() else 0
        return sse(request, answer.events(min(place, len(answer.tokens))), reactor=reactor)

    return app


if __name__ == "__main__":
    from twisted.internet import reactor

    from takotwist.streams.http.site import make_site

    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8080
    the_reactor: Any = reactor
    site = make_site(make_app(the_reactor).resource(), the_reactor)
    the_reactor.listenTCP(port, site, interface="127.0.0.1")
    the_reactor.run()
