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
from takotwist.client.events import PAGE_SECONDS, History, PageBody, read_history, too_late
from takotwist.client.target import Target
from takotwist.client.twisted.carriers import Abortable, OneEndpoint, endpoint_for, sentence_of
from takotwist.client.twisted.in_time import in_time


async def history(
    reactor: Any,
    url: str,
    channel: str,
    *,
    params: Mapping[str, object] | None = None,
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
    page, give_up_at = target.history(channel, params, after, limit), reactor.seconds() + timeout
    asked = Deferred.fromCoroutine(value_of(credentials, maybeDeferred))
    try:
        headers = headers_of(await in_time(reactor, timeout, asked), header)
    except TimeoutError:
        raise too_late(timeout) from None
    connection = Abortable(endpoint or endpoint_for(reactor, target, ca_file))
    client = HTTPClient(Agent.usingEndpointFactory(reactor, OneEndpoint(connection)))
    fetched = Deferred.fromCoroutine(_fetch(client, page, headers))
    try:
        status, wait, kind, body = await in_time(reactor, give_up_at - reactor.seconds(), fetched)
    except (CancelledError, ProtocolBroken):
        # A page too long is an error of its own.
        raise
    except TimeoutError:
        raise too_late(timeout) from None
    except Exception as failed:
        raise NoAnswer(sentence_of(failed)) from failed
    finally:
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
