"""The internal endpoints for ASGI apps: FastAPI, Starlette, Django's asgi.py, bare ASGI.

Around an app it answers its own three paths and hands everything else on; alone
it can be mounted.  Rule: plain functions run in a worker thread, never in the
event loop.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from pathlib import Path
from typing import Any

from takotwist.app.channel import Channel
from takotwist.app.endpoints import MAX_BODY_BYTES, TOKEN_HEADER, Answer, InternalEndpoints, Pending
from takotwist.app.types import failure_text
from takotwist.errors import TakoError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_TOKEN = TOKEN_HEADER.lower().encode()


class InternalApp:
    """An ASGI application that answers the takotwist server.

    ::

        app.add_middleware(InternalApp)                          # FastAPI, Starlette
        application = InternalApp(get_asgi_application())        # Django's asgi.py
        app.mount("/channels", InternalApp())

    :param app: who answers everything else.  Left out: 403, for mounting at ``/channels``.
    :param channels: a folder, the name of a module, or the channels themselves.
    :param token: the server's ``[app] token``.  Left out: ``TAKO_APP_TOKEN``.
    :raises ConfigError: there is no token.
    :raises DefinitionError: the channels cannot be loaded.  Where a server has begun already,
        as when a framework makes its middleware, either ends the server's start.
    """

    def __init__(
        self,
        app: ASGIApp | None = None,
        *,
        channels: str | Path | Iterable[Channel[Any]] = "channels",
        token: str | None = None,
    ) -> None:
        self._app = app
        self._endpoints: InternalEndpoints | None = None
        self._trouble: Exception | None = None
        try:
            self._endpoints = InternalEndpoints(channels, token)
        except Exception as trouble:
            if app is None or not _loop_runs():
                raise
            # Starlette makes its middleware when the lifespan begins, and a server takes
            # an exception there for an app that has none, and serves errors.
            self._trouble = trouble

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification, "Applications"."""
        endpoints = self._endpoints
        if endpoints is None:
            return await self._fail(scope, receive, send)
        if scope["type"] == "lifespan" and self._app is None:
            return await _lifespan(receive, send)
        route = endpoints.route_of(_path(scope)) if scope["type"] == "http" else None
        shown = dict(scope.get("headers", ())).get(_TOKEN)
        if self._app is not None and (route is None or shown is None):
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        if route is None or shown is None or not endpoints.admits(shown.decode("latin-1")):
            return await _sent(endpoints.refuse(), send)
        outcome = endpoints.ask(route, scope["method"], await _body(receive))
        answer = await _made(outcome) if isinstance(outcome, Pending) else outcome
        return await _sent(answer, send)

    async def _fail(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Say why this cannot work: to the server at its start, and else to who asks."""
        trouble = self._trouble
        assert trouble is not None
        if scope["type"] != "lifespan":
            raise trouble
        await receive()
        known = isinstance(trouble, TakoError)
        said = str(trouble) if known else failure_text(trouble)
        await send({"type": "lifespan.startup.failed", "message": said})


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def internal_app(
    app: ASGIApp | None = None,
    *,
    channels: str | Path | Iterable[Channel[Any]] = "channels",
    token: str | None = None,
) -> InternalApp:
    """As `InternalApp`; the same name as in `takotwist.app.wsgi`."""
    return InternalApp(app, channels=channels, token=token)


def _path(scope: Scope) -> str:
    # The specification has the mount point in `path`; some servers and older
    # frameworks leave it out.
    path, root = str(scope["path"]), str(scope.get("root_path") or "")
    return path if path.startswith(root) else root + path


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        event = await receive()
        if event["type"] != "http.request":
            return b""
        parts.append(event.get("body", b""))
        size += len(parts[-1])
        # One byte over the limit is enough to be refused for.
        if size > MAX_BODY_BYTES or not event.get("more_body"):
            return b"".join(parts)


async def _made(pending: Pending) -> Answer:
    call = pending.call
    try:
        if inspect.iscoroutinefunction(call.function):
            result = await call.function(*call.arguments)
        else:
            result = await asyncio.to_thread(call.function, *call.arguments)
            if inspect.isawaitable(result):
                result = await result
    except (Exception, SystemExit) as error:
        return pending.raised(error)
    return pending.returned(result)


async def _sent(answer: Answer, send: Send) -> None:
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers]
    headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        event = await receive()
        await send({"type": f"{event['type']}.complete"})
        if event["type"] == "lifespan.shutdown":
            return
