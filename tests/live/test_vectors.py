"""The steps in `tests/vectors/live.json`, which every client runs as well."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from takotwist.live.machine.codec import read_binary, read_text, read_trouble, trouble_json, write
from takotwist.live.machine.frames import (
    Answered,
    Bounds,
    Broken,
    Deliver,
    Ended,
    Failed,
    Forgotten,
    Frame,
    Opened,
    Output,
    Position,
    Sent,
    Transmit,
)
from takotwist.live.machine.machine import Machine
from takotwist.live.values import decode, encode, read_marks

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "live.json").read_text())


def bounds_of(case: dict[str, Any]) -> Bounds:
    """As the vectors spell them."""
    said = VECTORS["bounds"] | case.get("bounds", {})
    ttl = said["connectTtlMs"]
    return Bounds(
        connect_ttl=None if ttl is None else ttl / 1000,
        reconnect_timeout=said["reconnectTimeoutMs"] / 1000,
        replay=said["replayBytes"],
        replay_binary=said["replayBytesBinary"],
        buffer=said["bufferBytes"],
        buffer_binary=said["bufferBytesBinary"],
        drop_oldest=case.get("overflow") == "drop-oldest",
        window_bytes=said["windowBytes"],
        window_messages=said["windowMessages"],
    )


def data_of(said: Any, binary: bool) -> bytes:
    """Base64 where binary, else as JSON text."""
    return base64.b64decode(said) if binary else msgspec.json.encode(said)


def frame_of(said: dict[str, Any]) -> Frame:
    """A frame as the vectors spell it: as on the wire without op and id."""
    name = said["do"].removesuffix("Binary")
    if name == said["do"]:
        return read_text(msgspec.json.encode({"op": "live", "id": "x", **said}))[1]
    binary = Frame(name, said["seq"], data_of(said["data"], True), True, said.get("ack", False))
    return read_binary(write("x", binary))[1]


def frame_json(frame: Frame) -> dict[str, Any]:
    """The reverse."""
    if frame.binary:
        said = {"do": f"{frame.do}Binary", "seq": frame.seq}
        if frame.ack:
            said["ack"] = True
        return {**said, "data": base64.b64encode(frame.data).decode()}
    said = json.loads(write("x", frame))
    del said["op"], said["id"]
    return said


def output_json(output: Output) -> dict[str, Any]:
    """What a machine asks for, as the vectors spell it."""
    if isinstance(output, Transmit):
        return {"frame": frame_json(output.frame)}
    if isinstance(output, Deliver):
        return {"deliver": frame_json(output.frame)}
    if isinstance(output, Sent):
        return {"sent": output.handle}
    if isinstance(output, Answered):
        return {"answered": output.handle, "data": json.loads(output.data)}
    if isinstance(output, Failed):
        return {"failed": output.handle, "error": json.loads(_error(output.trouble))}
    if isinstance(output, Ended):
        return {"ended": json.loads(_error(output.trouble))}
    if isinstance(output, Opened):
        return {"opened": True}
    if isinstance(output, Forgotten):
        return {"forgotten": True}
    assert isinstance(output, Broken)
    return {"broken": True}


def _error(trouble: Any) -> bytes:
    return msgspec.json.encode(trouble_json(trouble))


def play(machine: Machine, step: dict[str, Any]) -> None:
    """Give a machine the input of a step."""
    now = step.get("atMs", 0) / 1000
    [(name, said)] = step["in"].items()
    if name in ("send", "sendBinary", "publish", "publishBinary"):
        binary = name.endswith("Binary")
        data = data_of(said["data"], binary)
        do = name.removesuffix("Binary")
        frame = Frame(do, data=data, binary=binary, ack=said.get("ack", False))  # type: ignore[arg-type]
        machine.send(frame, said.get("handle"), now)
    elif name == "answer":
        error = read_trouble(said.get("error"))
        data = b"" if error else msgspec.json.encode(said["data"])
        machine.answer(said["of"], data, error, now)
    elif name == "attach":
        machine.attach(Position(said["seq"], said["bytes"], said["messages"]), now)
    elif name == "frame":
        machine.receive(frame_of(said), now)
    elif name == "consumed":
        machine.consumed(said, now)
    elif name == "close":
        machine.close(said["timeoutMs"] / 1000, now, said.get("excused", ()))
    elif name == "end":
        trouble = read_trouble(said)
        assert trouble is not None
        machine.end(trouble, now)
    elif name == "detach":
        machine.detach(now)
    elif name == "block":
        machine.block(said, now)
    elif name == "report":
        machine.report()
    else:
        assert name == "tick", name
        machine.tick(now)


def _meant(said: Any) -> Any:
    """As the vectors spell dates and bytes."""
    if isinstance(said, dict):
        if "$date" in said:
            return datetime.fromisoformat(said["$date"])
        if "$bytes" in said:
            return base64.b64decode(said["$bytes"])
        return {key: _meant(one) for key, one in said.items()}
    return [_meant(one) for one in said] if isinstance(said, list) else said


class LiveVectorTests(SynchronousTestCase):
    """Both ends of a live object follow the same steps."""

    def test_steps(self) -> None:
        """Each input of each case leaves exactly the outputs of the file."""
        for case in VECTORS["machine"] + VECTORS["durable"]["machine"]:
            machine = Machine(bounds_of(case), 0.0)
            for number, step in enumerate(case["steps"]):
                play(machine, step)
                out = [output_json(one) for one in machine.take()]
                self.assertEqual(out, step["out"], f"{case['name']}, step {number}")
                if "position" in step:
                    said = machine.position()
                    self.assertEqual(
                        {"seq": said.seq, "bytes": said.bytes, "messages": said.messages},
                        step["position"],
                        f"{case['name']}, step {number}",
                    )
                if "deadlineMs" in step:
                    deadline = machine.deadline
                    self.assertEqual(
                        None if deadline is None else round(deadline * 1000),
                        step["deadlineMs"],
                        f"{case['name']}, step {number}",
                    )

    def test_binary_frames(self) -> None:
        """Binary frames byte by byte, read and written."""
        for case in VECTORS["binary"] + VECTORS["durable"]["binary"]:
            payload = bytes.fromhex(case["hex"])
            id, frame = read_binary(payload)
            self.assertEqual((id, frame_json(frame)), (case["id"], case["frame"]))
            self.assertEqual(write(id, frame), payload)
            if "info" in case:
                assert frame.info is not None
                self.assertEqual(frame.info.said, case["info"])

    def test_text_frames(self) -> None:
        """Text frames as they stand on the wire; `data` counts as the bytes of its text."""
        for case in VECTORS["text"] + VECTORS["durable"]["text"]:
            text = case["text"].encode()
            id, frame = read_text(text)
            self.assertEqual((id, frame.size), (case["id"], case["dataBytes"]))
            self.assertEqual(write(id, frame), text)

    def test_values(self) -> None:
        """Dates and bytes beside the JSON, read and written."""
        for case in VECTORS["values"]:
            meant = _meant(case["means"])
            data = msgspec.json.encode(case["data"])
            marks = read_marks(msgspec.json.encode(case["values"]))
            self.assertEqual(decode(data, marks, None), meant, case["name"])
            said = encode(meant)
            self.assertEqual(json.loads(said.values), case["values"], case["name"])
            self.assertEqual(decode(said.data, read_marks(said.values), None), meant)

    def test_unreadable_frames(self) -> None:
        """What breaks the protocol by its form alone."""
        for case in VECTORS["unreadable"] + VECTORS["durable"]["unreadable"]:
            if "hex" in case:
                self.assertRaises(ValueError, read_binary, bytes.fromhex(case["hex"]))
            else:
                self.assertRaises(ValueError, read_text, case["text"].encode())
