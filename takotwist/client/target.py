"""The caller's URL as the addresses of requests (protocol, section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode, urlsplit

import attrs

from takotwist.codecs.query import check_channel, check_cursor, query_of

#: Where a URL without a path leads.
BASE_PATH = "/_tako/channels/"
CONNECT_PATH = "/_tako/connect"

_WANTED = "must begin with http://, https:// or unix:/"


@attrs.frozen(slots=True)
class Target:
    """A server.

    :ivar origin: ``https://host:port``; ``http://localhost`` for a Unix socket.
    :ivar base_path: before the channel's name; empty where the caller's URL has none.
    :ivar socket_path: of a Unix socket, or `None`.
    """

    origin: str
    base_path: str
    socket_path: str | None = None

    @classmethod
    def of(cls, url: str) -> Target:
        """Read the caller's URL.

        :param url: ``https://host``, with a base path of one's own or without;
            ``unix:/run/tako/private.sock`` for a Unix socket.
        :raises ValueError: it is none of these; without the URL.
        """
        # No error repeats the URL: it may hold a password, or be a token in the wrong place.
        try:
            parts = urlsplit(url)
            # Read here, so that a port that is none is found before a connection is made.
            _ = parts.port
        except (ValueError, TypeError, AttributeError):
            raise ValueError(f"url {_WANTED}; its host or port cannot be read") from None
        if parts.scheme == "unix" and parts.path.startswith("/") and not parts.netloc:
            return cls("http://localhost", "", parts.path)
        schemes = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
        if parts.scheme not in schemes or not parts.hostname:
            raise ValueError(f"url {_WANTED}")
        if parts.query or parts.fragment or parts.username is not None:
            raise ValueError("url must hold neither a query, nor a fragment, nor credentials")
        path = parts.path.rstrip("/")
        return cls(f"{schemes[parts.scheme]}://{parts.netloc}", f"{path}/" if path else "")

    def sse(
        self,
        channel: str,
        params: Mapping[str, object],
        *,
        stale_reset: bool = False,
        presence: bool = False,
    ) -> str:
        """The URL of an SSE subscription; its cursor goes in ``Last-Event-ID``.

        :param presence: to who is at the topic.
        """
        rest = "/presence" if presence else ""
        return self._url(channel, rest, query_of(params) + self._stale(stale_reset))

    def websocket(
        self,
        channel: str,
        params: Mapping[str, object],
        *,
        cursor: str | None = None,
        stale_reset: bool = False,
    ) -> str:
        """The URL of a channel's own WebSocket."""
        resume = [("last_message_id", cursor)] if cursor is not None else []
        pairs = query_of(params) + resume + self._stale(stale_reset)
        return "ws" + self._url(channel, "", pairs).removeprefix("http")

    def history(
        self, channel: str, params: Mapping[str, object], after: str | None, limit: int | None
    ) -> str:
        """The URL of a page of history (protocol, section 8)."""
        page = [("after", check_cursor(after)), ("limit", limit)]
        pairs = query_of(params) + [(k, str(v)) for k, v in page if v is not None]
        return self._url(channel, "/history", pairs)

    def mux(self) -> str:
        """The URL of a multiplexed connection; a URL with a path is meant to be it."""
        return "ws" + self.origin.removeprefix("http") + (self.base_path[:-1] or CONNECT_PATH)

    def _url(self, channel: str, rest: str, pairs: list[tuple[str, str]]) -> str:
        name = quote(check_channel(channel), safe="")
        query = "?" + urlencode(pairs) if pairs else ""
        return f"{self.origin}{self.base_path or BASE_PATH}{name}{rest}{query}"

    @staticmethod
    def _stale(reset: bool) -> list[tuple[str, str]]:
        return [("stale", "reset")] if reset else []
