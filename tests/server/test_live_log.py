"""Publications of broadcasts, into the log and out of it."""

from __future__ import annotations

import json

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.topic import Message, Topic
from takotwist.live.broadcast.bus import Publication
from takotwist.live.machine.frames import Info
from takotwist.live.values import Encoded
from takotwist.server.live_log import FORM, draft_of, publications

COUNTS = st.integers(min_value=0, max_value=2**53 - 1)


@attrs.frozen
class Said:
    said: Encoded
    binary: bool


TEXTS = st.builds(
    Said,
    st.builds(
        Encoded,
        st.text().map(lambda text: json.dumps(text).encode()),
        st.sampled_from([b"", b'[{"path":[],"kind":"date"}]']),
    ),
    st.just(False),
)
BINARIES = st.builds(Said, st.binary().map(Encoded), st.just(True))


def stored(id: int, place: tuple[int, int], one: Said) -> Message:
    draft = draft_of(one.said, one.binary)
    return Message(Topic.of("~broadcast", {"key": "a"}), id, draft.type, draft.data, place)


class LiveRecordsTests(SynchronousTestCase):
    """`takotwist.server.live_log`."""

    @given(st.lists(st.tuples(COUNTS, st.tuples(COUNTS, COUNTS), TEXTS | BINARIES)))
    def test_there_and_back(self, given: list[tuple[int, tuple[int, int], Said]]) -> None:
        """Members are given what was published, text or bytes, however many are joined, with the
        place that the log gave it."""
        blob = b"".join(FORM.encode(stored(id, place, one)) for id, place, one in given)
        self.assertEqual(
            list(publications(blob)),
            [
                Publication(
                    Info(seq, id // 1000, epoch, id), one.said.data, one.binary, one.said.values
                )
                for id, (epoch, seq), one in given
            ],
        )

    @given(COUNTS, COUNTS, COUNTS)
    def test_before_the_log_counted(self, id: int, seq: int, epoch: int) -> None:
        """The place stood in the data."""
        data = b'[%d,%d,"x"]' % (seq, epoch)
        message = Message(Topic.of("~broadcast", {"key": "a"}), id, "text", data)
        [one] = publications(FORM.encode(message))
        self.assertEqual((one.info, one.data), (Info(seq, id // 1000, epoch, id), b'"x"'))

    @given(TEXTS | BINARIES)
    def test_json(self, one: Said) -> None:
        """Whoever looks into the log finds JSON."""
        json.loads(draft_of(one.said, one.binary).data)
