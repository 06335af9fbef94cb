"""A client's end of one connection to a server in memory.

What was written by the server is read here at once; nothing waits for a socket.
Rule: no parsing that a test could not follow; a peer that wants less, or worse,
writes its own bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import msgspec
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.python.failure import Failure

from takotwist.core.json_values import Json


@attrs.frozen
class Event:
    """One event of an event stream; `name` is ``message`` where the server gave none."""

    name: str
    data: Json
    id: str | None


class MemoryPeer:
    """One connection.

    :param protocol: the server's, as its factory built it.
    :param address: where the client seems to be.
    """

    def __init__(self, protocol: Any, address: str) -> None:
        self._protocol = protocol
        self._transport = StringTransportWithDisconnection(
            hostAddress=IPv4Address("TCP", "127.0.0.1", 80),
            peerAddress=IPv4Address("TCP", address, 40_000),
        )
        self._transport.protocol = protocol
        protocol.makeConnection(self._transport)

    @property
    def received(self) -> bytes:
        """All bytes that the server has sent."""
        return bytes(self._transport.value())

    @property
    def closed(self) -> bool:
        """True when the server has closed the connection, or the client has left."""
        return not self._transport.connected

    def send(self, data: bytes) -> None:
        """Send bytes."""
        # An upgrade puts another protocol in the place of the first.
        self._transport.protocol.dataReceived(data)

    def leave(self) -> None:
        """Close without a word, as a lost network would in the end."""
        if self._transport.connected:
            self._transport.connected = False
            self._transport.protocol.connectionLost(Failure(ConnectionDone()))
        # As Twisted's transports do, or what the server let go would stay with this end.
        self._transport.producer = self._protocol = None
        self._transport.protocol = None  # type: ignore[assignment]

    def stop_reading(self) -> None:
        """Have the server find its socket full."""
        if self._transport.producer is not None:
            self._transport.producer.pauseProducing()

    def read_on(self) -> None:
        """Have the server find that all it has sent has left."""
        if self._transport.producer is not None:
            self._transport.producer.resumeProducing()


class HttpPeer(MemoryPeer):
    """A connection with one request, whose answer may go on for hours."""

    def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> None:
        """Send the request.

        :param headers: of which ``Host`` is localhost where it is not said.
        """
        lines = [f"{method} {target} HTTP/1.1"]
        if not any(name.lower() == "host" for name in headers):
            lines.append("Host: localhost")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode() + body)

    @property
    def answered(self) -> bool:
        """True when the head of the answer is there."""
        return b"\r\n\r\n" in self.received

    @property
    def status(self) -> int:
        """Of the answer; 0 while there is none."""
        return int(self.received.split(b" ", 2)[1]) if self.answered else 0

    @property
    def headers(self) -> dict[str, str]:
        """Of the answer, names in lower case; repeated ones joined."""
        found: dict[str, str] = {}
        for line in self.received.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]:
            name, _, value = line.partition(": ")
            name = name.lower()
            found[name] = f"{found[name]}, {value}" if name in found else value
        return found

    @property
    def body(self) -> bytes:
        """The bytes that have come so far."""
        rest = self.received.partition(b"\r\n\r\n")[2]
        if self.headers.get("transfer-encoding") != "chunked":
            return rest
        return b"".join(self._chunks(rest))

    @property
    def ended(self) -> bool:
        """True when the server has ended the response as a whole one."""
        rest = self.received.partition(b"\r\n\r\n")[2]
        if self.headers.get("transfer-encoding") == "chunked":
            return rest.endswith(b"0\r\n\r\n")
        return self.answered and len(rest) >= int(self.headers.get("content-length", "0"))

    @property
    def json(self) -> Json:
        """The body, read."""
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str | None:
        """The code of a refusal; `None` of another answer."""
        found = self.json if self.status >= 400 else {}
        return found.get("code") if isinstance(found, dict) else None

    @property
    def events(self) -> list[Event]:
        """The events of an event stream that have come whole."""
        found = []
        for block in self.body.decode().split("\n\n")[:-1]:
            fields = dict(line.partition(": ")[::2] for line in block.split("\n"))
            if "data" in fields:
                data = msgspec.json.decode(fields["data"].encode())
                found.append(Event(fields.get("event", "message"), data, fields.get("id")))
        return found

    @property
    def messages(self) -> list[Json]:
        """The messages among the events."""
        return [event.data for event in self.events if event.name == "message"]

    @property
    def cursor(self) -> str:
        """The cursor of a client that has seen all this."""
        ids = [line[4:] for line in self.body.decode().split("\n") if line.startswith("id: ")]
        return ids[-1] if ids else ""

    @property
    def comments(self) -> int:
        """Number of comments that have come, such as keepalives."""
        return sum(line.startswith(":") for line in self.body.decode().split("\n"))

    @staticmethod
    def _chunks(rest: bytes) -> list[bytes]:
        chunks = []
        while rest:
            size, found, rest = rest.partition(b"\r\n")
            length = int(size, 16) if found else 0
            if not length or len(rest) < length + 2:
                break
            chunks.append(rest[:length])
            rest = rest[length + 2 :]
        return chunks
