"""Arguments of a subscription: what is refused at once, and what a request is made of."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.machine.machine import Connect
from takotwist.client.machine.policy import Policy
from takotwist.client.options import SubscriptionOptions
from takotwist.client.target import Target
from takotwist.errors import Refusal


def options(**said: Any) -> SubscriptionOptions:
    """Options of the channel chat."""
    return SubscriptionOptions(
        **{
            "channel": "chat",
            "params": {"room": "a"},
            "cursor": None,
            "credentials": None,
            "on_gone": "reset",
            **said,
        }
    )


class OptionsTests(SynchronousTestCase):
    """`SubscriptionOptions`."""

    target = Target.of("https://example.com")

    def test_refused(self) -> None:
        """What would be refused at each connection alike is refused before the first."""
        for wrong in (
            {"channel": ""},
            {"cursor": "1\n2"},
            {"params": {"room": object()}},
        ):
            said: dict[str, Any] = dict(wrong)
            self.assertRaises(Refusal, lambda said=said: options(**said))
        for wrong in ({"on_gone": "stop"}, {"credentials": "a\nb"}, {"credentials": {"x y": "1"}}):
            said = dict(wrong)
            self.assertRaises(ValueError, lambda said=said: options(**said))

    def test_not_asked_yet(self) -> None:
        """Credentials that a callable gives are not asked for while nothing is connected."""
        asked: list[int] = []
        options(credentials=lambda: asked.append(1))
        self.assertEqual(asked, [])

    def test_not_shown(self) -> None:
        """No text of the options has the credentials."""
        self.assertNotIn("s3cret", repr(options(credentials="Bearer s3cret")))

    def test_event_stream(self) -> None:
        """A cursor is a header, as a browser sends it; credentials go where they are wanted."""
        one = options(header="x-token")
        url, headers = one.sse(self.target, Connect("sse", "17", True), "t")
        self.assertTrue(url.startswith("https://example.com/"))
        self.assertIn("room=a", url)
        self.assertEqual(headers, {"x-token": "t", "Last-Event-ID": "17"})
        url, headers = one.sse(self.target, Connect("sse", None, True), None)
        self.assertEqual(headers, {})

    def test_websocket(self) -> None:
        """A cursor is in the query, as a browser cannot set a header; so it is with a token
        that goes in the first frame."""
        url, headers = options().websocket(self.target, Connect("websocket", "17", True), "t")
        self.assertTrue(url.startswith("wss://example.com/"))
        self.assertIn("17", url)
        self.assertEqual(headers, {"authorization": "t"})
        framed = options(auth_frame=True)
        self.assertEqual(
            framed.websocket(self.target, Connect("websocket", None, True), "t")[1], {}
        )

    def test_presence_is_an_event_stream(self) -> None:
        """Who is at a topic is told over SSE, whatever is asked for."""
        machine = options(presence=True, transport="auto").machine(Policy(), lambda: 0.5)
        machine.started(0.0)
        [connect] = [one for one in machine.intents() if isinstance(one, Connect)]
        self.assertEqual(connect.carrier, "sse")

    def test_state(self) -> None:
        """The receive queue begins at the cursor, and is as long as the policy says."""
        state = options(cursor="5").subscription_state(Policy(buffer_messages=2), lambda: None)
        self.assertEqual(state.queue.cursor, "5")
        self.assertFalse(state.queue.full)
