from __future__ import annotations

from typing import Any

from aioquic.h3.connection import ErrorCode
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.http3.admission import WEBTRANSPORT_TOKENS, begin_request
from takotwist.streams.http3.link import Header

GET: list[Header] = [(b":method", b"GET"), (b":path", b"/")]


def connect(protocol: bytes | None) -> list[Header]:
    """The head of a CONNECT."""
    extended = [] if protocol is None else [(b":protocol", protocol)]
    return [(b":method", b"CONNECT"), *extended, (b":path", b"/")]


class Recorder:
    """Link, application and sessions in one: keeps what is asked of them."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []

    def reset(self, stream_id: int, code: int) -> None:
        """See `Link`."""
        self.said.append(("reset", stream_id, code))

    def stop(self, stream_id: int, code: int) -> None:
        """See `Link`."""
        self.said.append(("stop", stream_id, code))

    def request(self, link: object, stream_id: int, headers: list[Header]) -> None:
        """See `Application`."""
        self.said.append(("request", stream_id))

    def refuse(self, link: object, stream_id: int, status: int, sentence: str) -> None:
        """See `Application`."""
        self.said.append(("refuse", stream_id, status))

    def connect(self, stream_id: int, headers: list[Header]) -> None:
        """See `Sessions`."""
        self.said.append(("connect", stream_id))


class AdmissionTests(SynchronousTestCase):
    """Who answers a new request."""

    def begin(
        self, headers: list[Header], *, sessions: bool = True, most: int = 1000, drain: bool = False
    ) -> list[tuple[Any, ...]]:
        """What becomes of `headers` on stream 4."""
        recorder: Any = Recorder()
        begin_request(
            recorder,
            4,
            headers,
            application=recorder,
            sessions=recorder if sessions else None,
            max_header_bytes=most,
            draining=drain,
        )
        said: list[tuple[Any, ...]] = recorder.said
        return said

    def test_plain(self) -> None:
        """A plain request is the application's, with WebTransport and without."""
        for sessions in (True, False):
            self.assertEqual(self.begin(GET, sessions=sessions), [("request", 4)])

    def test_session(self) -> None:
        """An extended CONNECT of any draft in use opens a session."""
        for token in WEBTRANSPORT_TOKENS:
            self.assertEqual(self.begin(connect(token)), [("connect", 4)])

    def test_no_session(self) -> None:
        """CONNECT for anything else, or where there are no routes, is 501."""
        for protocol in (None, b"websocket", b""):
            self.assertEqual(self.begin(connect(protocol)), [("refuse", 4, 501)])
        refused = self.begin(connect(WEBTRANSPORT_TOKENS[0]), sessions=False)
        self.assertEqual(refused, [("refuse", 4, 501)])

    def test_large_head(self) -> None:
        """The bound is on the decoded fields, 32 more for each (RFC 9114 section 4.2.2)."""
        size = sum(len(name) + len(value) + 32 for name, value in GET)
        self.assertEqual(self.begin(GET, most=size), [("request", 4)])
        self.assertEqual(self.begin(GET, most=size - 1), [("refuse", 4, 431)])
        token = connect(WEBTRANSPORT_TOKENS[0])
        self.assertEqual(self.begin(token, most=64), [("refuse", 4, 431)])

    def test_draining(self) -> None:
        """While the connection ends a request is rejected so that the client may send it again."""
        code = ErrorCode.H3_REQUEST_REJECTED
        for headers in (GET, connect(WEBTRANSPORT_TOKENS[0])):
            said = self.begin(headers, most=1, drain=True)
            self.assertEqual(said, [("reset", 4, code), ("stop", 4, code)])
