"""examples/live in Chromium: each of its sections, as a user finds it."""

from __future__ import annotations

from hashlib import sha256

from twisted.trial.unittest import SynchronousTestCase

from tests.browser.driven import Browser, Page
from tests.browser.example_server import example_server

#: 1,000,000 bytes, as a user picks them.
PICK = """(() => {
  const bytes = Uint8Array.from({ length: 1_000_000 }, (_, at) => at %% %d);
  const picked = new DataTransfer();
  picked.items.add(new File([bytes], "photo.jpg"));
  document.querySelector("#upload input").files = picked.files;
  document.querySelector("#upload form").requestSubmit();
})()"""


class LivePageTests(SynchronousTestCase):
    """Two windows of one user."""

    def setUp(self) -> None:
        self.server = example_server("live")
        self.addCleanup(self.server.close)
        self.server.start()
        self.browser = Browser()
        self.addCleanup(self.browser.close)
        self.one, self.other = (
            self.browser.open(f"{self.server.url}/", apart=True) for _ in range(2)
        )
        for page in (self.one, self.other):
            # The last of the sections has been begun.
            page.until("document.querySelector('#clock output').value.includes(':')")
            page.until("document.querySelectorAll('#room li').length >= 2")

    def say(self, page: Page, section: str, text: str) -> None:
        """Fill in the form of a section and send it."""
        page.run(
            f"(() => {{ const form = document.querySelector('#{section} form');"
            f" form.querySelector('input').value = '{text}'; form.requestSubmit(); }})()"
        )

    def press(self, page: Page, section: str) -> None:
        page.run(f"document.querySelector('#{section} button').click()")

    def lines(self, page: Page, section: str) -> list[str]:
        found = f"[...document.querySelectorAll('#{section} li')].map((one) => one.textContent)"
        return list(page.run(found))

    def until_said(self, page: Page, section: str, text: str) -> None:
        page.until(f"document.querySelector('#{section} ul').textContent.includes('{text}')")

    def assert_quiet(self) -> None:
        """Nothing went wrong that a user or an operator would see."""
        for page in (self.one, self.other):
            self.assertEqual(page.errors, [])
        self.server.assert_clean()

    def test_channels(self) -> None:
        """The clock goes and stops; the echo answers; the room accepts what is said in it."""
        output = "document.querySelector('#clock output').value"
        before = self.one.run(output)
        self.one.until(f"{output} !== {before!r}")
        self.press(self.one, "clock")
        self.one.until("document.querySelector('#clock button').textContent === 'Stopped'")
        self.say(self.one, "echo", "Hello!")
        self.until_said(self.one, "echo", "echo: Hello!")
        self.say(self.one, "room", "hi")
        self.until_said(self.one, "room", "echo: hi")
        self.one.until("document.querySelectorAll('#room li').length === 4")
        self.assertEqual(
            sorted(self.lines(self.one, "room")),
            ["Joined general", "accepted", "accepted", "echo: hi"],
        )
        self.assertEqual(self.lines(self.other, "echo"), [])
        self.assert_quiet()

    def test_broadcasts(self) -> None:
        """What one says in the chat both see; an order is told to all pages of its user; who
        closes the page leaves the chat."""
        self.say(self.one, "chat", "Hello!")
        for page in (self.one, self.other):
            self.until_said(page, "chat", "Hello!")
        self.press(self.other, "notifications")
        for page in (self.one, self.other):
            self.until_said(page, "notifications", "Your order has been taken.")
            self.assertEqual(len(self.lines(page, "notifications")), 1)
        self.assertEqual(self.one.errors, [])
        self.one.close()
        self.until_said(self.other, "chat", " left")
        self.assertEqual(self.other.errors, [])
        self.server.assert_clean()

    def test_tasks(self) -> None:
        """The bar moves to its end, and may be cancelled; all bytes of an upload arrive."""
        output = "document.querySelector('#progress output').value"
        self.press(self.one, "progress")
        self.press(self.other, "progress")
        # Half a second each: a busy page shows not every one.  Pressed as soon as it is seen, or
        # the last of them may be over by then.
        self.other.until(
            f"/^[2-9] of 10$/.test({output})"
            " && (document.querySelector('#progress button').click(), true)"
        )
        self.other.until(f"{output} === 'Cancelled.'")
        self.one.until(f"{output} === '/exports/10.csv'")
        self.assertEqual(self.one.run("document.querySelector('#progress progress').value"), 1)
        self.one.until("document.querySelector('#progress button').textContent === 'Begin'")
        self.one.run(PICK % 251)
        whole = bytes(at % 251 for at in range(1_000_000))
        result = "document.querySelector('#upload output').value"
        self.one.until(f"{result} !== ''")
        self.assertEqual(
            self.one.run(result), f"1000000 bytes, SHA-256 {sha256(whole).hexdigest()}"
        )
        self.assert_quiet()
