"""Streamed messages read from any process, with a publish key.

::

    reader = MessageReader("https://example.com", key)
    reading = reader.read("chat", {"roomId": "lobby"}, "job-7")
    async for token in reading:
        print(token, end="")
    print(reading.how)

For an asyncio loop, or for a reactor.  Rule: each value is given once, in order, through cuts and
restarts, and the end is the message's own.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from urllib.parse import quote, urlencode

import msgspec

from takotwist.app.durable_stream import BEGINNING, DurableStreams
from takotwist.app.http_address import Address
from takotwist.app.publisher import DEFAULT_BASE_PATH
from takotwist.app.stream_wire import check_id
from takotwist.codecs.query import check_channel, query_of
from takotwist.core.json_values import Json
from takotwist.errors import ConfigError


class MessageReader:
    """Reads streamed messages of one server.  Make one a process.

    :param url: ``https://example.com`` or ``unix:/path/private.sock``, with a path where the
        channels are served elsewhere.  Left out: ``TAKO_PUBLISH_URL``.
    :param key: a publish key.  Left out: ``TAKO_PUBLISH_KEY``.
    :param patience: seconds over which a request is tried before it has failed.
    :param ca_file: certificates to trust in place of the system's.
    :param reactor: a Twisted reactor to wait with.  Left out: the asyncio loop that runs.
    :raises ConfigError: when there is no address, or it or the key cannot be used.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        patience: float = 10.0,
        ca_file: str | None = None,
        reactor: object = None,
    ) -> None:
        url = url or os.environ.get("TAKO_PUBLISH_URL")
        if not url:
            raise ConfigError("no server is known", key="url", source="MessageReader")
        base = Address.of(url, ca_file).base_path
        self._streams = DurableStreams(
            base if base.strip("/") else DEFAULT_BASE_PATH,
            url=url,
            key=key,
            patience=patience,
            ca_file=ca_file,
            reactor=reactor,
        )

    def read(
        self,
        channel: str,
        params: Mapping[str, object] | None,
        id: str,
        *,
        offset: str = BEGINNING,
    ) -> Reading:
        """Read a message from its beginning, and follow it until it has ended.

        :param offset: as of an earlier reading, to go on behind it.
        :raises ParamsInvalid: :raises BodyInvalid: names what cannot be asked for.
        """
        path = f"{check_channel(channel)}/streams/{check_id(id)}"
        return Reading(self._streams, path, urlencode(query_of(params or {})), offset)

    async def close(self) -> None:
        """Close the idle connections of the running loop."""
        await self._streams.close()


class Reading:
    """One reading of one message: an asynchronous iterator of its values; of text, strings."""

    def __init__(self, streams: DurableStreams, path: str, query: str, offset: str) -> None:
        self._streams, self._path, self._query = streams, path, query
        #: Behind what was given; what to go on from.
        self.offset = offset
        #: ``ended``, ``failed`` or ``cancelled``; empty until the end is known.
        self.how = ""
        #: Of ``failed``, a word.
        self.reason = ""

    async def __aiter__(self) -> AsyncIterator[Json]:
        """The values.

        :raises NotFound: there is none, or its end was a while ago: the topic's final message
            has all of it.
        :raises Refusal: any other no of the server.
        :raises Unreachable: no answer of a takotwist server in time.
        """
        ended = False
        while not ended:
            more = "&".join(
                part
                for part in (self._query, f"offset={quote(self.offset)}", "live=long-poll")
                if part
            )
            page = await self._streams.ask("GET", self._path, query=f"?{more}")
            for value in msgspec.json.decode(page.data or b"[]"):
                yield value
            self.offset, ended = page.offset or self.offset, page.ended
            self.how, self.reason = page.how, page.reason
