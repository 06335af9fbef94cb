"""The internal endpoints of an app: who is answered, and around which framework."""

from __future__ import annotations

import asyncio
import io
import json
import os
import threading
from typing import Any

from fastapi import FastAPI
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Channel, define_channel
from takotwist.app import asgi, wsgi
from takotwist.app.endpoints import MAX_BODY_BYTES, InternalEndpoints
from takotwist.errors import ConfigError, DefinitionError

TOKEN = "between-us"
QUESTION = b'{"channel":"chat","operation":"subscribe","params":{}}'


def chat() -> Channel[Any]:
    channel = define_channel("chat")
    channel.verify(lambda request: {"subject": threading.current_thread().name})
    channel.on("msg")(lambda data, context: data)
    return channel


class TestEndpoints(SynchronousTestCase):
    def test_token_is_needed(self) -> None:
        """Without a token nothing is served, and the error names the variable."""
        failed = self.assertRaises(ConfigError, InternalEndpoints, [chat()])
        self.assertIn("TAKO_APP_TOKEN", str(failed))

    def test_admits(self) -> None:
        """Only the token itself admits."""
        endpoints = InternalEndpoints([chat()], TOKEN)
        self.assertTrue(endpoints.admits(TOKEN))
        for other in (None, "", "between", TOKEN + "x", "é"):
            self.assertFalse(endpoints.admits(other))

    def test_channels_that_cannot_be_loaded(self) -> None:
        """A folder that is not there is an error when the app starts."""
        self.assertRaises(DefinitionError, InternalEndpoints, "no_such_folder_here", TOKEN)

    def test_answers(self) -> None:
        """Methods, bodies and channels that are wrong have their own answers."""
        endpoints = InternalEndpoints([chat()], TOKEN)
        for route, method, body, status, part in (
            ("registry", "GET", b"", 200, b'"channel":"chat"'),
            ("registry", "POST", b"", 405, b"method-not-allowed"),
            ("authorize", "GET", b"", 405, b"method-not-allowed"),
            ("authorize", "POST", b"{", 400, b"body-invalid"),
            ("authorize", "POST", QUESTION.replace(b"chat", b"x"), 404, b"channel-unknown"),
            ("dispatch", "POST", QUESTION, 400, b"frame"),
            ("dispatch", "POST", b" " * (MAX_BODY_BYTES + 1), 413, b"message-too-large"),
        ):
            answer: Any = endpoints.ask(route, method, body)
            self.assertEqual(answer.status, status)
            self.assertIn(part, answer.body)
            self.assertIn(("X-Tako-Internal-Token", TOKEN), answer.headers)

    def test_refusal_keeps_the_token(self) -> None:
        """Whoever does not know the token does not learn it."""
        answer = InternalEndpoints([chat()], TOKEN).refuse()
        self.assertEqual(answer.status, 403)
        self.assertNotIn(TOKEN, str(answer))


class TestWsgi(SynchronousTestCase):
    def ask(
        self, application: Any, path: str, body: bytes | None = None, **environ: Any
    ) -> tuple[str, dict[str, str], bytes]:
        started: list[Any] = []
        given = {
            "REQUEST_METHOD": "GET" if body is None else "POST",
            "PATH_INFO": path,
            "CONTENT_LENGTH": str(len(body or b"")),
            "wsgi.input": io.BytesIO(body or b""),
            "HTTP_X_TAKO_INTERNAL_TOKEN": TOKEN,
            **environ,
        }
        given = {name: value for name, value in given.items() if value is not None}
        parts = application(given, lambda status, headers: started.append((status, dict(headers))))
        return (*started[0], b"".join(parts))

    def test_alone(self) -> None:
        """By itself it answers its own paths, mounted or not, and nobody without the token."""
        application = wsgi.internal_app(channels=[chat()], token=TOKEN)
        for path, script in (("/channels/registry", ""), ("/registry", "/channels")):
            status, headers, body = self.ask(application, path, SCRIPT_NAME=script)
            self.assertEqual(status, "200 OK")
            self.assertEqual(headers["Content-Length"], str(len(body)))
            self.assertEqual(json.loads(body)[0]["channel"], "chat")
        for token in (None, "other"):
            status, headers, _ = self.ask(
                application, "/channels/registry", HTTP_X_TAKO_INTERNAL_TOKEN=token
            )
            self.assertEqual(status, "403 Forbidden")
            self.assertNotIn("X-Tako-Internal-Token", headers)
        self.assertEqual(self.ask(application, "/channels/other")[0], "403 Forbidden")

    def test_around_an_app(self) -> None:
        """Around an app everything else is the app's, its own /channels pages included."""

        def app(environ: Any, start_response: Any) -> list[bytes]:
            start_response("200 OK", [])
            return [b"the app"]

        application = wsgi.internal_app(app, channels=[chat()], token=TOKEN)
        self.assertEqual(self.ask(application, "/")[2], b"the app")
        self.assertEqual(
            self.ask(application, "/channels/registry", HTTP_X_TAKO_INTERNAL_TOKEN=None)[2],
            b"the app",
        )
        self.assertIn(b"chat", self.ask(application, "/channels/registry")[2])
        self.assertEqual(
            self.ask(application, "/channels/registry", HTTP_X_TAKO_INTERNAL_TOKEN="x")[0],
            "403 Forbidden",
        )

    def test_coroutines(self) -> None:
        """Coroutines run in an event loop of their own."""
        channel = define_channel("chat")

        @channel.verify
        async def verify(request: Any) -> bool:
            await asyncio.sleep(0)
            return True

        application = wsgi.internal_app(channels=[channel], token=TOKEN)
        self.assertEqual(self.ask(application, "/channels/authorize", QUESTION)[2], b'{"ok":true}')

    def test_lengths(self) -> None:
        """A length that is none is no body."""
        application = wsgi.internal_app(channels=[chat()], token=TOKEN)
        for length in ("", "-1", "x"):
            asked = self.ask(application, "/channels/authorize", QUESTION, CONTENT_LENGTH=length)
            self.assertEqual(asked[0], "400 Bad Request")


class TestAsgi(SynchronousTestCase):
    def ask(
        self,
        application: Any,
        path: str,
        *parts: bytes,
        token: bytes | None = TOKEN.encode(),
        **scope: Any,
    ) -> list[Any]:
        sent: list[Any] = []
        events = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        events.append({"type": "http.request"})

        async def receive() -> Any:
            return events.pop(0)

        async def send(event: Any) -> None:
            sent.append(event)

        given = {
            "type": "http",
            "method": "POST" if parts else "GET",
            "path": path,
            "headers": [(b"x-tako-internal-token", token)] if token is not None else [],
            **scope,
        }
        asyncio.run(application(given, receive, send))
        return sent

    def test_alone(self) -> None:
        """By itself it answers its own paths, mounted or not, and nobody without the token."""
        application = asgi.internal_app(channels=[chat()], token=TOKEN)
        for path, root in (
            ("/channels/registry", ""),
            ("/channels/registry", "/channels"),
            ("/registry", "/channels"),
        ):
            start, body = self.ask(application, path, root_path=root)
            self.assertEqual(start["status"], 200)
            self.assertIn((b"content-length", str(len(body["body"])).encode()), start["headers"])
        for token in (None, b"other", b"\xff"):
            start, _ = self.ask(application, "/channels/registry", token=token)
            self.assertEqual(start["status"], 403)
            self.assertNotIn(b"x-tako-internal-token", dict(start["headers"]))

    def started(self, application: Any) -> list[Any]:
        """What a server hears that starts this application."""
        sent: list[Any] = []
        events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

        async def receive() -> Any:
            return events.pop(0)

        async def send(event: Any) -> None:
            sent.append(event)

        asyncio.run(application({"type": "lifespan", "asgi": {}}, receive, send))
        return [event for event in sent if "startup" in event["type"]]

    def test_middleware_without_a_token(self) -> None:
        """As middleware, which frameworks make when the server starts, it ends the start with one
        sentence; so it does where the channels cannot be loaded."""
        self.patch(os, "environ", {})
        for more, sentence in (
            ({"channels": [chat()]}, "TAKO_APP_TOKEN: there is no token"),
            ({"channels": "no.such.module", "token": TOKEN}, "no.such.module"),
        ):
            app = FastAPI()
            app.add_middleware(asgi.InternalApp, **more)
            (failed,) = self.started(app)
            self.assertEqual(failed["type"], "lifespan.startup.failed")
            self.assertIn(sentence, failed["message"])
        # Where the server asks no application how its start goes, who asks learns it.
        with self.assertRaises(DefinitionError):
            self.ask(app, "/", token=None)

    def test_middleware_with_a_token(self) -> None:
        """With one, the framework's own start is what the server hears."""
        app = FastAPI()
        app.add_middleware(asgi.InternalApp, channels=[chat()], token=TOKEN)
        self.assertEqual(self.started(app), [{"type": "lifespan.startup.complete"}])

    def test_mounted_without_a_token(self) -> None:
        """What is made while the app's module is read fails there: nobody starts a mounted app."""
        self.patch(os, "environ", {})

        async def read_the_module() -> None:
            asgi.internal_app(channels=[chat()])

        with self.assertRaises(ConfigError):
            asyncio.run(read_the_module())

    def test_around_an_app(self) -> None:
        """Around an app everything else is the app's: pages, WebSockets and its lifespan."""
        seen: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            seen.append(scope["type"])

        application = asgi.internal_app(app, channels=[chat()], token=TOKEN)
        self.ask(application, "/")
        self.ask(application, "/channels/registry", token=None)
        self.ask(application, "/channels/registry", type="websocket")
        self.ask(application, "/", type="lifespan")
        self.assertEqual(seen, ["http", "http", "websocket", "lifespan"])
        self.assertEqual(self.ask(application, "/channels/registry")[0]["status"], 200)

    def test_plain_functions_in_a_thread(self) -> None:
        """A plain function does not run in the event loop's thread; bodies may come in parts."""
        application = asgi.internal_app(channels=[chat()], token=TOKEN)
        _, body = self.ask(application, "/channels/authorize", QUESTION[:5], QUESTION[5:])
        subject = json.loads(body["body"])["subject"]
        self.assertNotEqual(subject, threading.current_thread().name)

    def test_lifespan_and_websocket_alone(self) -> None:
        """By itself it starts and stops with its server, and takes no WebSocket."""
        application = asgi.internal_app(channels=[chat()], token=TOKEN)
        events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        sent: list[Any] = []

        async def receive() -> Any:
            return events.pop(0)

        async def send(event: Any) -> None:
            sent.append(event["type"])

        asyncio.run(application({"type": "lifespan"}, receive, send))
        self.assertEqual(sent, ["lifespan.startup.complete", "lifespan.shutdown.complete"])
        (closed,) = self.ask(application, "/", type="websocket")
        self.assertEqual(closed["type"], "websocket.close")

    def test_body_without_end(self) -> None:
        """A body over its bound is not read on."""
        application = asgi.internal_app(channels=[chat()], token=TOKEN)
        parts = [b" " * 2**20] * 20
        start, _ = self.ask(application, "/channels/dispatch", *parts)
        self.assertEqual(start["status"], 413)

    def test_client_gone(self) -> None:
        """A server that goes away while asking is asked for nothing."""
        application = asgi.internal_app(channels=[chat()], token=TOKEN)
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.disconnect"}

        async def send(event: Any) -> None:
            sent.append(event)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/channels/dispatch",
            "headers": [(b"x-tako-internal-token", TOKEN.encode())],
        }
        asyncio.run(application(scope, receive, send))
        self.assertEqual(sent[0]["status"], 400)
