"""HTTP/1.1 and HTTP/2 clients in memory, on one clock with the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
from twisted.internet.testing import MemoryReactorClock
from twisted.web.resource import Resource

from takotwist.streams.http.site import make_site
from tests.streams.memory_transport import MemoryTransport


class Answering(Resource):
    """A resource that is one function of the request."""

    isLeaf = True

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        super().__init__()
        self._answer = answer

    def render(self, request: Any) -> Any:
        return self._answer(request)


class Http1Exchange:
    """One HTTP/1.1 connection to a site whose every resource is `answer`.

    :cvar direct: whether `answer` is also what answers directly.
    """

    direct = False

    def __init__(self, answer: Callable[[Any], Any], limits: Any = None, **site: Any) -> None:
        self.clock = MemoryReactorClock()
        if self.direct:

            def directly(request: Any) -> bool:
                return answer(request) is not False

            site["direct"] = lambda path: directly
        self.site = make_site(Answering(answer), self.clock, limits, **site)
        self.transport = MemoryTransport()
        self.transport.connect(self.site.buildProtocol(None))

    def ask(
        self,
        target: str = "/",
        *lines: str,
        method: str = "GET",
        version: str = "1.1",
        body: bytes = b"",
    ) -> None:
        """Send a request."""
        head = [f"{method} {target} HTTP/{version}", "Host: example.com", *lines, "", ""]
        self.transport.deliver("\r\n".join(head).encode("latin-1") + body)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and the rest of what came since the last time."""
        head, _, rest = self.transport.take().partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines)
        return int(first.split(" ")[1]), fields, rest


class DirectExchange(Http1Exchange):
    """The same, where a plain GET that is first on its connection is answered directly."""

    direct = True


def dechunk(data: bytes) -> tuple[bytes, bool]:
    """The content of chunks, and whether the last one has come."""
    content = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return content, True
        content, data = content + data[:length], data[length + 2 :]
    return content, False


def run_due(clock: Any) -> None:
    """One turn: what is due now, and not what that makes due, so that a loop is seen as one."""
    for call in [call for call in clock.calls if call.getTime() <= clock.seconds()]:
        # One that was due before it may have cancelled it.
        if call in clock.calls:
            clock.calls.remove(call)
            call.called = 1
            call.func(*call.args, **call.kw)


class Http2Exchange:
    """One HTTP/2 connection.

    :param window: bytes of a stream, and of the connection, before the client reads.
    :param begin: whether it says its preface.
    """

    def __init__(
        self,
        answer: Callable[[Any], Any],
        limits: Any = None,
        *,
        window: int = 65535,
        begin: bool = True,
        factory: Callable[[Any, Any], Any] | None = None,
        **site: Any,
    ) -> None:
        self.clock = MemoryReactorClock()
        resource = Answering(answer)
        self.site = (
            make_site(resource, self.clock, limits, **site)
            if factory is None
            else factory(resource, self.clock)
        )
        self.transport = MemoryTransport(alpn=b"h2")
        self.transport.connect(self.site.buildProtocol(None))
        self.client = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        )
        self.client.local_settings = h2.settings.Settings(
            client=True, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window}
        )
        self.client.initiate_connection()
        self.events: list[Any] = []
        self.read_windows = True
        if begin:
            self.turn()

    @property
    def server(self) -> Any:
        """The server's connection."""
        return self.transport.protocol._channel

    def turn(self, turns: int = 20) -> None:
        """Let both sides say what they have to."""
        for _ in range(turns):
            data = self.client.data_to_send()
            if data:
                self.transport.deliver(data)
            run_due(self.clock)
            for event in self.client.receive_data(self.transport.take()):
                self.events.append(event)
                if isinstance(event, h2.events.DataReceived) and self.read_windows:
                    self.client.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id
                    )

    def ask(
        self,
        target: str = "/",
        *fields: tuple[str, str],
        method: str = "GET",
        ended: bool = True,
    ) -> int:
        """Send a request; returns its stream."""
        stream: int = self.client.get_next_available_stream_id()
        self.client.send_headers(
            stream,
            [
                (":method", method),
                (":path", target),
                (":scheme", "https"),
                (":authority", "example.com"),
                *fields,
            ],
            end_stream=ended,
        )
        self.turn()
        return stream

    def headers(self, stream: int) -> dict[str, str]:
        """The head of a response."""
        for event in self.events:
            if isinstance(event, h2.events.ResponseReceived) and event.stream_id == stream:
                return dict(event.headers)
        raise AssertionError("no response came")

    def data(self, stream: int) -> bytes:
        """The body of a response so far."""
        return b"".join(
            event.data
            for event in self.events
            if isinstance(event, h2.events.DataReceived) and event.stream_id == stream
        )

    def has(self, kind: type, stream: int | None = None) -> bool:
        """Whether an event of `kind` came."""
        return any(
            isinstance(event, kind) and (stream is None or event.stream_id == stream)
            for event in self.events
        )
