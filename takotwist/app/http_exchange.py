"""One HTTP request and its answer, blocking, over TCP, TLS or a Unix socket.

A small stack of idle connections.  Rule: one exchange, no retry, no meaning; both are
the publisher's.  No wait of it outlasts the deadline, the look-up of the name included.
"""

from __future__ import annotations

import os
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import TimeoutError as NotYet
from functools import partial
from typing import TypeVar

import attrs

from takotwist.app.http_address import Address, request_bytes
from takotwist.client.name_lookup import Found, NameLookup
from takotwist.codecs.http_answer import AnswerReader, HttpAnswer

#: Idle connections kept; more than this many threads publish without keeping theirs.
MAX_IDLE = 16

T = TypeVar("T")


@attrs.define(slots=True)
class Deadline:
    """Deadline of an exchange, and the reminder on the way.

    :ivar at: when it is over, on `clock`.
    :ivar remind_at: when `remind` is called, once, if the exchange still waits.
    """

    at: float
    clock: Callable[[], float] = time.monotonic
    remind_at: float | None = None
    remind: Callable[[], None] = lambda: None

    @classmethod
    def within(cls, seconds: float) -> Deadline:
        """So long from now on."""
        return cls(time.monotonic() + seconds)

    def left(self) -> float:
        """Seconds for one wait; ask again after it.

        :raises TimeoutError: there are none.
        """
        now = self.clock()
        if self.remind_at is not None and now >= self.remind_at:
            self.remind_at = None
            self.remind()
        if now >= self.at:
            raise TimeoutError("no answer in time")
        return (self.at if self.remind_at is None else min(self.at, self.remind_at)) - now


class HttpExchange:
    """Exchanges with one server.  Safe to use from several threads."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._lookup = NameLookup(address.host, address.port)
        self._idle: list[socket.socket] = []
        self._lock = threading.Lock()
        self._process = os.getpid()

    def __call__(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        deadline: Deadline,
    ) -> HttpAnswer:
        """Ask once.

        :raises OSError: no connection, or it broke, or no HTTP came; `TimeoutError` included.
        """
        request = request_bytes(self._address, method, target, headers, body)
        connection = self._take() or self._connected(deadline)
        reader = AnswerReader()
        try:
            self._send(connection, request, deadline)
            answer = None
            while answer is None:
                data = self._waited(lambda: connection.recv(65_536), connection, deadline)
                answer = reader.feed(data) if data else reader.ended()
        except BaseException:
            connection.close()
            raise
        if reader.reusable:
            self._give_back(connection)
        else:
            connection.close()
        return answer

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _send(self, connection: socket.socket, request: bytes, deadline: Deadline) -> None:
        rest = memoryview(request)
        while rest:
            sent = self._waited(partial(connection.send, rest), connection, deadline)
            rest = rest[sent:]

    @staticmethod
    def _waited(step: Callable[[], T], connection: socket.socket, deadline: Deadline) -> T:
        """Do `step`, in as many waits as the deadline says."""
        while True:
            connection.settimeout(deadline.left())
            try:
                return step()
            except TimeoutError:
                continue

    def _connected(self, deadline: Deadline) -> socket.socket:
        address = self._address
        if address.unix_path is not None:
            return self._reached(
                (socket.AF_UNIX, socket.SOCK_STREAM, 0, "", address.unix_path), deadline
            )
        failed: OSError = OSError("the name has no address")
        found = self._found(deadline)
        for number, one in enumerate(found):
            # An address that does not answer must leave time for the next.
            share = deadline.clock() + (deadline.at - deadline.clock()) / (len(found) - number)
            part = attrs.evolve(deadline, at=share)
            try:
                return self._secured(self._reached(one, part), part)
            except ssl.SSLCertVerificationError:
                raise
            except OSError as unreachable:
                failed = unreachable
            finally:
                deadline.remind_at = part.remind_at
        raise failed

    def _found(self, deadline: Deadline) -> list[Found]:
        addresses = self._lookup.addresses()
        while True:
            try:
                return addresses.result(deadline.left())
            except NotYet:
                continue

    def _reached(self, found: Found, deadline: Deadline) -> socket.socket:
        family, kind, protocol, _, place = found
        connection = socket.socket(family, kind, protocol)
        try:
            connection.setblocking(False)
            try:
                connection.connect(place)
            except BlockingIOError:
                if family == socket.AF_UNIX:
                    raise  # its backlog is full; there is nothing to wait for
                with selectors.DefaultSelector() as ready:
                    ready.register(connection, selectors.EVENT_WRITE)
                    while not ready.select(deadline.left()):
                        continue
                broken = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if broken:
                    raise OSError(broken, os.strerror(broken)) from None
            if family != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            connection.close()
            raise
        return connection

    def _secured(self, connection: socket.socket, deadline: Deadline) -> socket.socket:
        if self._address.tls is None:
            return connection
        try:
            secured = self._address.tls.wrap_socket(
                connection, server_hostname=self._address.host, do_handshake_on_connect=False
            )
        except BaseException:
            connection.close()
            raise
        try:
            self._waited(secured.do_handshake, secured, deadline)
        except BaseException:
            secured.close()
            raise
        return secured

    def _take(self) -> socket.socket | None:
        while True:
            with self._lock:
                if self._process != os.getpid():
                    # After a fork both processes would speak on one connection.
                    self._idle, self._process = [], os.getpid()
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if _is_silent(connection):
                return connection
            connection.close()

    def _give_back(self, connection: socket.socket) -> None:
        with self._lock:
            if self._process == os.getpid() and len(self._idle) < MAX_IDLE:
                self._idle.append(connection)
                return
        connection.close()


def _is_silent(connection: socket.socket) -> bool:
    """True while an idle connection is one: its end or stray bytes can be read at once."""
    try:
        connection.setblocking(False)
        connection.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False
    return False
