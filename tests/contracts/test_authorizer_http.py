"""The authorizer contract where the app is elsewhere, behind WSGI and behind ASGI."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Channel
from takotwist.adapters.authorize_http import HttpAuthorizer
from takotwist.app import asgi, wsgi
from tests.adapters.app_in_memory import TOKEN, client_of, wsgi_agent
from tests.contracts.authorizer import AuthorizerContract


class TestHttpAuthorizerToWsgi(AuthorizerContract, SynchronousTestCase):
    """Through real HTTP to the endpoints for WSGI."""

    def setUp(self) -> None:
        # An app logs by the standard library, which without handlers writes to stderr.
        logger = logging.getLogger("takotwist.app")
        logger.disabled = True
        self.addCleanup(setattr, logger, "disabled", False)

    def application(self, channels: Sequence[Channel[Any]]) -> Any:
        return wsgi.internal_app(channels=channels, token=TOKEN)

    def authorizer(self, channels: Sequence[Channel[Any]]) -> Any:
        self.agent = wsgi_agent(self.application(channels))
        return HttpAuthorizer(client_of(self.agent, Clock()))

    def settle(self, answer: Deferred[Any]) -> Deferred[Any]:
        self.agent.flush()
        return answer


class TestHttpAuthorizerToAsgi(TestHttpAuthorizerToWsgi):
    """Through real HTTP to the endpoints for ASGI."""

    def application(self, channels: Sequence[Channel[Any]]) -> Any:
        return _as_wsgi(asgi.internal_app(channels=channels, token=TOKEN))


def _as_wsgi(application: Any) -> Any:
    """An ASGI application where a WSGI one is wanted; one event loop a request."""

    def called(environ: Any, start_response: Any) -> list[bytes]:
        sent: list[Any] = []
        body = environ["wsgi.input"].read()

        async def receive() -> Any:
            return {"type": "http.request", "body": body}

        async def send(event: Any) -> None:
            sent.append(event)

        headers = [
            (name[5:].replace("_", "-").lower().encode(), value.encode("latin-1"))
            for name, value in environ.items()
            if name.startswith("HTTP_")
        ]
        scope = {
            "type": "http",
            "method": environ["REQUEST_METHOD"],
            "path": environ["PATH_INFO"],
            "headers": headers,
        }
        asyncio.run(application(scope, receive, send))
        answered = [(name.decode(), value.decode()) for name, value in sent[0]["headers"]]
        start_response(f"{sent[0]['status']} Answered", answered)
        return [event.get("body", b"") for event in sent[1:]]

    return called
