"""Clients and libraries for the Pusher protocol that other people wrote, none of them changed.

``pusher-js`` and Laravel Echo in Node, and the libraries of npm and PyPI for servers.  Rule: each
is used as its own page shows it, and does not know this project; only the host is ours.
"""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pusher
from pusher.errors import PusherBadAuth, PusherBadRequest
from twisted.trial.unittest import SynchronousTestCase

from tests.sockets.server_process import FAST, ServerProcess, wait_until

FOLDER = Path(__file__).with_name("pusher_clients")
INSTALL = Path(__file__).parents[2] / "clients" / "js" / "install"

ID, KEY, SECRET = "7", "key-of-the-tests", "secret-of-the-tests"

APP = f"""
[pusher.apps.main]
id = "{ID}"
key = "{KEY}"
secret = "{SECRET}"
client_events = true
"""

SUCCEEDED = "pusher:subscription_succeeded"


class Clients:
    """A process with clients and a library of npm.

    :ivar said: what it has printed, read.
    """

    def __init__(self, port: int, log: Path, secret: str = SECRET) -> None:
        self.said: list[dict[str, Any]] = []
        self._log, self._count = log, 0
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                ["node", "clients.mjs", str(port), ID, KEY, secret],
                cwd=FOLDER,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said.append(json.loads(line))

    def do(self, what: str, **more: object) -> None:
        """Give a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, **more}) + "\n")
        self._process.stdin.flush()

    def ask(self, what: str, **more: object) -> Any:
        """Give a command to the library; its answer."""
        self._count += 1
        mine = self._count
        self.do(what, n=mine, **more)
        [answer] = self.until(lambda: [one for one in self.said if one.get("n") == mine])
        return answer.get("answer", answer)

    def until(self, true: Callable[[], Any]) -> Any:
        """Wait."""
        try:
            return wait_until(true, "the clients have got it")
        except AssertionError as late:
            raise AssertionError(f"{late}: {self.said[-20:]}, {self._log.read_text()}") from None

    def events(self, user: str, channel: str) -> list[tuple[str, Any]]:
        """What a client was given on a channel."""
        return [
            (one["event"], one.get("data"))
            for one in list(self.said)
            if one.get("user") == user and one.get("channel") == channel
        ]

    def got(self, user: str, channel: str, event: str) -> Any:
        """Wait for an event; its data."""
        found = self.until(
            lambda: [data for name, data in self.events(user, channel) if name == event]
        )
        return found[-1]

    def states(self, user: str) -> list[str]:
        """The states of a client's connection."""
        return [
            one["state"] for one in list(self.said) if one.get("user") == user and "state" in one
        ]

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._reading.join()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


class PusherCase(SynchronousTestCase):
    """One server, and clients of npm.

    :cvar more: of its configuration.
    """

    more: ClassVar[str] = ""

    def setUp(self) -> None:
        # Trial calls no `setUpClass`; where it was done this is nothing.
        subprocess.run(["sh", str(INSTALL), str(FOLDER)], check=True, timeout=300)
        self.server = ServerProcess(FAST + self.more + APP)
        self.addCleanup(self.server.close)
        self.server.start(ready=False)
        self.server.wait_ready(60)
        self.clients = self.more_clients()

    def more_clients(self, secret: str = SECRET) -> Clients:
        """Another process of them."""
        clients = Clients(self.server.port, self.server.folder / "clients.log", secret)
        self.addCleanup(clients.close)
        return clients

    def library(self, secret: str = SECRET) -> Any:
        """A library for servers: the Python one."""
        of = {"app_id": ID, "key": KEY, "secret": secret, "timeout": 60}
        return pusher.Pusher(**of, host="127.0.0.1", port=self.server.port, ssl=False)

    def connect(self, *users: str) -> None:
        """Clients, connected."""
        for user in users:
            self.clients.do("connect", user=user)
            self.clients.until(lambda user=user: self.clients.states(user)[-1:] == ["connected"])

    def follow(self, user: str, name: str) -> Any:
        """Have a client follow a channel; what it is told."""
        self.clients.do("subscribe", user=user, name=name)
        return self.clients.got(user, name, SUCCEEDED)


class PusherJsTests(PusherCase):
    """``pusher-js``."""

    def test_channels(self) -> None:
        """Public, private and presence channels, and events of both backends."""
        self.connect("ann", "bob")
        self.follow("ann", "news")
        self.follow("ann", "private-x")
        self.assertEqual(self.follow("ann", "presence-x"), {"ann": {"name": "user ann"}})
        members = self.follow("bob", "presence-x")
        self.assertEqual(members, {name: {"name": f"user {name}"} for name in ("ann", "bob")})
        added = self.clients.got("ann", "presence-x", "pusher:member_added")
        self.assertEqual(added, {"id": "bob", "info": {"name": "user bob"}})
        answer = self.clients.ask(
            "trigger", channels=["news", "private-x"], event="hi", data={"n": 1}
        )
        self.assertEqual(answer, 200)
        for name in ("news", "private-x"):
            self.assertEqual(self.clients.got("ann", name, "hi"), {"n": 1})
        self.clients.do("disconnect", user="bob")
        removed = self.clients.got("ann", "presence-x", "pusher:member_removed")
        self.assertEqual(removed["id"], "bob")

    def test_order(self) -> None:
        """What is triggered one after the other comes in that order, after the success."""
        self.connect("ann")
        self.clients.do("subscribe", user="ann", name="news")
        for number in range(50):
            self.clients.ask("trigger", channels="news", event="n", data=number)
        self.clients.until(lambda: len(self.clients.events("ann", "news")) >= 51)
        events = self.clients.events("ann", "news")
        self.assertEqual(events[0][0], SUCCEEDED)
        self.assertEqual([data for name, data in events[1:]], list(range(50)))

    def test_client_events(self) -> None:
        self.connect("ann", "bob")
        for user in ("ann", "bob"):
            self.follow(user, "private-x")
        self.clients.do(
            "say", user="ann", name="private-x", event="client-typing", data={"on": True}
        )
        self.assertEqual(self.clients.got("bob", "private-x", "client-typing"), {"on": True})
        self.assertEqual(len(self.clients.events("ann", "private-x")), 1)

    def test_user(self) -> None:
        """Sign-in, an event for a user, and the end of the user's connections."""
        self.connect("ann")
        self.clients.do("signin", user="ann")
        said = self.clients.said
        self.clients.until(
            lambda: any(one.get("global") == "pusher:signin_success" for one in said)
        )

        def sent() -> bool:
            # The library follows the user's channel by itself, a moment after it has signed in.
            self.clients.ask("send", to="ann", event="hello", data={"n": 1})
            return any(one.get("own") == "hello" for one in said)

        self.clients.until(sent)
        self.assertEqual(self.clients.ask("terminate", to="ann"), 200)
        self.clients.until(lambda: self.clients.states("ann")[-1] == "disconnected")
        time.sleep(1.5)
        self.assertEqual(self.clients.states("ann")[-1], "disconnected")

    def test_cache(self) -> None:
        self.clients.ask("trigger", channels="cache-x", event="price", data=3)
        self.connect("ann")
        self.follow("ann", "cache-x")
        self.assertEqual(self.clients.got("ann", "cache-x", "price"), 3)
        self.clients.do("subscribe", user="ann", name="cache-y")
        self.clients.got("ann", "cache-y", "pusher:cache_miss")

    def test_refused(self) -> None:
        """A forged signature, and an app that is not there."""
        forging = self.more_clients("another-secret")
        forging.do("connect", user="eve")
        forging.do("subscribe", user="eve", name="private-x")
        error = forging.got("eve", "private-x", "pusher:subscription_error")
        self.assertEqual((error["type"], error["status"]), ("AuthError", 401))

    def test_restart(self) -> None:
        """A server that stops is come back to after a second, and channels are followed again."""
        self.connect("ann")
        self.follow("ann", "news")
        self.server.stop()
        self.server.start()
        self.clients.until(lambda: len(self.clients.events("ann", "news")) == 2)
        times = [one["at"] for one in self.clients.said if one.get("state") == "connected"]
        self.assertGreater(times[-1] - times[-2], 500)
        self.clients.ask("trigger", channels="news", event="hi", data=1)
        self.assertEqual(self.clients.got("ann", "news", "hi"), 1)


class RollingRestartTests(PusherCase):
    """Two workers that are replaced one after the other, under many clients."""

    more = "drain_seconds = 3\n\n[server]\nworkers = 2\n"

    def test_no_stampede(self) -> None:
        """Each is back after a second, few at once, and follows its channel again."""
        count = 240
        self.clients.ask("crowd", count=count, name="news")

        def crowd() -> list[list[tuple[str, int]]]:
            states: list[list[tuple[str, int]]] = self.clients.ask("states")["crowd"]
            return states

        def all_connected(times: int) -> bool:
            names = [[name for name, _ in one] for one in crowd()]
            return all(one.count("connected") >= times for one in names)

        self.clients.until(lambda: all_connected(1))
        self.server.signal(signal.SIGUSR2)
        wait_until(lambda: "rolling restart: done" in self.server.log, "it is done", 90)
        self.clients.until(lambda: all_connected(2))
        waited, cut = [], []
        for states in crowd():
            for (name, since), (after, at) in itertools.pairwise(states):
                self.assertNotIn(name, ("disconnected", "failed", "unavailable"))
                if name == "cut":
                    self.assertEqual(after, "connecting")
                    waited.append(at - since)
                    cut.append(since)
        # Each of them, by a wait that 4200 would not have given it.
        self.assertGreaterEqual(len(waited), count)
        self.assertGreater(min(waited), 900)
        # A worker that ends all at once does it within two of these.
        self.assertGreater(len({at // 100 for at in cut}), 6)
        followers = self.library()
        self.clients.until(
            lambda: (
                followers.channel_info("news", ["subscription_count"])["subscription_count"]
                == count
            )
        )


class WorkersTests(PusherCase):
    """Several processes behind one port."""

    more = "\n[server]\nworkers = 3\n"

    def test_members(self) -> None:
        """Whichever process a client has come to, it has the list of all, and hears of each."""
        users = [f"u{number}" for number in range(8)]
        self.connect(*users)
        for user in users:
            self.follow(user, "presence-x")

        def members(user: str) -> list[str]:
            return sorted(self.clients.ask("members", user=user, name="presence-x"))

        for user in users:
            self.clients.until(lambda user=user: members(user) == users)
        self.clients.do("say", user="u0", name="presence-x", event="client-hi", data={"n": 1})
        for user in users[1:]:
            self.assertEqual(self.clients.got(user, "presence-x", "client-hi"), {"n": 1})
        self.clients.do("disconnect", user="u7")
        for user in users[:7]:
            self.clients.until(lambda user=user: members(user) == users[:7])
        library = self.library()
        for number in range(6):
            library.trigger("presence-x", "n", number)
        for user in users[:7]:
            self.clients.until(
                lambda user=user: (
                    [data for name, data in self.clients.events(user, "presence-x") if name == "n"]
                    == list(range(6))
                )
            )
        info = library.channel_info("presence-x", ["user_count", "subscription_count"])
        self.assertEqual(info, {"occupied": True, "user_count": 7, "subscription_count": 7})


class EchoTests(PusherCase):
    """Laravel Echo."""

    def test_echo(self) -> None:
        clients, said = self.clients, self.clients.said

        def heard(user: str, what: str) -> Any:
            found = clients.until(
                lambda: [one[what] for one in list(said) if one.get("echo") == user and what in one]
            )
            return found[-1]

        clients.do("echo", user="ann")
        self.assertEqual(heard("ann", "here"), [{"name": "user ann"}])
        clients.do("echo", user="bob")
        heard("bob", "here")
        heard("bob", "ready")
        self.assertEqual(heard("ann", "joining"), {"name": "user bob"})
        clients.ask("trigger", channels="orders", event="shipped", data={"id": 7})
        self.assertEqual(heard("ann", "shipped"), {"id": 7})
        clients.ask("trigger", channels="orders", event="App\\Events\\OrderPaid", data={"id": 8})
        self.assertEqual(heard("bob", "paid"), {"id": 8})
        heard("ann", "ready")
        clients.do("whisper", user="bob", data={"typing": True})
        self.assertEqual(heard("ann", "whisper"), {"typing": True})
        clients.do("leave", user="bob")
        self.assertEqual(heard("ann", "leaving"), {"name": "user bob"})


class LibraryTests(PusherCase):
    """Libraries for servers, and what our own readers see of it."""

    def test_python(self) -> None:
        library = self.library()
        self.connect("ann", "bob")
        self.follow("ann", "news")
        self.follow("bob", "presence-e")
        self.assertEqual(library.trigger(["news"], "hi", {"text": "né\u20ac"}), {})
        self.assertEqual(self.clients.got("ann", "news", "hi"), {"text": "né\u20ac"})
        batch = [{"channel": "news", "name": "b", "data": n} for n in (1, 2)]
        self.assertEqual(library.trigger_batch(batch), {})
        self.clients.until(lambda: len(self.clients.events("ann", "news")) == 4)
        self.assertEqual(library.channels_info(), {"channels": {"news": {}, "presence-e": {}}})
        counted = library.channels_info("presence-", ["user_count"])
        self.assertEqual(counted, {"channels": {"presence-e": {"user_count": 1}}})
        one = library.channel_info("news", ["subscription_count"])
        self.assertEqual(one, {"occupied": True, "subscription_count": 1})
        self.assertEqual(library.users_info("presence-e"), {"users": [{"id": "bob"}]})
        self.clients.do("signin", user="ann")
        said = self.clients.said
        self.clients.until(
            lambda: any(one.get("global") == "pusher:signin_success" for one in said)
        )
        self.assertEqual(library.terminate_user_connections("ann"), {})
        self.clients.until(lambda: self.clients.states("ann")[-1] == "disconnected")

    def test_python_refused(self) -> None:
        self.assertRaises(PusherBadAuth, self.library("other").trigger, "news", "hi", 1)
        self.assertRaises(PusherBadRequest, self.library().users_info, "news")

    def test_npm(self) -> None:
        self.connect("ann")
        self.follow("ann", "news")
        asked = {"info": "subscription_count"}
        answer = self.clients.ask("trigger", channels=["news"], event="a", data={}, params=asked)
        self.assertEqual(answer, 200)
        batch = [{"channel": "news", "name": "b", "data": {"n": 1}}]
        self.assertEqual(self.clients.ask("batch", events=batch), 200)
        self.assertEqual(self.clients.got("ann", "news", "b"), {"n": 1})
        found = self.clients.ask("get", path="/channels", params={"filter_by_prefix": "ne"})
        self.assertEqual(found, {"channels": {"news": {}}})
        found = self.clients.ask("get", path="/channels/news", params=asked)
        self.assertEqual(found, {"occupied": True, "subscription_count": 1})
        refused = self.clients.ask("get", path="/channels/news/users", params={})
        self.assertEqual(refused["status"], 400)
        too_large = self.clients.ask("trigger", channels="news", event="a", data="x" * 10_241)
        self.assertEqual(too_large["status"], 413)

    def test_our_readers(self) -> None:
        """What a library of Pusher's has triggered is resumed by anybody with curl."""
        for number in (1, 2):
            self.library().trigger("news", "hi", {"n": number})
        url = f"{self.server.url}/channels/pusher/history?app=main&name=news"
        read = httpx.get(url, timeout=60).json()["messages"]
        self.assertEqual(
            [(one["type"], one["data"]) for one in read], [("hi", {"n": 1}), ("hi", {"n": 2})]
        )
