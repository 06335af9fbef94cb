"""The example apps, run as their readers run them, and asked as the server asks them."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import treq
from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent
from twisted.web.resource import Resource
from twisted.web.server import Site

from takotwist.adapters.app_agent import app_agent
from takotwist.adapters.app_client import AppAddress, AppClient
from takotwist.adapters.authorize_http import HttpAuthorizer, HttpRegistry
from takotwist.core.authorization import AuthRequest, Fanout, Frame, HeaderCredential
from takotwist.core.channel import ChannelDefinition
from takotwist.errors import BodyInvalid, VerifyRejected

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
TOKEN = "between-us"
clock: Any = reactor

#: Serves Django's application as any WSGI server would, at a free port.
WSGIREF = (
    "from wsgiref.simple_server import make_server\n"
    "from project.wsgi import application\n"
    "server = make_server('127.0.0.1', 0, application)\n"
    "print(f'http://127.0.0.1:{server.server_port}', flush=True)\n"
    "server.serve_forever()\n"
)


class _Running(ProcessProtocol):
    """An app's process: where it listens, and when it has ended."""

    def __init__(self) -> None:
        self.url: Deferred[str] = Deferred()
        self.ended: Deferred[None] = Deferred()
        self.output = b""

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self.output += data
        found = re.search(rb"http://127\.0\.0\.1:[1-9]\d*", self.output)
        if found and not self.url.called:
            self.url.callback(found[0].decode())

    def processEnded(self, reason: Failure) -> None:
        if not self.url.called:
            self.url.errback(Exception(self.output.decode()))
        self.ended.callback(None if reason.check(ProcessDone, ProcessTerminated) else reason)


class _Server(Resource):
    """Where the app publishes to: remembers what came and answers as a server does."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.published: list[tuple[bytes, bytes]] = []

    def render_POST(self, request: Any) -> bytes:
        body = request.content.read()
        self.published.append((request.uri, body))
        return body.replace(b'[{"type"', b'[{"id":"17","channel":"c","type"')


class _Quiet(Site):
    def log(self, request: object) -> None:
        """Nothing."""


class AppElsewhereCase(TestCase):
    """One example, running."""

    timeout = 120
    folder: str
    arguments: tuple[str, ...]

    async def setUp(self) -> None:
        self.server = _Server()
        port = await serverFromString(clock, "tcp:0:interface=127.0.0.1").listen(
            _Quiet(self.server)
        )
        self.addCleanup(port.stopListening)
        self.running = _Running()
        environment = {
            **os.environ,
            "TAKO_APP_TOKEN": TOKEN,
            "TAKO_PUBLISH_URL": f"http://127.0.0.1:{port.getHost().port}",
            "PYTHONPATH": str(EXAMPLES.parent),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        process = clock.spawnProcess(
            self.running,
            sys.executable,
            [sys.executable, *self.arguments],
            env=environment,
            path=str(EXAMPLES / self.folder),
        )
        self.addCleanup(lambda: self.running.ended)
        self.addCleanup(process.signalProcess, "KILL")
        self.url = await self.running.url
        agent, address, pool = app_agent(clock, self.url)
        self.addCleanup(pool.closeCachedConnections)
        client = AppClient(
            AppAddress(url=address, name="demo", token=TOKEN), agent, clock, lambda: 0.5
        )
        self.authorizer = HttpAuthorizer(client)
        self.registry = HttpRegistry(client, clock)

    async def definition(self) -> ChannelDefinition:
        """The one channel of the example, as its registry says."""
        await self.registry.reload()
        (defined,) = self.registry.defined
        return defined.definition

    async def post(self, path: str, **named: Any) -> Any:
        """Post to the app itself, as a browser does."""
        client = HTTPClient(Agent(clock))
        response = await client.post(f"{self.url}{path}", reactor=clock, **named)
        self.cookies = {cookie.name: cookie.value for cookie in response.cookies()}
        self.assertEqual(response.code, 200, await treq.text_content(response))
        return await treq.json_content(response)

    async def forbidden(self, request: AuthRequest) -> None:
        with self.assertRaises(VerifyRejected):
            await self.authorizer.authorize(request)


class TestFastAPI(AppElsewhereCase):
    folder = "fastapi"
    arguments = ("-m", "uvicorn", "main:app", "--port", "0")

    async def test_example(self) -> None:
        """Rooms under uvicorn: coroutines decide, stamp frames, and publish."""
        definition = await self.definition()
        self.assertEqual(definition.params.names, ("roomId",))
        self.assertTrue(definition.bidirectional)

        def asks(token: str, room: str) -> AuthRequest:
            return AuthRequest(
                "chat", "connect", {"roomId": room}, HeaderCredential(token, "Bearer")
            )

        grant = await self.authorizer.authorize(asks("token-of-alice", "staff"))
        self.assertEqual(grant.subject, "alice")
        await self.forbidden(asks("token-of-bob", "staff"))
        await self.forbidden(asks("nonsense", "lobby"))
        sent = Frame("chat", {"roomId": "lobby"}, "msg", b'{"text":"hi","author":"eve"}', "bob")
        self.assertEqual(
            await self.authorizer.dispatch(sent), Fanout(b'{"author":"bob","text":"hi"}')
        )
        with self.assertRaises(BodyInvalid):
            await self.authorizer.dispatch(Frame("chat", {"roomId": "a"}, "msg", b"{}", "bob"))
        answer = await self.post(
            "/rooms/lobby/messages",
            json={"text": "hi"},
            headers={"Authorization": "Bearer token-of-alice"},
        )
        self.assertEqual(answer, {"id": "17"})
        self.assertEqual(
            self.server.published,
            [
                (
                    b"/_tako/channels/chat?roomId=lobby",
                    b'[{"type":"msg","data":{"author":"alice","text":"hi"}}]',
                )
            ],
        )


class TestFlask(AppElsewhereCase):
    folder = "flask"
    arguments = ("-m", "flask", "--app", "app", "run", "--port", "0")

    async def test_example(self) -> None:
        """Scores under Werkzeug: the app's own cookie lets watchers in."""
        definition = await self.definition()
        self.assertFalse(definition.bidirectional)
        self.assertEqual(definition.lifecycle.replay_window_ms, 3_600_000)
        await self.forbidden(AuthRequest("scores", "subscribe", {"game": 7}, None, "forged"))
        await self.post("/login/alice")
        request = AuthRequest("scores", "subscribe", {"game": 7}, None, self.cookies["user"])
        self.assertEqual((await self.authorizer.authorize(request)).subject, "alice")
        answer = await self.post("/games/7/score", json={"home": 1, "away": 0})
        self.assertEqual(answer, {"id": "17"})
        self.assertEqual(
            self.server.published,
            [(b"/_tako/channels/scores?game=7", b'[{"type":"score","data":{"home":1,"away":0}}]')],
        )


class TestDjango(AppElsewhereCase):
    folder = "django"
    arguments = ("-c", WSGIREF)

    async def test_example(self) -> None:
        """Orders under WSGI: the Django session decides whose order may be watched."""
        self.assertEqual((await self.definition()).params.names, ("number",))
        await self.post("/login/alice")
        session = self.cookies["sessionid"]
        request = AuthRequest("orders", "subscribe", {"number": 1}, None, session)
        self.assertEqual((await self.authorizer.authorize(request)).subject, "alice")
        await self.forbidden(AuthRequest("orders", "subscribe", {"number": 2}, None, session))
        await self.forbidden(AuthRequest("orders", "subscribe", {"number": 1}, None, "forged"))
        answer = await self.post("/orders/1/state", data={"state": "packed"})
        self.assertEqual(answer, {"id": "17"})
        self.assertEqual(
            self.server.published,
            [(b"/_tako/channels/orders?number=1", b'[{"type":"state","data":{"state":"packed"}}]')],
        )
