"""What no transaction was reported for is taken out of the file again."""

from __future__ import annotations

from typing import Any

import msgspec

from takotwist.adapters.sqlite.transfer import verify
from takotwist.adapters.sqlite.unreported import drop_unreported
from takotwist.core.topic import Topic
from takotwist.errors import ReplayTooOld
from tests.adapters.sqlite.inline_log import InlineLogCase
from tests.contracts.replay_log import KITCHEN, LOBBY, NOW, entry
from tests.contracts.replay_log_keys import named


class UnreportedTests(InlineLogCase):
    """A log with messages in two topics, of which the newest were not reported."""

    def append(self, *entries: object) -> list[int]:
        appended = self.successResultOf(self.log.append(list(entries), NOW + 5))
        return [message.id for one in appended for message in one.messages]

    def texts(self, topic: object) -> list[bytes]:
        page = self.successResultOf(self.log.read(topic, 0, 10, 10**6))
        self.assertEqual(page.removed, NOW, "a cursor has become too old")
        return [message.data for message in page.messages]

    def test_dropped(self) -> None:
        """They go with their idempotency keys, and the numbers of their topics are right again;
        the ids stay used."""
        [*_, reported] = self.append(entry(LOBBY, "a", "b"))
        [*_, last] = self.append(entry(LOBBY, "c", key="k"), entry(KITCHEN, "d", "e"))
        pool = self.log._pools["write"]
        self.successResultOf(
            pool.runWithConnection(
                lambda connection: connection.run(
                    lambda db: drop_unreported(db, reported),
                    lambda _: self.log._known.topics.clear(),
                )
            )
        )
        self.assertEqual(self.texts(LOBBY), [b'"a"', b'"b"'])
        self.assertEqual(self.texts(KITCHEN), [])
        checked = verify(self.path, self.log._file.boot, in_place=True)
        self.assertEqual(checked.wrong, ())
        stats = self.successResultOf(self.log.stats())
        self.assertEqual((stats.messages, stats.topics), (2, 2))
        [again] = self.append(entry(LOBBY, "c", key="k"))
        self.assertEqual(again, last + 1)
        self.assertEqual(self.texts(LOBBY), [b'"a"', b'"b"', b'"c"'])

    def test_numbered(self) -> None:
        """The count of a numbered topic goes on from what is left of it, without a gap; where
        nothing is left, in another epoch."""

        def numbered(topic: Topic, *texts: str) -> list[Any]:
            one = msgspec.structs.replace(entry(topic, *texts), numbered=True)
            [appended] = self.successResultOf(self.log.append([one], NOW + 5))
            return [(message.id, message.place) for message in appended.messages]

        [_, (reported, place)] = numbered(LOBBY, "a", "b")
        numbered(LOBBY, "c")
        [(_, lost)] = numbered(KITCHEN, "d")
        self.successResultOf(
            self.log._pools["write"].runWithConnection(
                lambda connection: connection.run(
                    lambda db: drop_unreported(db, reported),
                    lambda _: self.log._known.topics.clear(),
                )
            )
        )
        epoch, seq = place
        self.assertEqual(numbered(LOBBY, "e")[0][1], (epoch, seq + 1))
        [(_, begun)] = numbered(KITCHEN, "f")
        self.assertEqual(begun[1], 1)
        self.assertGreaterEqual(begun[0], lost[0])

    def test_nothing_to_drop(self) -> None:
        """Where all was reported, all stays."""
        [*_, last] = self.append(entry(LOBBY, "a", "b"))
        pool = self.log._pools["write"]
        self.successResultOf(
            pool.runWithConnection(
                lambda connection: connection.run(lambda db: drop_unreported(db, last))
            )
        )
        self.assertEqual(self.texts(LOBBY), [b'"a"', b'"b"'])

    def test_keys(self) -> None:
        """What one of a key had replaced is lost with it, so who is before it is too old; the
        rest is counted as it stands."""
        [first, reported] = self.append(named(LOBBY, True, ("a", "1"), ("b", "2")))
        [*_, replacing] = self.append(
            named(LOBBY, True, ("b", "3")), named(LOBBY, False, ("c", "4"))
        )
        pool = self.log._pools["write"]
        self.successResultOf(
            pool.runWithConnection(
                lambda connection: connection.run(
                    lambda db: drop_unreported(db, reported),
                    lambda _: self.log._known.topics.clear(),
                )
            )
        )
        page = self.successResultOf(self.log.read(LOBBY, 0, 10, 10**6))
        self.assertEqual([one.id for one in page.messages], [first])
        self.assertEqual(page.removed, replacing)
        self.assertRaises(ReplayTooOld, page.judge, reported)
        checked = verify(self.path, self.log._file.boot, in_place=True)
        self.assertEqual(checked.wrong, ())
