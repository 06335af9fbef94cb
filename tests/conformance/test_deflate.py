"""Every case of ``deflate_cases.txt``: permessage-deflate, by another library's client."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import connect

from tests.codecs.websocket_reader import client_frame
from tests.conformance.endpoints import KINDS, Endpoint, serve
from tests.faults.seen import say
from tests.streams.websocket_client import deflated

FILE = Path(__file__).parent / "deflate_cases.txt"


@attrs.frozen
class DeflateCase:
    """One line."""

    number: str
    what: str
    offer: str
    endpoint: str
    agreed: str
    content: str
    sizes: tuple[int, ...]
    count: int

    @property
    def factory(self) -> ClientPerMessageDeflateFactory:
        """What the client offers."""
        options: dict[str, Any] = {"client_max_window_bits": None}
        for word in self.offer.split():
            name, _, value = word.partition("=")
            options[name] = int(value) if value else True
        return ClientPerMessageDeflateFactory(**options)

    def messages(self, size: int) -> Iterator[str | bytes]:
        """What is sent: the same in each run."""
        chance = random.Random(size)
        for number in range(self.count):
            match self.content:
                case "words":
                    words = (f"word{chance.randrange(50)}" for _ in range(size // 4 + 1))
                    yield " ".join(words)[:size]
                case "json":
                    rows = [{"id": row, "name": f"näme {row}"} for row in range(size // 25 + 1)]
                    yield json.dumps([number, rows], ensure_ascii=False)
                case "noise":
                    yield chance.randbytes(size)
                case _:
                    yield "mixed " * (chance.randrange(size) // 6)


def read_deflate_cases() -> list[DeflateCase]:
    """All of them."""
    cases = []
    for line in FILE.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            *texts, sizes, count = (part.strip() for part in line.split("|"))
            cases.append(DeflateCase(*texts, tuple(map(int, sizes.split())), int(count)))
    return cases


class DeflateTests(SynchronousTestCase):
    """Compression where it is on, and where it is not."""

    def setUp(self) -> None:
        self.server = serve()
        self.addCleanup(self.server.close)

    def test_cases(self) -> None:
        """What is offered is agreed on as it should be, and every message comes back."""
        sent = connections = 0
        for case in read_deflate_cases():
            for size in case.sizes:
                with connect(
                    f"ws://127.0.0.1:{self.server.port}/deflated/{case.endpoint}",
                    compression=None,
                    extensions=[case.factory],
                    max_size=None,
                ) as websocket:
                    assert websocket.response is not None
                    extension, *agreed = (
                        websocket.response.headers["Sec-WebSocket-Extensions"]
                        .replace(" ", "")
                        .split(";")
                    )
                    self.assertEqual(extension, "permessage-deflate")
                    self.assertEqual(set(agreed), set(case.agreed.split()), case.number)
                    for message in case.messages(size):
                        websocket.send(message)
                        assert websocket.recv(60) == message, (case.number, size)
                        sent += 1
                    connections += 1
        say(
            f"{sent} messages over {connections} connections with compression",
            "each came back as it was",
        )
        self.server.assert_clean()

    def test_bad_streams(self) -> None:
        """What does not inflate, or inflates to no text, ends with a code; and so does what
        says that it is compressed within a message."""
        good = deflated("grüße".encode())
        for what, frames, code in (
            ("a good one", [client_frame(1, good, rsv=4)], None),
            ("good in two fragments", [client_frame(1, good[:3], fin=False, rsv=4),
                                       client_frame(0, good[3:])], None),
            ("plain where compression was agreed", [client_frame(1, "grüße".encode())], None),
            ("no deflate at all", [client_frame(1, b"\xff" * 20, rsv=4)], 1007),
            ("text that is none", [client_frame(1, deflated(b"\xff"), rsv=4)], 1007),
            ("the bit on a continuation", [client_frame(1, good[:3], fin=False, rsv=4),
                                           client_frame(0, good[3:], rsv=4)], 1002),
            ("the bit on a ping", [client_frame(9, b"", rsv=4)], 1002),
            ("more than a message may have", [client_frame(1, deflated(bytes(2 << 20)), rsv=4)],
             1009),
        ):  # fmt: skip
            endpoint = _Deflated(self.server, "permessage-deflate; server_no_context_takeover")
            try:
                endpoint.send(frames)
                frame = endpoint.frame()
                assert frame is not None, what
                if code is None:
                    self.assertEqual(frame.opcode, 1, what)
                else:
                    got = (frame.opcode, int.from_bytes(frame.payload[:2]))
                    self.assertEqual(got, (8, code), what)
            finally:
                endpoint.close()
        self.server.assert_clean()

    def test_not_on_channels(self) -> None:
        """A channel declines compression: it is told nothing of it, and serves without."""
        for name in ("plain", "explicit", "mux"):
            endpoint = KINDS[name](self.server, "permessage-deflate; client_max_window_bits")
            try:
                self.assertNotIn("sec-websocket-extensions", endpoint.head)
                before, text, behind = endpoint.envelope("as it is")
                endpoint.send([client_frame(1, before + text + behind)])
                frame = endpoint.frame()
                assert frame is not None
                self.assertEqual(endpoint.told(frame.payload), "as it is")
                endpoint.send([client_frame(1, deflated(before + text + behind), rsv=4)])
                frame = endpoint.frame()
                assert frame is not None
                self.assertEqual((frame.opcode, frame.payload[:2]), (8, b"\x03\xea"))
            finally:
                endpoint.close()
        self.server.assert_clean()


class _Deflated(Endpoint):
    """The streaming primitive with compression."""

    def target(self) -> str:
        return "/deflated/any"
