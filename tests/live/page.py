"""A page with live objects in memory: a client's machines, over WebSocket or SSE."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

import msgspec

from takotwist.live.machine.codec import read_binary, read_text, read_trouble, trouble_json, write
from takotwist.live.machine.frames import (
    Answered,
    Bounds,
    Deliver,
    Ended,
    Failed,
    Forgotten,
    Frame,
    Opened,
    Position,
    Sent,
    Transmit,
    Trouble,
)
from takotwist.live.machine.machine import Machine, Phase
from takotwist.testing.memory_peer import HttpPeer
from takotwist.testing.memory_socket import TEXT, MemorySocket
from takotwist.testing.world import World

SECRET = "s" * 22
BINARY = 2


class Result:
    """What became of one send: `None` while it is open."""

    def __init__(self) -> None:
        self.sent = False
        self.answer: Any = None
        self.answered = False
        self.trouble: Trouble | None = None

    @property
    def code(self) -> str | None:
        """Why it failed."""
        return None if self.trouble is None else self.trouble.code


class ClientEnd:
    """The page's end of one object.

    :ivar answers: makes the answer to a request of its data; `None`: there is none yet.
    :ivar reads: whether messages are consumed as they come.
    """

    def __init__(self, page: Page, name: str, bounds: Bounds) -> None:
        self.page = page
        self.id = name
        self.machine = Machine(bounds, page.now)
        self.heard: list[Any] = []
        self.infos: list[Any] = []
        self.opened = 0
        self.ended: list[Trouble | None] = []
        self.forgotten = False
        self.answers: Any = lambda data: data
        self.reads = True
        self.open_requests: list[Frame] = []
        self.unread: list[int] = []

    def send(self, data: Any, *, ack: bool = False, do: str = "send", **more: Any) -> Result:
        """Send JSON, or bytes."""
        binary = isinstance(data, bytes)
        encoded = data if isinstance(data, bytes) else msgspec.json.encode(data)
        result = Result()
        frame = Frame(do, data=encoded, binary=binary, ack=ack, **more)  # type: ignore[arg-type]
        self.act("send", frame, result, self.page.now)
        return result

    def publish(self, data: Any) -> Result:
        """Publish JSON, or bytes."""
        return self.send(data, do="publish")

    def subscribe(self, kind: str = "text", **more: Any) -> Result:
        """Listen to publications."""
        result = Result()
        self.act("send", Frame("subscribe", kind=kind, **more), result, self.page.now)
        return result

    def unsubscribe(self, kind: str = "text") -> None:
        """Listen no more."""
        self.act("send", Frame("unsubscribe", kind=kind), None, self.page.now)

    def close(self, timeout: float = 5.0) -> None:
        """Close gracefully."""
        self.act("close", timeout, self.page.now)

    def abort(self, value: Any = None) -> None:
        """End with a value."""
        self.act("end", Trouble("abort", msgspec.json.encode(value)), self.page.now)

    def read(self) -> None:
        """Consume what has come."""
        unread, self.unread = self.unread, []
        for seq in unread:
            self.act("consumed", seq, self.page.now)

    def act(self, method: str, *arguments: Any) -> None:
        """One input of the machine."""
        getattr(self.machine, method)(*arguments)
        while outputs := self.machine.take():
            for output in outputs:
                self._carry_out(output)

    def _carry_out(self, output: Any) -> None:
        if isinstance(output, Transmit):
            self.page.transmit(write(self.id, output.frame), output.frame.binary)
        elif isinstance(output, Deliver):
            frame = output.frame
            self.heard.append(frame.data if frame.binary else msgspec.json.decode(frame.data))
            if frame.info is not None:
                self.infos.append(frame.info)
            if not frame.ack:
                self.unread.append(frame.seq)
                if self.reads:
                    self.read()
            elif self.answers is not None:
                self.answer(frame, self.answers(self.heard[-1]))
            else:
                self.open_requests.append(frame)
        elif isinstance(output, Sent | Answered | Failed):
            result = output.handle
            assert isinstance(result, Result)
            if isinstance(output, Sent):
                result.sent = True
            elif isinstance(output, Answered):
                result.answered, result.answer = True, msgspec.json.decode(output.data)
            else:
                result.trouble = output.trouble
        elif isinstance(output, Opened):
            self.opened += 1
        elif isinstance(output, Ended):
            self.ended.append(output.trouble)
        elif isinstance(output, Forgotten):
            self.forgotten = True
            self.page.ends.pop(self.id, None)

    def answer(self, frame: Frame, value: Any) -> None:
        """Answer a request."""
        self.act("answer", frame.seq, msgspec.json.encode(value), None, self.page.now)


class Page:
    """One page.

    :ivar pongs: whether it answers pings.
    """

    def __init__(self, world: World, secret: str = SECRET, **headers: str) -> None:
        self.world = world
        self.secret = secret
        self.headers = headers
        self.bounds = Bounds(connect_ttl=None, replay=1024 * 1024)
        self.ends: dict[str, ClientEnd] = {}
        self.socket: MemorySocket | None = None
        self.stream: HttpPeer | None = None
        self.upstream = ""
        self.attached = False
        self.attaching = False
        self.pongs = True
        self.ops: list[Any] = []
        self._read: dict[Any, int] = {}
        self._lines: list[bytes] = []

    @property
    def now(self) -> float:
        """The world's time."""
        return self.world.clock.seconds()

    # calls

    def call(self, name: str, *args: Any, **headers: str) -> tuple[int, Any]:
        """Call a function; status and body."""
        peer = self.world.request(
            "POST",
            f"/_tako/functions/{name}",
            {
                "Content-Type": "application/json",
                "Tako-Session": self.secret,
                **self.headers,
                **headers,
            },
            {"args": list(args)},
        )
        self.world.advance(0)
        return peer.status, peer.json

    def get(self, name: str, *args: Any) -> ClientEnd:
        """Call a function that returns one live object, and attach it where a wire is open."""
        status, body = self.call(name, *args)
        assert status == 200, body
        [live] = body["live"]
        return self.adopt(live["id"])

    def adopt(self, name: str) -> ClientEnd:
        """Hold the page's end of an object, and attach it where a wire is open."""
        end = self.ends[name] = ClientEnd(self, name, self.bounds)
        if self.attached:
            self.say({"op": "live.open", "ref": 1, "open": [self._entry(end)]})
        return end

    # wires

    def connect(self, **more: Any) -> MemorySocket:
        """Open a WebSocket and attach everything; an older wire stays as it is."""
        self.socket = self.world.connect("/_tako/connect", self.headers, subprotocol="tako.v1")
        self._attach(**more)
        return self.socket

    def connect_sse(self) -> HttpPeer:
        """Open an event stream and attach everything."""
        self.socket = None
        self.stream = self.world.get(
            "/_tako/connect", {"Accept": "text/event-stream", **self.headers}
        )
        self.upstream = self._events(self.stream)[0]["upstream"]
        self._attach()
        return self.stream

    def _attach(self, **more: Any) -> None:
        for end in list(self.ends.values()):
            end.act("detach", self.now)
        self.attached, self.attaching = False, True
        entries = [self._entry(end) for end in self.ends.values()]
        self.say({"op": "live.attach", "ref": 0, "session": self.secret, "open": entries, **more})
        self.pump()

    @staticmethod
    def _entry(end: ClientEnd) -> dict[str, Any]:
        if end.machine.phase is Phase.OVER:
            return {"id": end.id, "end": trouble_json(end.machine.outcome)}
        position = end.machine.position()
        return {
            "id": end.id,
            "seq": position.seq,
            "bytes": position.bytes,
            "messages": position.messages,
        }

    def cut(self) -> None:
        """The network is gone, with what was on its way."""
        self.pump()
        for wire in (self.socket, self.stream):
            if wire is not None:
                wire.leave()
        self.socket = self.stream = None
        self.attached = self.attaching = False
        for end in list(self.ends.values()):
            end.act("detach", self.now)

    def transmit(self, frame: bytes, binary: bool) -> None:
        """A frame of an object."""
        if not self.attached:
            return
        if self.socket is not None:
            self.socket.send_frame(BINARY if binary else TEXT, frame)
        else:
            self._lines.append(b"~" + b64encode(frame) if binary else frame)

    def say(self, op: Any) -> None:
        """An op of the connection."""
        if self.socket is not None:
            self.socket.say(op)
        else:
            self._lines.append(msgspec.json.encode(op))

    @staticmethod
    def trouble(code: str, value: Any, values: Any) -> Trouble:
        """An error with a value."""
        return Trouble(code, msgspec.json.encode(value), None, msgspec.json.encode(values))

    def post(self) -> int:
        """Send what has gathered upstream; the status."""
        lines, self._lines = self._lines, []
        peer = self.world.request(
            "POST",
            f"/_tako/connect/{self.upstream}",
            {"Content-Type": "application/x-ndjson", **self.headers},
            b"".join(line + b"\n" for line in lines),
        )
        return peer.status

    def pump(self) -> None:
        """Carry everything over, both ways, until nothing moves."""
        moved = True
        while moved:
            moved = False
            if self.socket is None and self.stream is not None and self._lines:
                self.post()
                moved = True
            for wire in (self.stream, self.socket):
                if wire is not None:
                    moved |= self._take(wire)
            if self.socket is None and self.stream is None:
                self._lines.clear()

    def advance(self, seconds: float) -> None:
        """Time passes, in steps in which everything is carried over."""
        left = seconds
        while left > 0:
            step = min(0.25, left)
            self.world.advance(step)
            left -= step
            self.pump()
            for end in list(self.ends.values()):
                end.act("tick", self.now)

    def _take(self, wire: Any) -> bool:
        frames = self._frames(wire)
        done = self._read.get(wire, 0)
        self._read[wire] = len(frames)
        for binary, payload in frames[done:]:
            if binary:
                self._to_end(*read_binary(payload))
                continue
            op = msgspec.json.decode(payload)
            if op.get("op") == "live":
                self._to_end(*read_text(payload))
            else:
                self._op(op)
        return len(frames) > done

    def _to_end(self, name: str, frame: Frame) -> None:
        end = self.ends.get(name)
        if end is not None:
            end.act("receive", frame, self.now)

    def _op(self, op: Any) -> None:
        self.ops.append(op)
        if op["op"] == "ping" and self.pongs:
            for end in list(self.ends.values()):
                end.act("report")
            self.say({"op": "pong"})
        elif op["op"] in ("live.attached", "live.opened"):
            self.attached = True
            for one in op["open"]:
                end = self.ends[one["id"]]
                end.act("attach", Position(one["seq"], one["bytes"], one["messages"]), self.now)
            for one in op["ended"]:
                end_ = self.ends.get(one["id"])
                if end_ is not None:
                    frame = Frame("end", error=read_trouble(one["error"]))
                    end_.act("receive", frame, self.now)
                    self.transmit(write(one["id"], Frame("ended")), False)

    def _frames(self, wire: Any) -> list[tuple[bool, bytes]]:
        if isinstance(wire, MemorySocket):
            return [
                (opcode == BINARY, data)
                for opcode, data in wire.raw_frames
                if opcode in (TEXT, BINARY)
            ]
        found = []
        for block in wire.body.split(b"\n\n"):
            if block.startswith(b"data: "):
                line = block[len(b"data: ") :]
                is_binary = line[:1] == b"~"
                found.append((is_binary, b64decode(line[1:]) if is_binary else line))
        return found

    def _events(self, wire: HttpPeer) -> list[Any]:
        return [msgspec.json.decode(data) for binary, data in self._frames(wire) if not binary]
