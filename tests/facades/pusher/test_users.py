"""Users of Pusher's who have signed in."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.facades.pusher.here import KEY, Here, frame_data


class UserTests(SynchronousTestCase):
    """Who has signed in."""

    def test_own_channel(self) -> None:
        here = Here.of()
        ann, bob = here.connect(), here.connect()
        ann.say("pusher:subscribe", {"channel": "#server-to-user-ann"})
        self.assertEqual(ann.events[-1]["event"], "pusher:subscription_error")
        ann.sign_in({"id": "ann"})
        signed_in = ann.events[-1]
        self.assertEqual(signed_in["event"], "pusher:signin_success")
        self.assertEqual(frame_data(signed_in), {"user_data": '{"id": "ann"}'})
        ann.say("pusher:subscribe", {"channel": "#server-to-user-ann"})
        bob.sign_in({"id": "bob"})
        bob.say("pusher:subscribe", {"channel": "#server-to-user-ann"})
        here.trigger("#server-to-user-ann", "hi", "you")
        self.assertEqual(ann.events[-1]["data"], "you")
        self.assertEqual(bob.events[-1]["event"], "pusher:subscription_error")

    def test_forged(self) -> None:
        client = Here.of().connect()
        client.say("pusher:signin", {"auth": f"{KEY}:{'0' * 64}", "user_data": '{"id":"ann"}'})
        assert client.socket.close_reason is not None
        self.assertEqual(client.socket.close_reason[0], 4009)

    def test_terminate(self) -> None:
        here = Here.of()
        ann, bob = here.connect(), here.connect()
        ann.sign_in({"id": "ann"})
        bob.sign_in({"id": "bob"})
        for path in ("/apps/7/users/ann/terminate_connections", "/users/x/terminate_connections"):
            answer = here.api("POST", path, {})
            self.assertEqual((answer.status, answer.json), (200, {}))
        assert ann.socket.close_reason is not None
        self.assertEqual(ann.socket.close_reason[0], 4009)
        self.assertIs(bob.socket.close_reason, None)
