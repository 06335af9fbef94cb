"""The internal endpoints for WSGI apps: Django, Flask, Pyramid, bare WSGI.

Around an app it answers its own three paths and hands everything else on, so it
needs no routing and meets no CSRF check or host check of the framework; alone
it can be mounted.  Rule: what carries no token of ours is the app's to answer.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Iterable
from contextvars import copy_context
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from takotwist.app.channel import Channel
from takotwist.app.endpoints import MAX_BODY_BYTES, Answer, InternalEndpoints, Pending

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


def internal_app(
    app: WSGIApplication | None = None,
    *,
    channels: str | Path | Iterable[Channel[Any]] = "channels",
    token: str | None = None,
) -> WSGIApplication:
    """A WSGI application that answers the takotwist server.

    ::

        application = internal_app(get_wsgi_application())       # Django's wsgi.py
        app.wsgi_app = internal_app(app.wsgi_app)                # Flask

    Coroutines among the channels' functions run each in an event loop of its own; under
    gevent's workers in a thread of gevent's pool, which has ten.

    :param app: who answers everything else.  Left out: 403, for mounting at ``/channels``.
    :param channels: a folder, the name of a module, or the channels themselves.
    :param token: the server's ``[app] token``.  Left out: ``TAKO_APP_TOKEN``.
    :raises ConfigError: there is no token.
    :raises DefinitionError: the channels cannot be loaded.
    """
    endpoints = InternalEndpoints(channels, token)

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        route = endpoints.route_of(path)
        shown = environ.get("HTTP_X_TAKO_INTERNAL_TOKEN")
        if route is None or shown is None:
            if app is not None:
                return app(environ, start_response)
            answer = endpoints.refuse()
        elif not endpoints.admits(shown):
            answer = endpoints.refuse()
        else:
            outcome = endpoints.ask(route, environ["REQUEST_METHOD"], _body(environ))
            answer = _made(outcome) if isinstance(outcome, Pending) else outcome
        return _sent(answer, start_response)

    return application


def _body(environ: WSGIEnvironment) -> bytes:
    said = str(environ.get("CONTENT_LENGTH") or "0")
    length = int(said) if said.isascii() and said.isdigit() else 0
    # One byte over the limit is enough to be refused for.
    data: bytes = environ["wsgi.input"].read(min(length, MAX_BODY_BYTES + 1))
    return data


def _made(pending: Pending) -> Answer:
    call = pending.call
    try:
        result = call.function(*call.arguments)
        if inspect.isawaitable(result):
            result = _waited_for(result)
    except (Exception, SystemExit) as error:
        return pending.raised(error)
    return pending.returned(result)


def _waited_for(awaitable: object) -> object:
    """Run a coroutine in an event loop of its own."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("select"):
        return asyncio.run(_awaited(awaitable))
    # A worker of gevent answers many requests in one thread, each in a greenlet, and a
    # thread can run one loop at a time: this one runs in a thread of gevent's own pool.
    run = partial(copy_context().run, _outcome, awaitable)
    result, error = sys.modules["gevent"].get_hub().threadpool.apply(run)
    if error is not None:
        raise error
    return result


def _outcome(awaitable: object) -> tuple[object, BaseException | None]:
    """Outcome of a coroutine, returned or raised: gevent shows what leaves a thread of its pool."""
    try:
        return asyncio.run(_awaited(awaitable)), None
    except (Exception, SystemExit) as error:
        return None, error


async def _awaited(awaitable: Any) -> object:
    return await awaitable


def _sent(answer: Answer, start_response: Callable[..., object]) -> list[bytes]:
    status = f"{answer.status} {HTTPStatus(answer.status).phrase}"
    start_response(status, [*answer.headers, ("Content-Length", str(len(answer.body)))])
    return [answer.body]
