"""A batch of appends as the parameters of ``append``, and its answers read, without a database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from psycopg.pq.abc import PGresult
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.postgres.entries import (
    PARAMETERS,
    Batch,
    Stored,
    as_bytes,
    as_text,
    digest_of,
    message_of,
)
from takotwist.adapters.postgres.values import byteas, int8, int8s
from takotwist.core.channel import Lifecycle
from takotwist.core.log import Append
from takotwist.core.topic import MESSAGE_BYTES, Draft, Message, Topic
from tests.adapters.postgres.test_values import BYTEAS, INT4S, INT8S, TEXTS, read

LOBBY, KITCHEN = (Topic.of("chat", {"roomId": room}) for room in ("lobby", "kitchen"))

SHORT, LONG = Lifecycle(replay_window_ms=1000), Lifecycle(replay_window_ms=9000)

#: The parameters after node, number and head, and the types of their values.
NAMED: Sequence[tuple[str, int]] = (
    ("digests", BYTEAS),
    ("topics", TEXTS),
    ("windows", INT8S),
    ("ttls", INT8S),
    ("most messages", INT8S),
    ("most bytes", INT8S),
    ("gets", INT4S),
    ("numbered", INT4S),
    ("key entries", INT4S),
    ("key places", INT4S),
    ("keys", BYTEAS),
    ("entries", INT4S),
    ("places", INT4S),
    ("sizes", INT8S),
    ("types", BYTEAS),
    ("data", BYTEAS),
    ("names", BYTEAS),
    ("kept", INT4S),
    ("outbox", INT8S),
    ("condition entries", INT4S),
    ("condition places", INT4S),
    ("after", INT8S),
    ("bounded entries", INT4S),
    ("bounded places", INT4S),
    ("max kept", INT8S),
    ("max bytes", INT8S),
    ("told entries", INT4S),
    ("told places", INT4S),
    ("told windows", INT8S),
    ("told ttls", INT8S),
    ("told most messages", INT8S),
    ("told most bytes", INT8S),
)


def append(topic: Topic, *texts: str, lifecycle: Lifecycle = SHORT, **more: Any) -> Append:
    """An append of one message a text."""
    drafts = tuple(Draft("msg", text.encode()) for text in texts)
    return Append(topic, drafts, lifecycle, **more)


def given(*entries: Append, outbox: Sequence[int] = ()) -> dict[str, Any]:
    """What the function is given for a batch."""
    values = Batch(entries).parameters("n1", 7, 5, outbox)
    assert len(values) == PARAMETERS == len(NAMED) + 3
    assert values[:3] == [b"n1", int8(7), int8(5)]
    return {name: read(kind, value) for (name, kind), value in zip(NAMED, values[3:], strict=True)}


class Result:
    """An answer of the function; see `Batch.read`.

    :param base: the first new id.
    :param repeated: entries of which nothing was stored.
    :param topics: of each its row, epoch and last number before the batch.
    :param old: stored before: entry, id, epoch, seq, type, data.
    """

    def __init__(
        self,
        base: int = 11,
        repeated: Sequence[int] = (),
        topics: Sequence[tuple[int, int, int]] = ((1, 0, 0),),
        old: Sequence[tuple[int, int, int, int, bytes, bytes]] = (),
    ) -> None:
        columns = [[one[at] for one in old] for at in range(6)]
        self.values = [
            int8(base - 1),
            int8(base + 9),
            int8(base),
            int8s(repeated),
            *(int8s([one[at] for one in topics]) for at in range(3)),
            *(int8s(column) for column in cast(list[list[int]], columns[:4])),
            *(byteas(column) for column in cast(list[list[bytes]], columns[4:])),
        ]

    def get_value(self, row: int, column: int) -> bytes | None:
        """See `PGresult`."""
        assert row == 0
        return self.values[column]


def stored(result: Result, *entries: Append) -> Stored:
    """What is read of an answer."""
    return Batch(entries).read(cast(PGresult, result))


def ids(answer: Stored) -> list[list[int]]:
    """Of the messages of each entry."""
    return [[message.id for message in one.messages] for one in answer.appended]


class TextTests(SynchronousTestCase):
    """Text that is no UTF-8."""

    def test_surrogates(self) -> None:
        """A type may hold half a character, as JSON may; it comes back the same."""
        for text in ("msg", "\ud800", "ä\udfff"):
            self.assertEqual(as_text(as_bytes(text)), text)

    def test_digest(self) -> None:
        """Of one length whatever the key's, and of each key another."""
        keys = ["a", "b", "\ud800", "x" * 100_000]
        digests = {digest_of(key) for key in keys}
        self.assertEqual((len(digests), {len(one) for one in digests}), (4, {16}))

    def test_message(self) -> None:
        """Of a topic that is not numbered there is no place."""
        row = [None, b"msg", b"1", int8(5), int8(2)]
        found = message_of(LOBBY, row.__getitem__, 1, 9)
        self.assertEqual(found, Message(LOBBY, 9, "msg", b"1", (5, 2)))
        row[3:] = [None, None]
        self.assertEqual(message_of(LOBBY, row.__getitem__, 1, 9).place, None)


class ParametersTests(SynchronousTestCase):
    """What the function is given."""

    def test_topics(self) -> None:
        """Each once, in the order of their first entries, with what was told of it last."""
        batch = Batch(
            [append(KITCHEN, "a"), append(LOBBY, "b"), append(KITCHEN, "c", lifecycle=LONG)]
        )
        self.assertEqual(batch.lifecycles, {KITCHEN.key: LONG, LOBBY.key: SHORT})
        said = given(*batch.entries)
        self.assertEqual(said["topics"], [KITCHEN.key, LOBBY.key])
        self.assertEqual(said["digests"], [digest_of(KITCHEN.key), digest_of(LOBBY.key)])
        self.assertEqual(said["windows"], [9000, 1000])
        self.assertEqual(said["ttls"], [SHORT.inactivity_ttl_ms] * 2)
        self.assertEqual(said["most messages"], [SHORT.replay_max_messages] * 2)
        self.assertEqual(said["most bytes"], [SHORT.replay_max_bytes] * 2)

    def test_messages(self) -> None:
        """In order, each with its entry, its topic and what it counts for."""
        said = given(append(LOBBY, "a", "bcd"), append(KITCHEN, "e"), append(LOBBY, "f"))
        self.assertEqual(said["entries"], [0, 0, 1, 2])
        self.assertEqual(said["places"], [1, 1, 2, 1])
        self.assertEqual(said["data"], [b"a", b"bcd", b"e", b"f"])
        self.assertEqual(said["types"], [b"msg"] * 4)
        self.assertEqual(said["sizes"], [MESSAGE_BYTES + 3 + size for size in (1, 3, 1, 1)])
        for name in ("names", "kept", "keys", "after", "max kept", "told entries", "outbox"):
            self.assertEqual(said[name], [], name)

    def test_bounds_alone(self) -> None:
        """An entry without messages tells the topic's bounds, and gets it none."""
        said = given(append(LOBBY, lifecycle=LONG), append(KITCHEN, "a", numbered=True))
        self.assertEqual((said["windows"], said["gets"]), ([9000, 1000], [0, 1]))
        self.assertEqual(said["numbered"], [0, 1])
        self.assertEqual(said["entries"], [1])

    def test_outbox(self) -> None:
        """What leaves it goes along."""
        self.assertEqual(given(append(LOBBY, "a"), outbox=[4, 6])["outbox"], [4, 6])

    def test_idempotency_keys(self) -> None:
        """What is repeated within the batch is said once; another topic's key is another key."""
        said = given(
            append(LOBBY, "a", idempotency_key="k"),
            append(KITCHEN, "b", idempotency_key="k"),
            append(LOBBY, "c", idempotency_key="k"),
            append(LOBBY, "d", idempotency_key="\ud800"),
        )
        self.assertEqual(said["key entries"], [0, 1, 3])
        self.assertEqual(said["key places"], [1, 2, 1])
        self.assertEqual(said["keys"], [b"k", b"k", as_bytes("\ud800")])
        self.assertEqual(said["data"], [b"a", b"b", b"d"])

    def test_keys(self) -> None:
        """Messages with keys have their digests, those without none; what is kept is marked."""
        deleted = Append(LOBBY, (Draft("msg", b"x", delete=True),), SHORT, keys=("c",), kept=True)
        said = given(
            append(KITCHEN, "0"),
            append(LOBBY, "1", "2", keys=("a", "b"), kept=True),
            append(LOBBY, "3", keys=("d",)),
            deleted,
        )
        digests = [None, *(digest_of(key) for key in "abdc")]
        self.assertEqual(said["names"], digests)
        self.assertEqual(said["kept"], [0, 1, 1, 0, 0])

    def test_replaced_within(self) -> None:
        """What a later one of the batch replaces says so, and whether it was to be kept; the same
        key of another topic replaces nothing."""
        said = given(
            append(LOBBY, "1", "2", keys=("a", "a"), kept=True),
            append(KITCHEN, "3", keys=("a",), kept=True),
            append(LOBBY, "4", keys=("a",)),
            append(LOBBY, "5", keys=("a",), kept=True),
        )
        self.assertEqual(said["kept"], [-1, -1, 1, -2, 1])

    def test_digested(self) -> None:
        """Keys as other nodes know them; where there are none, the entries as they are."""
        plain = Batch([append(LOBBY, "a")])
        self.assertIs(plain.digested, plain.entries)
        [named] = Batch([append(LOBBY, "a", keys=("k",), kept=True)]).digested
        self.assertEqual((named.keys, named.kept), ((digest_of("k").hex(),), True))

    def test_conditions(self) -> None:
        """The first entry of its topic is asked about; behind another one it is not sent at all,
        and its bounds are not taken."""
        entries = (
            append(LOBBY, "a", after=5),
            append(LOBBY, "b", after=9, lifecycle=LONG),
            append(KITCHEN, "c", lifecycle=LONG),
            append(KITCHEN, "d", after=9),
        )
        said = given(*entries)
        self.assertEqual(said["condition entries"], [0])
        self.assertEqual((said["condition places"], said["after"]), ([1], [5]))
        self.assertEqual(said["data"], [b"a", b"c"])
        self.assertEqual(said["windows"], [1000, 9000])

    def test_bounded(self) -> None:
        """Bounds of what is kept go by entry, with the bytes that this entry tells."""
        large = Lifecycle(replay_max_bytes=2**20)
        said = given(
            append(KITCHEN, "a", keys=("k",), kept=True),
            append(LOBBY, "b", keys=("k",), kept=True, max_kept=3, lifecycle=large),
        )
        self.assertEqual(said["bounded entries"], [1])
        self.assertEqual(said["bounded places"], [2])
        self.assertEqual((said["max kept"], said["max bytes"]), ([3], [2**20]))
        self.assertEqual(said["told entries"], [])

    def test_told_differently(self) -> None:
        """Where an entry may be refused, and others of its topic tell other bounds, each says
        which: those of one that is refused do not count."""
        bounded = append(LOBBY, "a", keys=("k",), kept=True, max_kept=3)
        other = append(LOBBY, "b", keys=("l",), kept=True, lifecycle=LONG)
        elsewhere = [append(KITCHEN, "c"), append(KITCHEN, "d", lifecycle=LONG)]
        said = given(bounded, *elsewhere, other)
        self.assertEqual(said["told entries"], [0, 3])
        self.assertEqual(said["told places"], [1, 1])
        self.assertEqual(said["told windows"], [1000, 9000])
        self.assertEqual(said["told ttls"], [SHORT.inactivity_ttl_ms] * 2)
        self.assertEqual(said["told most messages"], [SHORT.replay_max_messages] * 2)
        self.assertEqual(said["told most bytes"], [SHORT.replay_max_bytes] * 2)


class AnswerTests(SynchronousTestCase):
    """What is read of an answer."""

    def test_ids(self) -> None:
        """One after the other, in the order of the batch; and where each topic is."""
        answer = stored(
            Result(11, topics=((4, 0, 0), (9, 0, 0))),
            append(LOBBY, "a", "b"),
            append(KITCHEN, "c"),
            append(LOBBY),
            append(LOBBY, "d"),
        )
        self.assertEqual(ids(answer), [[11, 12], [13], [], [14]])
        self.assertEqual((answer.prev, answer.head), (10, 20))
        self.assertEqual(answer.rows, {LOBBY.key: 4, KITCHEN.key: 9})
        message = answer.appended[1].messages[0]
        self.assertEqual(message, Message(KITCHEN, 13, "msg", b"c"))
        self.assertFalse(any(one.repeated or one.full for one in answer.appended))

    def test_repeated(self) -> None:
        """What the store has already is answered as it was then, and takes no id."""
        old = ((0, 5, 2, 1, b"was", b"x"), (0, 6, 2, 2, b"was", b"y"))
        answer = stored(
            Result(11, repeated=[0], old=old),
            append(LOBBY, "a", "b", idempotency_key="k"),
            append(LOBBY, "c"),
        )
        self.assertEqual(ids(answer), [[5, 6], [11]])
        first = answer.appended[0]
        self.assertTrue(first.repeated)
        self.assertEqual(first.messages[1], Message(LOBBY, 6, "was", b"y", (2, 2)))

    def test_repeated_within(self) -> None:
        """What is twice in the batch is answered alike, stored or known before."""
        entries = [append(LOBBY, text, idempotency_key="k") for text in "ab"]
        answer = stored(Result(11), *entries, append(LOBBY, "c"))
        self.assertEqual(ids(answer), [[11], [11], [12]])
        self.assertEqual([one.repeated for one in answer.appended], [False, True, False])
        old = ((0, 5, 0, 0, b"was", b"x"),)
        answer = stored(Result(11, repeated=[0], old=old), *entries)
        self.assertEqual(ids(answer), [[5], [5]])
        self.assertEqual(answer.appended[1].messages[0].place, None)

    def test_conditions(self) -> None:
        """Where one did not hold, or was not asked about, there are no messages."""
        entries = (
            append(LOBBY, "a", after=5),
            append(LOBBY, "b", after=9),
            append(KITCHEN, "c", after=1),
        )
        topics = ((1, 0, 0), (2, 0, 0))
        self.assertEqual(ids(stored(Result(11, topics=topics), *entries)), [[11], [], [12]])
        answer = stored(Result(11, repeated=[0], topics=topics), *entries)
        self.assertEqual(ids(answer), [[], [], [11]])
        self.assertFalse(any(one.repeated or one.full for one in answer.appended))

    def test_full(self) -> None:
        """An entry past its bound is full, and is not said to be repeated."""
        full = append(LOBBY, "a", keys=("k",), kept=True, max_kept=1)
        answer = stored(Result(11, repeated=[0]), full, append(LOBBY, "b"))
        self.assertEqual(ids(answer), [[], [11]])
        self.assertEqual([one.full for one in answer.appended], [True, False])
        self.assertFalse(answer.appended[0].repeated)

    def test_numbered(self) -> None:
        """Numbers go on from the store's, over the entries of a batch, each topic by itself."""
        answer = stored(
            Result(11_000_000, topics=((1, 3, 7), (2, 0, 0))),
            append(LOBBY, "a", "b", numbered=True),
            append(KITCHEN, "c", numbered=True),
            append(LOBBY, "d", numbered=True),
            append(LOBBY, "e"),
        )
        places = [[message.place for message in one.messages] for one in answer.appended]
        # A topic that was not numbered before begins an epoch by the time, which is its id.
        self.assertEqual(places, [[(3, 8), (3, 9)], [(11_000, 1)], [(3, 10)], [None]])
