"""The server over HTTP/3 and WebTransport, over real UDP ports."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime
from typing import Any

import httpx
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from takotwist.core.roster_view import View
from takotwist.tls.certificate import short_lived_certificate
from tests.faults.presence_crowd import CROWD_CHANNEL
from tests.sockets.http3_client import Http3Client
from tests.sockets.server_process import CHANNELS, FAST, KEY, KEYS, ServerProcess, free_port
from tests.sockets.webtransport_client import ChannelsClient

ROOM = "roomId=a"


class Seen:
    """A body as it comes."""

    def __init__(self) -> None:
        self.data = b""
        self._waiting: list[tuple[bytes, Deferred[None]]] = []

    def came(self, data: bytes) -> None:
        """The next bytes."""
        self.data += data
        for one in [one for one in self._waiting if one[0] in self.data]:
            self._waiting.remove(one)
            one[1].callback(None)

    def until(self, part: bytes) -> Deferred[None]:
        """Fires when `part` has come."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append((part, waiting))
        self.came(b"")
        return waiting


class Http3Case(TestCase):
    """A server with a page and a certificate of its own."""

    timeout = 120
    config = ""

    def setUp(self) -> None:
        self.certificate = short_lived_certificate(["localhost"], now=datetime.now(UTC))
        self.udp_port = free_port(kind=socket.SOCK_DGRAM)
        self.server = self.make_server()
        self.addCleanup(self.server.close)
        self.server.write_config(
            f"{FAST}{self.config}{KEYS}\n"
            '[tls]\ncertificate = "cert.pem"\nkey = "key.pem"\n'
            f'[http3]\nlisten = ["udp:{self.udp_port}:interface=127.0.0.1"]\n'
            '[app]\npages = "pages"\n'
        )
        self.write_certificate()
        pages = self.server.folder / "pages"
        pages.mkdir()
        (pages / "hello.txt").write_text("hello over QUIC")
        self.server.start()

    def make_server(self) -> Any:
        """A server that is not started."""
        return ServerProcess(tls=True, channels={"rooms.py": CHANNELS, "crowd.py": CROWD_CHANNEL})

    def write_certificate(self) -> None:
        """Put the certificate where the server looks."""
        (self.server.folder / "cert.pem").write_bytes(self.certificate.certificate)
        (self.server.folder / "key.pem").write_bytes(self.certificate.key)

    def client(self, kind: Any = Http3Client) -> Any:
        """A connection."""
        client = kind(reactor, ("127.0.0.1", self.udp_port), self.certificate.certificate)
        reactor.listenUDP(0, client, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(client.close)
        return client

    async def publish(self, *texts: str) -> list[dict[str, Any]]:
        """Publish from elsewhere; the stored messages."""

        def post() -> Any:
            with self.server.private() as private:
                body = [{"type": "msg", "data": {"text": text}} for text in texts]
                return private.post(f"/channels/chat?{ROOM}", content=json.dumps(body)).json()

        return list(await deferToThread(post))


class SiteTests(Http3Case):
    """Plain requests."""

    async def test_requests(self) -> None:
        """Publish, history, and a file are answered over HTTP/3."""
        client = self.client()
        path = f"/channels/chat?{ROOM}"
        body = json.dumps({"type": "msg", "data": {"text": "one"}}).encode()
        status, refused = await client.request(path, body)
        self.assertEqual((status, json.loads(refused)["code"]), (401, "credentials-missing"))
        bearer = {"authorization": f"Bearer {KEY}"}
        status, stored = await client.request(path, body, fields=bearer)
        self.assertEqual((status, json.loads(stored)["data"]), (200, {"text": "one"}))
        status, page = await client.request(f"/channels/chat/history?{ROOM}&after=0")
        self.assertEqual((status, json.loads(page)["messages"]), (200, [json.loads(stored)]))
        self.assertEqual(await client.request("/hello.txt"), (200, b"hello over QUIC"))
        part = await client.request("/hello.txt", fields={"range": "bytes=6-9"})
        self.assertEqual(part, (206, b"over"))
        self.assertEqual((await client.request("/_tako/connect"))[0], 426)

    async def test_subscription(self) -> None:
        """A subscription over SSE gets its cursor, what was missed, and what comes."""
        [first] = await self.publish("before")
        seen, client = Seen(), self.client()
        answer = client.request(
            f"/channels/chat?{ROOM}", fields={"last-event-id": "0"}, on_data=seen.came
        )
        await seen.until(b"before")
        self.assertEqual(client.fields[b"content-type"], b"text/event-stream; charset=utf-8")
        self.assertIn(b"id: %d\ndata: " % int(first["id"]), seen.data)
        self.assertEqual(self.server.connected, 1)
        await self.publish("after")
        await seen.until(b"after")
        # A stop ends the stream, and is no error to its client.
        stopping = deferToThread(self.server.stop)
        self.assertEqual((await answer)[0], 200)
        self.assertEqual(await stopping, 0)
        self.server.assert_clean(KEY)

    async def test_announced(self) -> None:
        """Answers over TLS name the UDP port; those in the clear do not."""

        def ask() -> list[str | None]:
            headers = []
            for url in (self.server.tls_url, self.server.url):
                with httpx.Client(verify=False, timeout=60) as client:
                    headers.append(client.get(f"{url}/hello.txt").headers.get("alt-svc"))
            return headers

        self.assertEqual(await deferToThread(ask), [f'h3=":{self.udp_port}"; ma=86400', None])

    def test_port_in_use(self) -> None:
        """A port that somebody has is named, and nothing is served."""
        other = ServerProcess(tls=True)
        self.addCleanup(other.close)
        listen = f'[http3]\nlisten = ["udp:{self.udp_port}:interface=127.0.0.1"]\n'
        other.write_config(FAST + listen)
        other.start(ready=False)
        self.assertEqual(other.wait(), 1)
        self.assertIn("http3.listen: cannot listen: Address already in use", other.log)
        self.assertNotIn("Traceback", other.log)

    async def test_certificate_reload(self) -> None:
        """New connections get the renewed certificate."""
        old = self.client()
        self.assertEqual((await old.request("/hello.txt"))[0], 200)
        self.certificate = short_lived_certificate(["localhost"], now=datetime.now(UTC))
        self.write_certificate()
        await deferToThread(self.server.reload)
        self.assertEqual((await self.client().request("/hello.txt"))[0], 200)
        self.assertEqual((await old.request("/hello.txt"))[0], 200)


class KillTests(Http3Case):
    """A server that is killed, and the next one."""

    async def _restart(self) -> None:
        await deferToThread(self.server.kill)
        await deferToThread(self.server.start)

    async def test_who_listens(self) -> None:
        """A client that only listens is told without asking, and misses nothing."""
        seen, client = Seen(), self.client()
        path = f"/channels/chat?{ROOM}"
        client.request(path, fields={"last-event-id": "0"}, on_data=seen.came)
        [first] = await self.publish("before")
        await seen.until(b"before")
        await self._restart()
        await client.reset.addTimeout(60, reactor)  # type: ignore[arg-type]
        await self.publish("after")
        seen, client = Seen(), self.client()
        client.request(path, fields={"last-event-id": first["id"]}, on_data=seen.came)
        await seen.until(b"after")
        self.assertNotIn(b"before", seen.data)

    async def test_who_asks(self) -> None:
        """A client that is not written down any more is told when it says something."""
        client = self.client()
        self.assertEqual((await client.request("/hello.txt"))[0], 200)
        await client.settled()
        await deferToThread(self.server.kill)
        (self.server.folder / "state" / "quic-clients-0").unlink()
        await deferToThread(self.server.start)
        self.assertFalse(client.reset.called)
        client.ping()
        await client.reset.addTimeout(60, reactor)  # type: ignore[arg-type]

    async def test_who_was_told(self) -> None:
        """After a stop nobody is told again."""
        client = self.client()
        self.assertEqual((await client.request("/hello.txt"))[0], 200)
        await deferToThread(self.server.restart)
        self.assertEqual((await self.client().request("/hello.txt"))[0], 200)
        self.assertFalse(client.reset.called)
        for name in ("quic-reset.key", "quic-clients-0"):
            self.assertEqual((self.server.folder / "state" / name).stat().st_mode & 0o777, 0o600)


class ChannelTests(Http3Case):
    """Channels over WebTransport."""

    config = '[http]\nallowed_origins = ["https://app.example"]\n'

    async def test_publish_and_receive(self) -> None:
        """A client follows a room, publishes into it, and gets what others publish."""
        client = self.client(ChannelsClient)
        self.assertEqual(await client.open(origin="https://app.example"), 200)
        self.assertEqual(client.fields[b"wt-protocol"], b'"tako.v1"')
        room = {"channel": "chat", "params": {"roomId": "a"}}
        client.send({"op": "subscribe", "ref": 1, **room})
        opened = await client.receive()
        self.assertEqual(opened["op"], "open")
        self.assertEqual((await client.receive())["op"], "ack")
        client.send({"op": "publish", "ref": 2, "type": "msg", "data": {"text": "ä\n"}, **room})
        frames = [await client.receive(), await client.receive()]
        [ack] = [frame for frame in frames if "op" in frame]
        [message] = [frame for frame in frames if "op" not in frame]
        self.assertEqual((ack["ref"], ack["id"]), (2, message["id"]))
        self.assertEqual(message["data"], {"text": "ä\n"})
        [other] = await self.publish("from elsewhere")
        self.assertEqual(await client.receive(), {**other, "params": {"roomId": "a"}})

    async def test_resume(self) -> None:
        """After a cut a client gets what it missed, once each and in order."""
        room = {"channel": "chat", "params": {"roomId": "a"}}
        first = self.client(ChannelsClient)
        await first.open()
        first.send({"op": "subscribe", "ref": 1, **room})
        await first.receive()
        cursor = (await first.receive())["cursor"]
        await first.close()
        missed = await self.publish(*map(str, range(500)))
        second = self.client(ChannelsClient)
        await second.open()
        second.send({"op": "subscribe", "ref": 1, "cursor": cursor, **room})
        self.assertEqual((await second.receive())["op"], "open")
        self.assertEqual((await second.receive())["op"], "ack")
        ids = [(await second.receive())["id"] for _ in missed]
        self.assertEqual(ids, [one["id"] for one in missed])

    async def test_presence(self) -> None:
        """A client is a member by its session, sees who else is, and leaves with it."""
        ada, bob = self.client(ChannelsClient), self.client(ChannelsClient)
        for client, name in ((ada, "ada"), (bob, "bob")):
            await client.open()
            client.send({"op": "subscribe", "ref": 1, "channel": "crowd", "auth": name})
            self.assertEqual((await client.receive())["op"], "open")
            self.assertEqual((await client.receive())["op"], "ack")
        roster = {"op": "subscribe", "ref": 2, "channel": "crowd", "presence": True}
        ada.send({**roster, "auth": "ada"})
        view, events = View(), []

        async def until(event: tuple[str, str]) -> None:
            while event not in events:
                frame = await ada.receive()
                if "op" not in frame:
                    data = json.dumps(frame["data"]).encode()
                    told = view.apply(int(frame["id"]), frame["type"], data)
                    events.append(told or ("", ""))

        await until(("join", "bob"))
        bob.send({"op": "presence", "ref": 3, "channel": "crowd", "state": {"x": 1}})
        await until(("update", "bob"))
        self.assertEqual(view.newest("bob").state, b'{"x": 1}')
        await bob.close()
        # After the grace, as nobody can tell a cut from a page that was closed.
        await until(("leave", "bob"))
        self.assertEqual(sorted(view.members), ["ada"])

    async def test_origin(self) -> None:
        """A page from elsewhere gets 403 and no session."""
        client = self.client(ChannelsClient)
        self.assertEqual(await client.open(origin="https://evil.example"), 403)

    async def test_stop(self) -> None:
        """A stop closes the session with the code that says to come back."""
        client = self.client(ChannelsClient)
        await client.open()
        await client.receive()
        stopping = deferToThread(self.server.stop)
        self.assertEqual(await client.closed, (1001, "shutting-down"))
        self.assertEqual(await stopping, 0)
        self.server.assert_clean()
