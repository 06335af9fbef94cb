"""The chat example in Chromium, over HTTPS, while things go wrong."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.browser.chat_page import ChatPage
from tests.browser.driven import Browser
from tests.browser.example_server import example_server
from tests.sockets.server_process import wait_until


def numbered(first: int, last: int) -> list[str]:
    """Texts that say which they are."""
    return [f"message {number}" for number in range(first, last + 1)]


class ChatTests(SynchronousTestCase):
    """Two tabs are in the lobby."""

    #: Seconds that the channel keeps messages for; 0 leaves the example's own.
    replay_window = 0

    def setUp(self) -> None:
        self.server = example_server("chat")
        self.addCleanup(self.server.close)
        if self.replay_window:
            rooms = self.server.folder / "channels" / "rooms.py"
            said = 'define_channel("rooms",'
            shorter = f"{said} replay_window={self.replay_window},"
            text = rooms.read_text()
            self.assertIn(said, text)
            rooms.write_text(text.replace(said, shorter))
        self.server.start()
        self.browser = Browser(self.server.authority)
        self.addCleanup(self.browser.close)
        self.one = ChatPage.entered(self.browser, self.server.tls_url)
        self.other = ChatPage.entered(self.browser, self.server.tls_url)

    def assert_all_have(self, texts: list[str]) -> None:
        """Both were told these, once and in order, and show them; nothing is on a console."""
        for tab in (self.one, self.other):
            self.assertEqual(tab.wait_told(len(texts)), texts)
            self.assertEqual(tab.shown, texts)
            self.assertEqual(tab.page.errors, [])
        self.server.assert_clean()


class PeopleTests(ChatTests):
    """Who is here, and who types."""

    def test_people(self) -> None:
        """Two tabs of one person are one; another comes, types, stops, and goes."""
        here = "document.getElementById('count').textContent"
        typing = "document.getElementById('typing').textContent"
        for tab in (self.one, self.other):
            tab.page.until(f"{here} === 'only you here'")
        another = Browser(self.server.authority)
        self.addCleanup(another.close)
        bob = another.open(self.server.tls_url)
        bob.until("document.getElementById('login')?.hidden === false")
        bob.run(
            """(document.querySelector("#login input").value = "bob",
            document.getElementById("login").requestSubmit())"""
        )
        for page in (self.one.page, self.other.page, bob):
            page.until(f"{here} === '2 people here'")
        bob.run("void document.getElementById('say').dispatchEvent(new Event('input'))")
        self.one.page.until(f"{typing} === 'bob is typing…'")
        self.one.page.until(f"{typing}.trim() === ''")
        bob.run("void (location.href = 'about:blank')")
        self.one.page.until(f"{here} === 'only you here'")
        for tab in (self.one, self.other):
            self.assertEqual(tab.page.errors, [])
        self.server.assert_clean()


class FaultTests(ChatTests):
    """Whatever happens, each message once and in order."""

    def test_restart(self) -> None:
        """The server is stopped, and started again a while later. What is said meanwhile is
        sent once it is back."""
        before, meanwhile, after = (numbered(n, n + 9) for n in (1, 11, 21))
        self.one.say(*before)
        self.one.wait_answered(10)
        self.server.stop()
        for tab in (self.one, self.other):
            tab.wait_state("reconnecting")
        self.one.say(*meanwhile)
        self.server.start()
        self.one.wait_answered(20)
        self.one.say(*after)
        self.one.wait_answered(30)
        self.assert_all_have(before + meanwhile + after)

    def test_kill(self) -> None:
        """The server is killed with kill -9 three times, each time in the middle of what is
        said."""
        texts = numbered(1, 60)
        for part in (texts[:20], texts[20:40], texts[40:]):
            self.one.say(*part)
            self.server.kill()
            self.server.start()
        self.one.wait_answered(60)
        self.assert_all_have(texts)

    def test_reload(self) -> None:
        """A tab that is reloaded shows what there was and goes on from there."""
        texts = numbered(1, 10)
        self.other.say(*texts[:5])
        self.other.wait_answered(5)
        self.one.page.reload()
        self.one.page.until("document.querySelectorAll('#messages li').length === 5")
        self.other.say(*texts[5:])
        self.one.page.until("document.querySelectorAll('#messages li').length === 10")
        self.assertEqual(self.one.shown, texts)
        self.assertEqual(self.one.page.errors, [])

    def test_offline(self) -> None:
        """The machine loses its network, the server's side of the connections ends meanwhile,
        and the network comes back."""
        texts = numbered(1, 30)
        self.other.say(*texts[:10])
        self.other.wait_answered(10)
        self.browser.offline(True)
        self.assertFalse(self.one.page.run("navigator.onLine"))
        self.other.say(*texts[10:20])
        self.server.kill()
        self.server.start()
        for tab in (self.one, self.other):
            tab.wait_state("reconnecting")
        self.browser.offline(False)
        self.other.say(*texts[20:])
        self.other.wait_answered(30)
        self.assert_all_have(texts)

    def test_frozen(self) -> None:
        """A tab is frozen while the other talks, and thawed."""
        texts = numbered(1, 20)
        self.one.page.freeze()
        self.other.say(*texts[:10])
        self.other.wait_answered(10)
        self.assertEqual(self.one.page.run("told.length"), 0, "a frozen page runs")
        self.one.page.thaw()
        self.assertEqual(self.one.wait_told(10), texts[:10])
        self.other.say(*texts[10:])
        self.assert_all_have(texts)

    def test_frozen_and_restarted(self) -> None:
        """The server is restarted while a tab is frozen, so its connection is gone when it
        is thawed."""
        texts = numbered(1, 20)
        self.one.page.freeze()
        self.other.say(*texts[:10])
        self.server.restart()
        self.other.say(*texts[10:])
        self.other.wait_answered(20)
        self.assertEqual(self.one.page.run("told.length"), 0, "a frozen page runs")
        self.one.page.thaw()
        self.assert_all_have(texts)


class ExpiredTests(ChatTests):
    """The channel keeps messages for two seconds."""

    replay_window = 2

    def test_gone(self) -> None:
        """A tab sleeps for longer than messages are kept. It is told so, says so, and loads
        what it missed from the app's own table."""
        texts = numbered(1, 10)
        self.one.page.freeze()
        self.other.say(*texts)
        self.other.wait_answered(10)
        self.server.restart()
        self.other.wait_state("open")
        kept = "/_tako/channels/rooms/history?roomId=lobby"

        def expired() -> bool:
            with self.server.private() as private:
                return private.get(kept).json()["messages"] == []

        wait_until(expired, "an empty window")
        self.one.page.thaw()
        told = self.one.page.until("told.length && told")
        self.assertEqual([one["type"] for one in told], ["tako.reset"])
        self.assertEqual(told[0]["text"], "replay-too-old")
        self.one.page.until("document.querySelectorAll('#messages li:not(.notice)').length === 10")
        self.assertEqual(self.one.shown, texts)
        self.assertEqual(len(self.one.notices), 1)
        self.assertEqual(self.one.page.errors, [])
        # It goes on live from there.
        self.other.say("message 11")
        self.one.page.until("told.length === 2")
        self.assertEqual(self.one.shown, [*texts, "message 11"])
