"""The answer to what a page asks to open: every object is in it, once, as here or as ended."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from takotwist.live.machine.codec import Unreadable, trouble_json
from takotwist.live.machine.frames import NETWORK, Frame, Position, Trouble
from takotwist.live.opening import OPS, FarAnswer, OpenAnswer

GONE = Trouble("gone", message="It has gone.")


class _Object:
    """One of a session's objects; keeps what is done with it."""

    def __init__(self, outcome: Any = None) -> None:
        self.outcome = outcome
        self.done: list[Any] = []

    def position(self) -> Position:
        """See `LiveObject`."""
        return Position(3, 30, 2)

    def attach(self, position: Position) -> None:
        """See `LiveObject`."""
        self.done.append(position)

    def receive(self, frame: Frame) -> None:
        """See `LiveObject`."""
        self.done.append(frame)


class _Session:
    """See `LiveSession`."""

    def __init__(self, **objects: _Object) -> None:
        self.objects = objects


def answer(session: Any, *asked: dict[str, Any], far: FarAnswer | None = None) -> OpenAnswer:
    """Of a frame as it comes."""
    op = OPS.decode(msgspec.json.encode({"op": "live.open", "open": asked}))
    return OpenAnswer.of(session, op, far or FarAnswer())


class OpenAnswerTests(SynchronousTestCase):
    """Objects here."""

    def test_here(self) -> None:
        """With its position here; it goes on from the client's once the answer is on its way."""
        one = _Object()
        opening = answer(_Session(a=one), {"id": "a", "seq": 1, "bytes": 10, "messages": 1})
        self.assertEqual(opening.here, [{"id": "a", "seq": 3, "bytes": 30, "messages": 2}])
        self.assertEqual((opening.ended, one.done), ([], []))
        for begin in opening.begin:
            begin()
        self.assertEqual(one.done, [Position(1, 10, 1)])

    def test_unknown(self) -> None:
        """What is nowhere has ended, as what was cut off has."""
        opening = answer(_Session(), {"id": "a"})
        self.assertEqual(opening.ended, [{"id": "a", "error": trouble_json(NETWORK)}])
        self.assertEqual((opening.here, opening.begin), ([], []))

    def test_ended_here(self) -> None:
        """What has ended here meanwhile says how, and nothing begins."""
        opening = answer(_Session(a=_Object((GONE,))), {"id": "a"})
        self.assertEqual(opening.ended, [{"id": "a", "error": trouble_json(GONE)}])
        self.assertEqual((opening.here, opening.begin), ([], []))

    def test_ended_there(self) -> None:
        """What has ended at the client ends here, when it has been told so; so it is where it is
        not here any more."""
        one = _Object()
        end = trouble_json(GONE)
        opening = answer(_Session(a=one), {"id": "a", "end": end}, {"id": "b", "end": end})
        self.assertEqual(opening.ended, [{"id": id, "error": end} for id in "ab"])
        self.assertEqual((opening.here, one.done), ([], []))
        for begin in opening.begin:
            begin()
        self.assertEqual(one.done, [Frame("end", error=GONE)])

    def test_far(self) -> None:
        """What another node has answered for is not looked for here."""
        one = _Object()
        far = FarAnswer([{"id": "a", "seq": 9}], [{"id": "b", "error": trouble_json(GONE)}])
        opening = answer(_Session(a=one), {"id": "a"}, {"id": "b"}, {"id": "c"}, far=far)
        self.assertEqual(opening.here, [{"id": "a", "seq": 9}])
        self.assertEqual([one["id"] for one in opening.ended], ["b", "c"])
        self.assertEqual((opening.begin, one.done), ([], []))
        # The other node's answer is not added to.
        self.assertEqual(len(far.ended), 1)

    def test_all(self) -> None:
        """In the order in which they were asked for; others of the session are not told of."""
        session = _Session(a=_Object(), b=_Object((GONE,)), c=_Object(), other=_Object())
        opening = answer(session, *({"id": id} for id in "cxab"))
        self.assertEqual([one["id"] for one in opening.here], ["c", "a"])
        self.assertEqual([one["id"] for one in opening.ended], ["x", "b"])
        self.assertEqual(len(opening.begin), 2)

    def test_bad(self) -> None:
        """An end that cannot be read is the client's fault, and begins nothing."""
        one = _Object()
        for end in (7, [], {"code": 7}):
            with self.assertRaises(Unreadable):
                answer(_Session(a=one), {"id": "a", "end": end})
        self.assertEqual(one.done, [])
