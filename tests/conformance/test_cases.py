"""Every case of ``cases.txt``, on every endpoint that speaks WebSocket, on a real port."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from twisted.trial.unittest import SynchronousTestCase

from tests.codecs.websocket_reader import Frame
from tests.conformance.cases import Case, Token, as_bytes, read_cases
from tests.conformance.endpoints import KINDS, Endpoint, serve
from tests.faults.seen import say

#: A case of no more bytes than this is also sent byte by byte.
SHORT = 400


#: What is said: of which kind, and what.
Said = tuple[str, object]

CLOSES = ("close", "closing")


def ways(frames: Sequence[bytes]) -> Iterator[tuple[str, Sequence[bytes]]]:
    """The same bytes, in segments of different sizes."""
    whole = b"".join(frames)
    yield "in one segment", [whole]
    if len(frames) > 1:
        yield "a frame a segment", frames
    if len(whole) <= SHORT:
        yield "byte by byte", [bytes([byte]) for byte in whole]
    else:
        yield (
            "in segments of 997 bytes",
            [whole[start : start + 997] for start in range(0, len(whole), 997)],
        )


def expected(token: Token, endpoint: Endpoint) -> Said:
    """What `heard` gives where the server says this."""
    if token.name == "text" and token.inside.isdigit():
        return "close", int(token.inside)
    if token.name in ("pong", "binary"):
        return token.name, token.payload
    if token.name == "close":
        code, _, reason = token.inside.partition(",")
        return "closing", (struct.pack("!H", int(code)) if code else b"") + as_bytes(reason)
    if token.name == "error":
        return "text", token.written
    if token.name == "size":
        _, whole, _ = token.message(endpoint.envelope)
        return "text", "size" if whole[:1] == b"{" else whole.decode()
    if token.name == "point":
        return "text", chr(int(token.inside, 16))
    return "text", token.inside


def heard(endpoint: Endpoint, wanted: Sequence[Said]) -> list[Said]:
    """What the server says, up to the last that is wanted, or to its close."""
    last, said = wanted[-1], []
    while not said or (said[-1] != last and said[-1][0] not in ("hung up", *CLOSES)):
        said.append(_heard(endpoint.frame(), endpoint, last[0]))
    return said


def _heard(frame: Frame | None, endpoint: Endpoint, close: str) -> Said:
    if frame is None:
        return "hung up", None
    assert not frame.rsv and not frame.masked and frame.fin, frame
    if frame.opcode == 8:
        endpoint.answer_close(frame)
        if close == "closing":
            return "closing", frame.payload
        return "close", struct.unpack("!H", frame.payload[:2])[0] if frame.payload else None
    if frame.opcode == 1:
        return "text", endpoint.told(frame.payload)
    return {2: "binary", 10: "pong"}.get(frame.opcode, f"opcode {frame.opcode}"), frame.payload


def judge(said: Sequence[Said], wanted: Sequence[Said], *, in_order: bool) -> None:
    """Whether what was said is what is wanted.

    :param in_order: else pongs and closes may overtake messages, which a channel says
        when they are stored; a close may then come before they are said at all.
    :raises AssertionError: it is not.
    """
    if in_order:
        assert said == wanted, f"{_short(said)} and not {_short(wanted)}"
        return
    for are_messages in (True, False):
        got = [one for one in said if (one[0] == "text") is are_messages]
        should = [one for one in wanted if (one[0] == "text") is are_messages]
        if are_messages and wanted[-1][0] in CLOSES:
            should = should[: len(got)]
        assert got == should, f"{_short(got)} and not {_short(should)}"


class CaseTests(SynchronousTestCase):
    """What a conforming server answers, and that it is well afterwards."""

    timeout = 300

    def setUp(self) -> None:
        self.server = serve()
        self.addCleanup(self.server.close)

    def _all(self, name: str) -> None:
        cases = [case for case in read_cases() if name in case.where]
        tried, wrong = 0, []
        for case in cases:
            probe = KINDS[name](self.server)
            frames = [frame for token in case.sends for frame in token.frames(probe.envelope)]
            probe.close()
            for way, _ in ways(frames):
                tried += 1
                try:
                    self._one(name, case, way)
                except (AssertionError, TimeoutError, OSError) as bad:
                    wrong.append(f"{case.name}, {way}: {type(bad).__name__} {str(bad)[:300]}")
        say(
            f"{len(cases)} cases, sent in {tried} ways, to {name}",
            f"{tried - len(wrong)} answered as they should be",
        )
        self.assertEqual(wrong, [])
        self.server.assert_clean()

    def _one(self, name: str, case: Case, way: str) -> None:
        endpoint = KINDS[name](self.server)
        try:
            frames = [frame for token in case.sends for frame in token.frames(endpoint.envelope)]
            endpoint.send(dict(ways(frames))[way])
            wanted = [expected(token, endpoint) for token in case.says]
            closes = bool(wanted) and wanted[-1][0] in CLOSES
            if not closes:
                # Whatever is answered before is answered when this is.
                endpoint.send(list(Token.of_text("well?").frames(endpoint.envelope)))
                wanted.append(("text", "well?"))
            judge(heard(endpoint, wanted), wanted, in_order=name == "streams")
            if closes:
                assert endpoint.hung_up(), "it does not hang up"
        finally:
            endpoint.close()

    def test_streams(self) -> None:
        """The streaming primitive, on a page of the app."""
        self._all("streams")

    def test_channel(self) -> None:
        """A channel, in the plain dialect."""
        self._all("plain")

    def test_channel_explicit(self) -> None:
        """A channel, with tako.v1."""
        self._all("explicit")

    def test_many_topics(self) -> None:
        """The connection to many topics."""
        self._all("mux")


def _short(got: object) -> str:
    text = str(got)
    return text if len(text) < 100 else f"{text[:60]}... ({len(text)})"
