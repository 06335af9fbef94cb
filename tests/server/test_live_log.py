"""Publications of durable broadcasts, into the log and out of it."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.topic import Message, Topic
from takotwist.live.broadcast.bus import Publication
from takotwist.live.broadcast.durable import Record
from takotwist.live.machine.frames import Info
from takotwist.server.live_log import FORM, draft_of, place_of, publications

COUNTS = st.integers(min_value=0, max_value=2**53 - 1)
TEXTS = st.builds(
    Record,
    COUNTS,
    COUNTS,
    st.text().map(lambda text: json.dumps(text).encode()),
    st.just(False),
    st.sampled_from([b"", b'[{"path":[],"kind":"date"}]']),
)
BINARIES = st.builds(Record, COUNTS, COUNTS, st.binary(), st.just(True))


def stored(id: int, record: Record) -> Message:
    draft = draft_of(record)
    return Message(Topic.of("~broadcast", {"key": "a"}), id, draft.type, draft.data)


class LiveRecordsTests(SynchronousTestCase):
    """`takotwist.server.live_log`."""

    @given(st.lists(st.tuples(COUNTS, TEXTS | BINARIES)))
    def test_there_and_back(self, given: list[tuple[int, Record]]) -> None:
        """Members are given what was published, text or bytes, however many are joined."""
        blob = b"".join(FORM.encode(stored(id, record)) for id, record in given)
        self.assertEqual(
            list(publications(blob)),
            [
                Publication(
                    Info(record.seq, id // 1000, record.epoch, id),
                    record.data,
                    record.binary,
                    record.values,
                )
                for id, record in given
            ],
        )

    @given(TEXTS | BINARIES)
    def test_place(self, record: Record) -> None:
        """The log alone says where the count of a key stands."""
        self.assertEqual(place_of(stored(1, record)), (record.epoch, record.seq))

    @given(TEXTS | BINARIES)
    def test_json(self, record: Record) -> None:
        """Whoever looks into the log finds JSON."""
        self.assertEqual(json.loads(draft_of(record).data)[:2], [record.seq, record.epoch])
