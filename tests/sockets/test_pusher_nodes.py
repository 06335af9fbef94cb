"""Clients of Pusher's at several nodes, none of them changed: to them it is one server."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.sockets.nodes import Nodes, Postgres, Workers
from tests.sockets.test_pusher_clients import APP, FOLDER, INSTALL, SUCCEEDED, Clients

COUNT = "pusher:subscription_count"


class NodesCase:
    """Ann at one node and Bob at another, each with a library for servers beside.

    :cvar kind: the engine.
    """

    kind: Callable[..., Nodes]

    def setUp(self: Any) -> None:
        subprocess.run(["sh", str(INSTALL), str(FOLDER)], check=True, timeout=300)
        self.nodes = type(self).kind(f"{APP}subscription_count = true\n", {})
        self.addCleanup(self.nodes.close)
        self.nodes.start()
        self.folder = Path(self.mktemp())
        self.folder.mkdir(parents=True)
        self.ann = self.come(0, "ann", other_than="")
        self.bob = self.come(1, "bob", other_than=self.node_of(self.ann, "ann"))

    def come(self: Any, number: int, user: str, other_than: str) -> Clients:
        """A client at a node, which is not this one."""
        clients = Clients(self.nodes.port(number), self.folder / f"{user}.log")
        self.addCleanup(clients.close)
        for _ in range(40):
            clients.do("connect", user=user)
            clients.until(lambda: clients.states(user)[-1:] == ["connected"])
            if self.node_of(clients, user) != other_than:
                return clients
            clients.do("disconnect", user=user)
            clients.until(lambda: clients.states(user)[-1:] == ["disconnected"])
        raise AssertionError("always the same node")

    @staticmethod
    def node_of(clients: Clients, user: str) -> str:
        """The process that a client has come to, as its socket id begins."""
        id: str = clients.ask("socket", user=user)["id"]
        return id.partition(".")[0]

    def follow(self: Any, *names: str) -> None:
        """Have both follow channels."""
        for clients, user in ((self.ann, "ann"), (self.bob, "bob")):
            for name in names:
                clients.do("subscribe", user=user, name=name)
                clients.got(user, name, SUCCEEDED)

    def test_one_server(self: Any) -> None:
        """What is triggered at one node, members, client events, counts, and a user's end."""
        ann, bob = self.ann, self.bob
        self.follow("news", "private-x", "presence-x")
        # Members of both.
        for clients, user in ((ann, "ann"), (bob, "bob")):
            clients.until(
                lambda c=clients, u=user: (
                    sorted(c.ask("members", user=u, name="presence-x")) == ["ann", "bob"]
                )
            )
        # Both backends, each at the node of its client; one is left out by its socket.
        self.assertEqual(ann.ask("trigger", channels="news", event="hi", data={"n": 1}), 200)
        self.assertEqual(bob.got("bob", "news", "hi"), {"n": 1})
        socket_id = ann.ask("socket", user="ann")["id"]
        params = {"socket_id": socket_id}
        bob.ask("trigger", channels="news", event="but", data=2, params=params)
        bob.ask("trigger", channels="news", event="then", data=3)
        self.assertEqual(ann.got("ann", "news", "then"), 3)
        self.assertEqual(bob.got("bob", "news", "but"), 2)
        self.assertEqual([one for one in ann.events("ann", "news") if one[0] == "but"], [])
        # Client events.
        ann.do("say", user="ann", name="private-x", event="client-typing", data={"on": True})
        self.assertEqual(bob.got("bob", "private-x", "client-typing"), {"on": True})
        # Counts, as clients and libraries are told.
        for clients, user in ((ann, "ann"), (bob, "bob")):
            clients.until(
                lambda c=clients, u=user: (COUNT, {"subscription_count": 2}) in c.events(u, "news")
            )
            path = "/channels/news"
            asked = {"info": "subscription_count"}
            self.assertEqual(
                clients.ask("get", path=path, params=asked),
                {"occupied": True, "subscription_count": 2},
            )
        # A user's connections are ended from the other node.
        bob.do("signin", user="bob")
        bob.until(lambda: any(one.get("global") == "pusher:signin_success" for one in bob.said))
        self.assertEqual(ann.ask("terminate", to="bob"), 200)
        bob.until(lambda: bob.states("bob")[-1] == "disconnected")
        removed = ann.got("ann", "presence-x", "pusher:member_removed")
        self.assertEqual(removed["id"], "bob")
        ann.until(lambda: (COUNT, {"subscription_count": 1}) in ann.events("ann", "news"))
        for server in self.nodes.servers:
            server.assert_clean()


class WorkersTests(NodesCase, SynchronousTestCase):
    """Two workers."""

    kind = Workers


class PostgresTests(NodesCase, SynchronousTestCase):
    """Two servers on one PostgreSQL."""

    kind = Postgres
