"""SSE bytes split anyhow, from the shared vectors."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.errors import ProtocolBroken
from takotwist.client.events import Message
from takotwist.client.machine.continuity import Continuity, Delivery
from takotwist.client.machine.machine import Deliver, Move
from takotwist.client.machine.stream_reader import StreamReader
from takotwist.client.wire import EventStream, RetrySaid
from tests.client.vectors import VECTORS, plain


def raw(vector: dict[str, Any]) -> bytes:
    """A vector's bytes."""
    if "base64" in vector:
        return base64.b64decode(vector["base64"])
    return str(vector["bytes"]).encode()


def read(chunks: Iterable[bytes], cursor: str | None = None) -> list[dict[str, Any]]:
    """What a reader makes of `chunks`, as the vectors write it."""
    reader = StreamReader(
        Delivery(Continuity.starting_at(cursor, "reset")), {}, EventStream(10_000)
    )
    steps: list[dict[str, Any]] = []
    try:
        for chunk in chunks:
            for step in reader.feed(chunk):
                match step:
                    case RetrySaid(retry_ms):
                        steps.append({"retry": retry_ms})
                    case Move(moved):
                        steps.append({"cursor": moved})
                    case Deliver(event, now_at):
                        kind = "message" if isinstance(event, Message) else "reset"
                        steps.append({kind: plain(event), "cursor": now_at})
    except ProtocolBroken:
        steps.append({"broken": True})
    return steps


class StreamReaderTests(SynchronousTestCase):
    """The same steps, whatever the pieces."""

    def test_whole(self) -> None:
        """In one piece."""
        for vector in VECTORS["sse"]:
            self.assertEqual(
                read([raw(vector)], vector.get("cursor")), vector["steps"], vector["name"]
            )

    def test_every_split(self) -> None:
        """In two pieces, cut at each place."""
        for vector in VECTORS["sse"]:
            data = raw(vector)
            for at in range(len(data) + 1):
                got = read([data[:at], data[at:]], vector.get("cursor"))
                self.assertEqual(got, vector["steps"], f"{vector['name']}, cut at {at}")

    def test_trickle(self) -> None:
        """One byte at a time, with nothing between some."""
        for vector in VECTORS["sse"]:
            data = raw(vector)
            pieces = [piece for at in range(len(data)) for piece in (data[at : at + 1], b"")]
            self.assertEqual(read(pieces, vector.get("cursor")), vector["steps"], vector["name"])

    @given(st.binary(max_size=200), st.integers(0, 200))
    def test_any_bytes(self, data: bytes, at: int) -> None:
        """No bytes raise anything but the documented error, and no split changes a thing."""
        self.assertEqual(read([data[:at], data[at:]]), read([data]))

    def test_bounded(self) -> None:
        """A block without end breaks the stream instead of filling the memory."""
        self.assertEqual(read([b"data: ", *[b"x" * 1000] * 11]), [{"broken": True}])
        self.assertEqual(read([b"data: xxxxxxxxx\n"] * 2000), [{"broken": True}])
