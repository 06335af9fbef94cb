"""Fetches a page of history on a Twisted reactor."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import treq
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.web.client import Agent
from twisted.web.http_headers import Headers

from takotwist.client.credentials import Credentials, headers_of, value_of
from takotwist.client.errors import NoAnswer, ProtocolBroken
from takotwist.client.history import PAGE_SECONDS, History, PageBody, read_history, too_late
from takotwist.client.target import Target
from takotwist.client.twisted.endpoint import Abortable, OneEndpoint, endpoint_for
from takotwist.client.twisted.trouble import sentence_of


async def history(
    reactor: Any,
    url: str,
    channel: str,
    *,
    params: Mapping[str, Any] | None = None,
    after: str | None = None,
    limit: int | None = None,
    credentials: Credentials = None,
    header: str = "authorization",
    ca_file: str | None = None,
    timeout: float = PAGE_SECONDS,
    endpoint: IStreamClientEndpoint | None = None,
) -> History:
    """One page of what is kept of a topic.  Asked once; try again as you see fit.

    :param url: as for `subscribe`.
    :param after: an id; `None` for the beginning of what is kept.
    :param limit: most messages, from 1 to 1000; `None` for the server's default.
    :param credentials: as for `subscribe`.
    :param ca_file: PEM of the only authority to trust.
    :param timeout: seconds for all of it.
    :param endpoint: where the server is, if the URL alone does not say.
    :raises ValueError: `url` is none, or a header cannot be sent.
    :raises Refusal: the server refused, or `channel`, `params` or `after` cannot be sent.
    :raises NoAnswer: it could not be asked, or not in time.
    :raises UnexpectedAnswer: :raises ProtocolBroken: what came is no page.
    """
    target, params = Target.of(url), params or {}
    headers = headers_of(await value_of(credentials, maybeDeferred), header)
    connection = Abortable(endpoint or endpoint_for(reactor, target, ca_file))
    client = HTTPClient(Agent.usingEndpointFactory(reactor, OneEndpoint(connection)))
    asking = Deferred.fromCoroutine(
        _fetch(client, target.history(channel, params, after, limit), headers)
    )
    deadline = reactor.callLater(timeout, asking.cancel)
    try:
        status, wait, kind, body = await asking
    except (ValueError, TypeError, ProtocolBroken):
        # A header that cannot be sent is the caller's error; a page too long is its own.
        raise
    except Exception as failed:
        if not deadline.active():
            raise too_late(timeout) from None
        if isinstance(failed, CancelledError):
            raise
        raise NoAnswer(sentence_of(failed)) from failed
    finally:
        if deadline.active():
            deadline.cancel()
        connection.abort()
    return read_history(status, body, params, wait, time.time() * 1000, kind)


async def _fetch(
    client: HTTPClient, url: str, headers: Mapping[str, str]
) -> tuple[int, str | None, str | None, bytes]:
    response = await client.get(
        url,
        headers=Headers({k: [v] for k, v in headers.items()}),
        allow_redirects=False,
        unbuffered=True,
    )
    body = PageBody()
    await treq.collect(response, body.came)
    wait, kind = (
        (response.headers.getRawHeaders(name) or [None])[-1]
        for name in ("retry-after", "content-type")
    )
    return response.code, wait, kind, body.whole
