"""Fetches a page of history on an asyncio loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import aiohttp

from takotwist.client.asyncio.carriers import session_for
from takotwist.client.asyncio.driver import called
from takotwist.client.credentials import Credentials, headers_of, value_of
from takotwist.client.errors import NoAnswer
from takotwist.client.events import PAGE_SECONDS, History, PageBody, read_history, too_late
from takotwist.client.target import Target


async def history(
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
) -> History:
    """One page of what is kept of a topic.  Asked once; try again as you see fit.

    :param url: as for `subscribe`.
    :param after: an id; `None` for the beginning of what is kept.
    :param limit: most messages, from 1 to 1000; `None` for the server's default.
    :param credentials: as for `subscribe`.
    :param ca_file: PEM of the only authority to trust.
    :param timeout: seconds for all of it.
    :raises ValueError: `url` is none, or a header cannot be sent.
    :raises Refusal: the server refused, or `channel`, `params` or `after` cannot be sent.
    :raises NoAnswer: it could not be asked, or not in time.
    :raises UnexpectedAnswer: :raises ProtocolBroken: what came is no page.
    """
    target, params = Target.of(url), params or {}
    page = target.history(channel, params, after, limit)
    try:
        async with asyncio.timeout(timeout) as deadline:
            headers = headers_of(await value_of(credentials, called), header)
            async with (
                session_for(target, ca_file) as session,
                session.get(
                    page, headers=headers, allow_redirects=False, raise_for_status=False
                ) as response,
            ):
                body = PageBody()
                async for data in response.content.iter_any():
                    body.came(data)
                wait = response.headers.get("Retry-After")
                kind = response.headers.get("Content-Type")
                now = time.time() * 1000
                return read_history(response.status, body.whole, params, wait, now, kind)
    except TimeoutError:
        if deadline.expired():
            raise too_late(timeout) from None
        raise NoAnswer("The connection timed out.") from None
    except (aiohttp.ClientError, OSError) as failed:
        raise NoAnswer(str(failed) or type(failed).__name__) from failed
