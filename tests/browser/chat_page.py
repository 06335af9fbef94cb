"""The chat example in a tab, in which somebody talks and reads.

Beside what the page shows, everything that the client delivers to it is written
down: the page itself shows no message twice, so it could hide that one came twice.
"""

from __future__ import annotations

import json
from itertools import pairwise

import attrs

from tests.browser.driven import PATIENCE, Browser, Page

#: The same client as the page's own, so its subscription is the page's.
_RECORD = """(async () => {
  const { channel } = await import("/_tako/client.js");
  window.feed = channel("rooms", { params: { roomId: "lobby" } });
  window.told = [];
  window.states = [];
  window.answers = [];
  feed.onState((state) => states.push(state));
  feed.subscribe(({ id, type, data }) => {
    if (type !== "typing") told.push({ id, type, text: data.text ?? data.reason });
  });
  window.say = (text) => feed.publish("said", { text }).then(
    (id) => void answers.push(id),
    (error) => void answers.push(String(error)),
  );
})()"""

_LOG_IN = """(
  document.querySelector("#login input").value = "ada",
  document.getElementById("login").requestSubmit()
)"""

#: What the list of messages shows, in its order.
_SHOWN = """[...document.querySelectorAll("#messages li:not(.notice)")]
  .map((li) => li.lastChild.textContent)"""

_NOTICES = "[...document.querySelectorAll('#messages .notice')].map((li) => li.textContent)"


@attrs.frozen
class ChatPage:
    """A tab in the lobby."""

    page: Page

    @classmethod
    def entered(cls, browser: Browser, url: str) -> ChatPage:
        """Open the chat, log in where the browser is not yet, and wait until it is open."""
        page = browser.open(url)
        page.until("['login', 'chat'].some((id) => document.getElementById(id)?.hidden === false)")
        if page.run("document.getElementById('chat').hidden"):
            page.run(_LOG_IN)
        page.until("document.getElementById('state').dataset.state === 'open'")
        page.run(_RECORD)
        return cls(page)

    def say(self, *texts: str) -> None:
        """Publish in this order, without waiting for the answers."""
        self.page.run(f"void {json.dumps(texts)}.forEach(say)")

    def wait_answered(self, count: int, seconds: float = PATIENCE) -> None:
        """Wait until so many publishes have an answer, and see that none was refused."""
        answers = self.page.until(f"answers.length >= {count} && answers", seconds)
        refused = [answer for answer in answers if not answer.isdigit()]
        assert not refused, refused

    def wait_told(self, count: int, seconds: float = PATIENCE) -> list[str]:
        """Wait until so many messages have come; their texts.

        :raises AssertionError: some came twice, out of order, or after a reset.
        """
        told = self.page.until(f"told.length >= {count} && told", seconds)
        assert {one["type"] for one in told} <= {"said"}, told[-3:]
        ids = [int(one["id"]) for one in told]
        assert all(one < other for one, other in pairwise(ids)), ids
        return [one["text"] for one in told]

    def wait_state(self, state: str, seconds: float = PATIENCE) -> None:
        """Wait until the page shows that the channel is in this state."""
        self.page.until(f"document.getElementById('state').dataset.state === '{state}'", seconds)

    @property
    def shown(self) -> list[str]:
        """The texts on the page, from top to bottom."""
        return list(self.page.run(_SHOWN))

    @property
    def notices(self) -> list[str]:
        """What the page says that nobody wrote."""
        return list(self.page.run(_NOTICES))
