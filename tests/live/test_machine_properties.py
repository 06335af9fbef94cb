"""Whatever is sent, cut, attached and closed in whatever order: once, in order, or said."""

from __future__ import annotations

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.live.machine.frames import Answered, Bounds, Failed, Frame, Sent
from takotwist.live.machine.machine import Phase
from tests.live.wires import End, Pair

SMALL = Bounds(
    connect_ttl=None,
    replay=1600,
    replay_binary=2000,
    buffer=3200,
    buffer_binary=4000,
    window_bytes=300,
    window_messages=5,
)

SEND = st.tuples(st.just("send"), st.booleans(), st.booleans(), st.booleans(), st.integers(0, 350))
STEP = st.tuples(st.just("step"), st.integers(0, 3), st.booleans())
CONSUME = st.tuples(st.just("consume"), st.booleans())
SIMPLE = st.sampled_from(
    [("cut",), ("connect",), ("connect",), ("ping",), ("block", True), ("block", False)]
)
DROPS = attrs.evolve(SMALL, drop_oldest=True)
MOVES = st.lists(st.one_of(SEND, STEP, STEP, STEP, CONSUME, SIMPLE), max_size=120)
LAST = st.sampled_from(["nothing", "client", "server", "both", "abort client", "abort server"])


class Model:
    """What a user of one end knows: what was sent, in order, and nothing of frames."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, bool, bool, bytes]] = []


class MachinePropertyTests(SynchronousTestCase):
    """The frame layer against a list."""

    def _play(
        self, moves: list[tuple[object, ...]], bounds: Bounds
    ) -> tuple[Pair, dict[End, Model]]:
        pair = Pair(bounds)
        models = {pair.client: Model(), pair.server: Model()}
        for move in moves:
            if move[0] == "send":
                _, from_client, binary, ack, size = move
                end = pair.client if from_client else pair.server
                sent = models[end].sent
                handle = len(sent)
                assert isinstance(size, int)
                data = b"%d:" % handle + b"x" * size
                sent.append((handle, bool(binary), bool(ack), data))
                frame = Frame("send", data=data, binary=bool(binary), ack=bool(ack))
                pair.act(end, "send", frame, handle, pair.now)
            elif move[0] == "step":
                pair.step(int(str(move[1])), bool(move[2]))
            elif move[0] == "consume":
                pair.consume(pair.client if move[1] else pair.server)
            elif move[0] == "block":
                pair.act(pair.server, "block", move[1], pair.now)
            else:
                getattr(pair, str(move[0]))()
        return pair, models

    def _check(
        self,
        sender: End,
        receiver: End,
        model: Model,
        *,
        all_arrive: bool,
        may_drop: bool,
    ) -> None:
        self.assertEqual(receiver.broken, [])
        arrived = [(frame.data, frame.binary, frame.ack) for frame in receiver.delivered]
        expected = []
        for handle, binary, ack, data in model.sent:
            results = sender.results.get(handle, [])
            self.assertLessEqual(len(results), 1, "a send came out twice")
            if all_arrive:
                self.assertEqual(len(results), 1, "a send never came out")
                if may_drop and isinstance(results[0], Failed):
                    self.assertEqual(results[0].trouble.code, "overflow")
                    continue
                if ack:
                    self.assertEqual(results[0], Answered(handle, data))
                else:
                    self.assertEqual(results[0], Sent(handle))
            expected.append((data, binary, ack))
        if all_arrive:
            self.assertEqual(arrived, expected)
        elif may_drop:
            rest = iter(expected)
            self.assertTrue(all(one in rest for one in arrived), "order, or a double")
        else:
            self.assertEqual(arrived, expected[: len(arrived)], "a hole, order, or a double")

    def _brought_over(
        self, moves: list[tuple[object, ...]], bounds: Bounds
    ) -> tuple[Pair, dict[End, Model]]:
        """After any history, a good wire."""
        pair, models = self._play(moves, bounds)
        pair.cut()
        pair.connect()
        for _ in range(60):
            pair.settle_all()
            pair.ping()
        return pair, models

    @settings(max_examples=300)
    @given(MOVES)
    def test_whole_or_over(self, moves: list[tuple[object, ...]]) -> None:
        """What is sent arrives whole, once and in order, or both sides end with overflow and have
        what was sent up to some message; nothing else happens, whoever awaits or does not."""
        pair, models = self._brought_over(moves, SMALL)
        over = bool(pair.client.ended or pair.server.ended)
        for end, other in ((pair.client, pair.server), (pair.server, pair.client)):
            codes = [one.trouble and one.trouble.code for one in end.ended]
            self.assertEqual(codes, ["overflow"] if over else [])
            self._check(end, other, models[end], all_arrive=not over, may_drop=False)
            for handle, *_ in models[end].sent:
                self.assertEqual(len(end.results.get(handle, [])), 1)

    @settings(max_examples=300)
    @given(MOVES)
    def test_drop_oldest(self, moves: list[tuple[object, ...]]) -> None:
        """Where dropping was asked for, all arrives that was not told to be dropped, once, in
        order, and the object goes on."""
        pair, models = self._brought_over(moves, DROPS)
        for end, other in ((pair.client, pair.server), (pair.server, pair.client)):
            self.assertEqual((end.ended, end.opened), ([], 1))
            self._check(end, other, models[end], all_arrive=True, may_drop=True)

    @settings(max_examples=300)
    @given(MOVES, LAST, MOVES, st.sampled_from([SMALL, DROPS]))
    def test_ends_once_everywhere(
        self,
        before: list[tuple[object, ...]],
        last: str,
        after: list[tuple[object, ...]],
        bounds: Bounds,
    ) -> None:
        """However it ends: each side once, every send comes out once, and nothing is left."""
        pair, models = self._play(before, bounds)
        over = bool(pair.client.ended or pair.server.ended)
        ends = {"abort client": pair.client, "abort server": pair.server}
        # One that is aborted before it hears of the other's overflow ends by that.
        aborted = ends[last] if last in ends and not ends[last].ended else None
        self._end(pair, last)
        for move in after:
            if move[0] == "step":
                pair.step(int(str(move[1])), bool(move[2]))
            elif move[0] in ("cut", "connect", "ping"):
                getattr(pair, str(move[0]))()
        pair.cut()
        pair.connect()
        for _ in range(60):
            pair.settle_all()
            pair.ping()
        if last == "nothing":
            pair.cut()
        for _ in range(3):
            pair.advance(60.0)
        for end, other in ((pair.client, pair.server), (pair.server, pair.client)):
            self.assertEqual(end.machine.phase, Phase.FORGOTTEN)
            self.assertEqual(len(end.ended), 1)
            self.assertIsNone(end.machine.deadline)
            self._check(end, other, models[end], all_arrive=False, may_drop=bounds.drop_oldest)
            for handle, *_ in models[end].sent:
                self.assertEqual(len(end.results.get(handle, [])), 1)
            code = {"nothing": "network"}.get(last, "abort" if "abort" in last else None)
            trouble = end.ended[0].trouble
            by_overflow = over and end is not aborted
            self.assertEqual(trouble and trouble.code, "overflow" if by_overflow else code)

    def _end(self, pair: Pair, last: str) -> None:
        from takotwist.live.machine.frames import Trouble

        for end, name in ((pair.client, "client"), (pair.server, "server")):
            if last in (name, "both"):
                pair.act(end, "close", 30.0, pair.now)
            elif last == f"abort {name}":
                pair.act(end, "end", Trouble("abort", b"7"), pair.now)
