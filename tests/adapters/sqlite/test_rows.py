"""What the writer remembers is what is in the file."""

from __future__ import annotations

import sqlite3

from takotwist.adapters.sqlite import rows as known
from takotwist.core.channel import Lifecycle
from takotwist.core.log import Append, Appended
from takotwist.core.topic import Draft, Topic
from takotwist.errors import StoreUnavailable
from tests.adapters.sqlite.inline_log import InlineLogCase
from tests.contracts.replay_log import LOBBY, NOW, SECOND


class KnownTests(InlineLogCase):
    """A log, and another program at its file."""

    def setUp(self) -> None:
        super().setUp()
        self.other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(self.other.close)

    def append(self, topic: Topic = LOBBY, type: str = "msg", at: int = NOW) -> Appended:
        entry = Append(topic, (Draft(type, b"1"),), Lifecycle())
        [appended] = self.successResultOf(self.log.append([entry], at))
        return appended

    def numbers(self) -> tuple[int, int]:
        """Messages of the topic by its row, and by counting."""
        [said] = self.other.execute("SELECT messages FROM topic").fetchone()
        [there] = self.other.execute("SELECT count(*) FROM message").fetchone()
        return said, there

    def test_another_program_writes(self) -> None:
        """What another program has changed is read again, and not written over."""
        self.append()
        [before] = self.other.execute("SELECT head FROM store").fetchone()
        self.other.execute("UPDATE store SET head = head + 1000000")
        self.other.execute("UPDATE topic SET messages = 7")
        [stored] = self.append().messages
        self.assertEqual(stored.id, before + 1_000_001)
        self.assertEqual(self.numbers(), (8, 2))

    def test_not_committed(self) -> None:
        """A transaction that failed leaves nothing behind that the next one would believe."""
        self.append()
        self.other.execute(
            "CREATE TRIGGER no BEFORE UPDATE ON store BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        self.failureResultOf(
            self.log.append([Append(LOBBY, (Draft("msg", b"1"),), Lifecycle())], NOW),
            StoreUnavailable,
        )
        self.flushLoggedErrors()
        self.other.execute("DROP TRIGGER no")
        self.append()
        self.assertEqual(self.numbers(), (2, 2))

    def test_after_a_sweep(self) -> None:
        """A topic that was swept is appended to as it stands since."""
        self.append()
        later = NOW + 601 * SECOND
        self.successResultOf(self.log.sweep(later, ()))
        self.assertEqual(self.numbers(), (0, 0))
        self.append(at=later)
        self.assertEqual(self.numbers(), (1, 1))

    def test_more_topics_than_remembered(self) -> None:
        """Topics that were forgotten are found again."""
        self.patch(known, "MAX_TOPICS", 4)
        topics = [Topic.of("chat", {"n": number}) for number in range(10)]
        for _ in range(2):
            for topic in topics:
                self.append(topic)
        rows = self.other.execute("SELECT messages FROM topic").fetchall()
        self.assertEqual(rows, [(2,)] * 10)

    def test_type_that_is_no_text(self) -> None:
        """Types beyond ASCII, lone surrogates too, stand beside others in one append."""
        types = ["msg", "ü", "\ud800", "msg"]
        entry = Append(LOBBY, tuple(Draft(one, b"1") for one in types), Lifecycle())
        self.successResultOf(self.log.append([entry], NOW))
        page = self.successResultOf(self.log.read(LOBBY, 0, 10, 10_000))
        self.assertEqual([one.type for one in page.messages], types)

    def test_many_in_one_append(self) -> None:
        """Whatever their number, messages of an append are all there and in order."""
        for count in (1, 15, 16, 17, 33, 100):
            self.setUp()
            drafts = tuple(Draft("msg", b"%d" % number) for number in range(count))
            self.successResultOf(self.log.append([Append(LOBBY, drafts, Lifecycle())], NOW))
            page = self.successResultOf(self.log.read(LOBBY, 0, 1000, 10**6))
            self.assertEqual([one.data for one in page.messages], [one.data for one in drafts])
