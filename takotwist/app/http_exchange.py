"""One HTTP request and its answer, blocking, over TCP, TLS or a Unix socket.

The standard library's client behind a small stack of idle connections.  Rule:
one exchange, no retry, no meaning; both are the publisher's.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

import attrs

from takotwist.errors import ConfigError

#: Most bytes of an answer that are read.
MAX_ANSWER_BYTES = 64 * 2**20

#: Idle connections kept; more than this many threads publish without keeping theirs.
MAX_IDLE = 8


@attrs.frozen(slots=True)
class HttpAnswer:
    """:ivar headers: by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class HttpExchange:
    """Exchanges with one server.  Safe to use from several threads.

    :param url: ``http://``, ``https://`` or ``unix:/path/of.sock``.
    :param timeout: seconds for connecting and for each wait on the socket.
    :param ca_file: certificates to trust in place of the system's, such as the
        development CA of ``tako``.
    :raises ConfigError: when the address or the file cannot be used.
    """

    def __init__(self, url: str, *, timeout: float = 5.0, ca_file: str | None = None) -> None:
        parts = urlsplit(url)
        self._timeout = timeout
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._unix_path = parts.path if parts.scheme == "unix" else None
        self._tls: ssl.SSLContext | None = None
        try:
            self._host, self._port = parts.hostname or "", parts.port
            if parts.scheme == "https":
                self._tls = ssl.create_default_context(cafile=ca_file)
        except (ValueError, OSError) as unusable:
            raise ConfigError(f"{unusable}", key="url", source="Publisher") from None
        if parts.scheme not in ("http", "https", "unix") or not (self._host or self._unix_path):
            raise ConfigError(
                "must be http://host, https://host or unix:/path, such as"
                f" https://example.com, not {url!r}",
                key="url",
                source="Publisher",
            )
        port = "" if self._port is None else f":{self._port}"
        #: Which server, for people; without what else an address may hold.
        self.server = (
            f"unix:{self._unix_path}" if self._unix_path else f"{parts.scheme}://{self._host}{port}"
        )
        #: The path that the address itself has; empty for a Unix socket.
        self.base_path = "" if self._unix_path else parts.path

    def __call__(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> HttpAnswer:
        """Ask once.

        :raises OSError: no connection, or it broke; `TimeoutError` included.
        :raises http.client.HTTPException: what came was no HTTP.
        """
        connection = self._take()
        try:
            connection.request(method, target, body=body, headers=dict(headers))
            response = connection.getresponse()
            data = response.read(MAX_ANSWER_BYTES + 1)
            if len(data) > MAX_ANSWER_BYTES:
                raise http.client.HTTPException("the answer is too large")
        except BaseException:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            self._give_back(connection)
        fields = {name.lower(): value for name, value in response.getheaders()}
        return HttpAnswer(response.status, fields, data)

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> http.client.HTTPConnection:
        with self._lock:
            if self._process != os.getpid():
                # After a fork both processes would speak on one connection.
                self._idle, self._process = [], os.getpid()
            if self._idle:
                return self._idle.pop()
        if self._unix_path is not None:
            return _UnixConnection(self._unix_path, self._timeout)
        if self._tls is not None:
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout, context=self._tls
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)

    def _give_back(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if self._process == os.getpid() and len(self._idle) < MAX_IDLE:
                self._idle.append(connection)
                return
        connection.close()
