"""A streamed message through cuts, lost answers and restarts: every reader has exactly the text."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist import define_channel
from takotwist.adapters.memory import InMemoryReplayLog
from takotwist.app.stream_call import AppendCall, OpenCall, RenewCall, StreamCall
from takotwist.app.stream_machine import StreamMachine
from takotwist.app.stream_wire import read_reply, request_of
from takotwist.codecs.http_answer import HttpAnswer
from takotwist.testing.memory_peer import HttpPeer
from takotwist.testing.world import World, WorldClock

ROOM = {"type": "object", "properties": {"roomId": {"type": "string"}}, "required": ["roomId"]}
TARGET = "/channels/chat/streams/a?roomId=lobby"

MODES = ("", "&live=long-poll", "&live=sse")


class Reader:
    """Somebody who reads, and comes again at the last offset."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.offset = "-1"
        self.text = ""
        self.closed = False
        self._peer: HttpPeer | None = None
        self._blocks = 0

    def ask(self, world: World) -> None:
        """Come, or come again; what was not taken of the answer before is lost."""
        if not self.closed:
            self._peer = world.get(f"{TARGET}&offset={self.offset}{self.mode}")
            self._blocks = 0

    def take(self) -> None:
        """Take what has come."""
        peer = self._peer
        if peer is None or self.closed:
            return
        if self.mode == "&live=sse":
            self._take_events(peer)
        elif peer.answered:
            assert peer.status in (200, 204), peer.received
            self.text += "".join(json.loads(peer.body or b"[]"))
            self.offset = peer.headers["stream-next-offset"]
            self.closed = "stream-closed" in peer.headers
            self._peer = None

    def _take_events(self, peer: HttpPeer) -> None:
        blocks = peer.body.decode().split("\n\n")[:-1]
        words = ""
        for block in blocks[self._blocks :]:
            lines = dict(line.partition(":")[::2] for line in block.split("\n"))
            data = lines.get("data", "")
            if lines.get("event") == " data":
                words += "".join(json.loads(data))
            elif lines.get("event") == " control":
                said = json.loads(data)
                self.text, words = self.text + words, ""
                self.offset = said["streamNextOffset"]
                self.closed = self.closed or said.get("streamClosed", False)
        assert not words, "data without its place"
        self._blocks = len(blocks)


class Story:
    """A server that may be started anew, a writer elsewhere, and readers."""

    def __init__(self) -> None:
        self.clock = WorldClock()
        self.clock.rightNow = 1_763_700_000.0
        self.log = InMemoryReplayLog(self.clock)
        self.world = self._start()
        self.machine = StreamMachine("a", True)
        self.under_way: StreamCall | None = None
        self.written = ""
        self.readers: list[Reader] = []
        opened = self._ask(OpenCall("a", "answer", "k"))
        self.machine.opened(opened, self.clock.seconds())

    def _start(self) -> World:
        chat = define_channel("chat", params=ROOM)
        return World(chat, log=self.log, clock=self.clock)

    def _ask(self, call: StreamCall) -> Any:
        method, headers, body = request_of(call)
        peer = self.world.request(method, TARGET, headers, body, private=True)
        return read_reply(HttpAnswer(peer.status, peer.headers, peer.body))

    def restart(self) -> None:
        """All connections are gone."""
        self.world.parts.streamed.messages.stop()
        self.world = self._start()
        for reader in self.readers:
            reader.ask(self.world)

    def write(self, text: str) -> None:
        """A token."""
        self.machine.write(text)
        self.written += text

    def send(self, *, lost: bool = False) -> None:
        """What is to be sent, or what had no answer; an answer may be lost."""
        if self.under_way is None:
            step = self.machine.next(self.clock.seconds())
            if not isinstance(step, AppendCall | RenewCall):
                return
            self.under_way = step
        reply = self._ask(self.under_way)
        if not lost:
            self.under_way = None
            self.machine.answered(reply)

    def read(self, mode: str) -> None:
        """One more reader."""
        reader = Reader(mode)
        self.readers.append(reader)
        reader.ask(self.world)

    def finish(self) -> None:
        """The writer ends it, and all read on until they are told so."""
        self.machine.end("ended")
        while not self.machine.over:
            self.send()
        for mode in MODES:
            self.read(mode)
        for reader in self.readers:
            for _ in range(20):
                reader.take()
                if reader.closed:
                    break
                reader.ask(self.world)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.text(alphabet="ab\r\n é\u2028", min_size=1, max_size=6)),
        st.tuples(st.just("send"), st.booleans()),
        st.tuples(st.just("pass"), st.sampled_from([0.05, 1.0, 6.0])),
        st.tuples(st.just("read"), st.sampled_from(MODES)),
        st.tuples(st.just("take"), st.integers(0, 4)),
        st.tuples(st.just("cut"), st.integers(0, 4)),
        st.tuples(st.just("restart"), st.none()),
    ),
    max_size=40,
)


class StreamedMessageTests(SynchronousTestCase):
    """Any order of events."""

    @settings(max_examples=40)
    @given(STEPS)
    def test_exactly_the_text(self, steps: list[tuple[str, Any]]) -> None:
        """Of all that was written, each token once, for whoever reads however."""
        story = Story()
        for kind, what in steps:
            if kind == "write":
                story.write(what)
            elif kind == "send":
                story.send(lost=what)
            elif kind == "pass":
                # Its writer is there: it says so in time.
                for _ in range(2):
                    story.world.advance(what / 2)
                    story.send()
            elif kind == "read":
                story.read(what)
            elif kind == "restart":
                story.restart()
            elif story.readers:
                reader = story.readers[what % len(story.readers)]
                reader.take() if kind == "take" else reader.ask(story.world)
        story.finish()
        self.assertEqual(
            [(one.closed, one.text) for one in story.readers],
            [(True, story.written)] * len(story.readers),
        )
        history: Any = story.world.get("/channels/chat/history?roomId=lobby").json
        [last] = [one["data"] for one in history["messages"]]
        self.assertEqual((last["stream"]["state"], last["text"]), ("ended", story.written))
