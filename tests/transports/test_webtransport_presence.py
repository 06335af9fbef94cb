"""Who is here, over WebTransport in memory."""

from __future__ import annotations

from typing import Any

import msgspec

from takotwist import Grant, Presence, define_channel
from takotwist.core.roster_view import View
from tests.transports.test_webtransport import ChannelsCase, Session

CREW = {"channel": "crew", "params": {}}


class PresenceTests(ChannelsCase):
    """A token is a name, and who is away for two seconds has left."""

    def channels(self) -> list[Any]:
        crew = define_channel("crew", presence=Presence(grace=2), forward_unhandled=True)

        @crew.verify(header="authorization")
        async def verify(request: Any) -> Grant:
            return Grant(subject=request.header.value, info={"name": request.header.value})

        return [crew]

    def join(self, name: str) -> Session:
        session = self.session()
        session.send({"op": "subscribe", "ref": 1, "auth": name, **CREW})
        return session

    def watch(self, session: Session, name: str, **more: Any) -> None:
        frame = {"op": "subscribe", "ref": 2, "auth": name, "presence": True}
        session.send({**frame, **CREW, **more})

    def view(self, session: Session) -> tuple[View, list[tuple[str, str]]]:
        """What has been told, as a client reads it."""
        view, events = View(), []
        for frame in session.frames:
            if "op" not in frame and frame["type"].startswith("tako."):
                data = msgspec.json.encode(frame["data"])
                event = view.apply(int(frame["id"]), frame["type"], data)
                if event is not None:
                    events.append(event)
        return view, events

    def test_crew(self) -> None:
        """Who follows the topic is here; the list is whole when it says so, and then changes."""
        ada, bob = self.join("ada"), self.join("bob")
        self.net.pump(0.5)
        self.watch(ada, "ada")
        self.net.pump(0.5)
        [ack] = [frame for frame in ada.frames if frame.get("ref") == 2 and frame["op"] == "ack"]
        self.assertEqual((ack["subject"], ack["presence"]), ("ada", True))
        self.assertEqual(ada.frames[-1]["op"], "synced")
        view, _ = self.view(ada)
        self.assertEqual(sorted(view.members), ["ada", "bob"])
        bob.send({"op": "presence", "ref": 3, **CREW, "state": {"x": 1}})
        self.net.pump(0.5)
        self.assertEqual(bob.frames[-1], {"op": "ack", "ref": 3})
        view, events = self.view(ada)
        self.assertEqual(view.newest("bob").state, b'{"x":1}')
        self.assertEqual(events[-1], ("update", "bob"))

    def test_cut(self) -> None:
        """Who is cut off and back has not been away; who is not has left, once."""
        ada, bob = self.join("ada"), self.join("bob")
        self.watch(ada, "ada")
        self.net.pump(0.5)
        bob.client.quic.close()
        self.net.pump(1, 0.02)
        again = self.join("bob")
        self.net.pump(4, 0.02)
        self.assertEqual(self.view(ada)[1], [("join", "ada"), ("join", "bob")])
        again.client.quic.close()
        self.net.pump(4, 0.02)
        self.assertEqual(self.view(ada)[1][2:], [("leave", "bob")])
        ada.client.quic.close()
        self.net.pump(4, 0.02)
        self.assert_nothing_left()
        self.assertEqual(len(self.parts.presence), 0)

    def test_leaves(self) -> None:
        """Who unsubscribes leaves at once, and the roster is resumed by its cursor."""
        ada, bob = self.join("ada"), self.join("bob")
        self.watch(ada, "ada")
        self.net.pump(0.5)
        cursor = [frame["id"] for frame in ada.frames if "op" not in frame][-1]
        ada.send({"op": "unsubscribe", "ref": 5, **CREW, "presence": True})
        bob.send({"op": "unsubscribe", "ref": 6, **CREW})
        self.net.pump(0.5)
        self.watch(ada, "ada", cursor=cursor)
        self.net.pump(0.5)
        self.assertEqual(self.view(ada)[1][-1], ("leave", "bob"))
        self.assertEqual(ada.frames[-1]["op"], "synced")
