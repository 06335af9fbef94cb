"""Guests listen, members speak: on live objects, where their function has a `verify`."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Grant
from takotwist.core.authorization import REFUSED_SECONDS
from takotwist.live import BroadcastChannel, Channel, ClientEnd, function
from takotwist.testing.world import World
from tests.live.page import Page


class SpeakingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.heard: list[Any] = []
        #: What `verify` says to `publish`: an answer, or one to wait for.
        self.says: dict[str, Any] = {"member": True, "guest": False}

        async def may(request: Any) -> Any:
            who = request.header.value
            self.asked.append((who, request.operation))
            if request.operation != "publish":
                return Grant(subject=who)
            said = self.says[who]
            if isinstance(said, Exception):
                raise said
            return await said if isinstance(said, Deferred) else said

        @function(verify=may)
        async def on_talk() -> ClientEnd[Any, Any]:
            channel: Channel[Any, Any] = Channel()
            channel.listen(self.listen)
            return channel.client

        @function(verify=may)
        async def on_join() -> BroadcastChannel[Any]:
            return BroadcastChannel(key="room")

        @function
        async def on_open() -> ClientEnd[Any, Any]:
            channel: Channel[Any, Any] = Channel()
            channel.listen(self.listen)
            return channel.client

        self.world = World(functions=[on_talk, on_join, on_open])

    def listen(self, data: Any) -> str:
        self.heard.append(data)
        return "heard"

    def page(self, who: str) -> Page:
        page = Page(self.world, who[0] * 22, Authorization=who)
        page.connect()
        return page

    def asked_to_publish(self) -> list[str]:
        return [who for who, operation in self.asked if operation == "publish"]

    def test_channel(self) -> None:
        """The app is asked once, when the first message comes; who is refused is not heard."""
        for who, heard in (("member", [1, 2]), ("guest", [])):
            self.heard.clear()
            page = self.page(who)
            end = page.get("onTalk")
            self.assertNotIn(who, self.asked_to_publish())
            answered, plain = end.send(1, ack=True), end.send(2)
            page.pump()
            self.assertEqual(self.heard, heard)
            self.assertEqual(self.asked_to_publish().count(who), 1)
            self.assertEqual(answered.answered, who == "member")
            self.assertTrue(plain.sent)
            self.assertEqual(end.ended, [])
        assert answered.trouble is not None
        self.assertEqual(answered.trouble.message, "verify-rejected")

    def test_broadcast(self) -> None:
        """A guest hears what a member says, and is refused what it says itself."""
        guest, member = self.page("guest"), self.page("member")
        ears, mouth = guest.get("onJoin"), member.get("onJoin")
        ears.subscribe()
        guest.pump()
        refused, said = ears.publish("psst"), mouth.publish("hello")
        guest.pump()
        member.pump()
        guest.pump()
        self.assertEqual(refused.trouble and refused.trouble.message, "verify-rejected")
        self.assertTrue(said.answered)
        self.assertEqual(ears.heard, ["hello"])

    def test_order(self) -> None:
        """What comes while the app is asked waits in its order, the page's credit bounding it."""
        self.says["member"] = answer = Deferred()
        page = self.page("member")
        end = page.get("onTalk")
        for number in range(2000):
            end.send(number)
        page.pump()
        self.assertEqual(self.heard, [])
        [one] = list(self.world.live.sessions)
        assert one._permission is not None
        bound = self.world.config.live.window_messages
        self.assertEqual(len(one._permission._waiting), bound)
        answer.callback(True)
        page.pump()
        self.assertEqual(self.heard, list(range(2000)))

    def test_refusal_is_kept_for_a_while(self) -> None:
        """A guest that goes on is not a question each time, nor a line; and may become a member."""
        page = self.page("guest")
        end = page.get("onTalk")
        with capturedLogs() as events:
            for number in range(20):
                end.send(number)
            page.pump()
        lines = [one for one in events if "may not publish" in (one["log_format"] or "")]
        self.assertEqual((len(self.asked_to_publish()), len(lines)), (1, 1))
        self.says["guest"] = True
        for _ in range(int(REFUSED_SECONDS) + 1):
            self.world.advance(1)
            page.pump()
        end.send("now")
        page.pump()
        self.assertEqual(self.heard, ["now"])

    def test_failure_is_no_answer(self) -> None:
        """Where the app failed the message is refused as such, and the next one asks again."""
        self.says["member"] = ZeroDivisionError()
        page = self.page("member")
        end = page.get("onTalk")
        first = end.send(1, ack=True)
        page.pump()
        self.assertEqual(first.trouble and first.trouble.message, "auth-unavailable")
        self.says["member"] = True
        second = end.send(2, ack=True)
        page.pump()
        self.assertEqual((second.answer, self.heard), ("heard", [2]))

    def test_ended_meanwhile(self) -> None:
        """An object that has ended hears nothing more."""
        self.says["member"] = answer = Deferred()
        page = self.page("member")
        end = page.get("onTalk")
        end.send(1)
        page.pump()
        end.abort()
        page.pump()
        answer.callback(True)
        self.assertEqual(self.heard, [])

    def test_without_verify(self) -> None:
        """Nobody is asked about the objects of a function that anybody may call."""
        page = self.page("guest")
        end = page.get("onOpen")
        end.send(1)
        page.pump()
        self.assertEqual((self.heard, self.asked), ([1], []))
