"""Appends of several processes: stored once, whoever asks again."""

from __future__ import annotations

import msgspec

from takotwist.adapters.sqlite.batches import Batch
from takotwist.core.log import Appended
from tests.adapters.sqlite.inline_log import InlineLogCase
from tests.contracts.replay_log import DAY, KITCHEN, LOBBY, NOW, Listener, entry


class BatchesTests(InlineLogCase):
    """On a file."""

    def store(self, *batches: Batch, at: int = NOW) -> list[tuple[list[Appended], bool]]:
        return self.successResultOf(self.log.append_batches(batches, at))

    def texts(self) -> list[bytes]:
        page = self.successResultOf(self.log.read(LOBBY, 0, 100, 10_000))
        return [message.data for message in page.messages]

    def test_several(self) -> None:
        """Each process has its own answers, in ids of one order."""
        one = Batch("one", 1, [entry(LOBBY, "a"), entry(KITCHEN, "b")])
        other = Batch("other", 1, [entry(LOBBY, "c", "d")])
        [(first, again), (second, _)] = self.store(one, other)
        self.assertFalse(again)
        ids = [message.id for answer in [*first, *second] for message in answer.messages]
        self.assertEqual(ids, sorted(set(ids)))
        self.assertEqual([len(answer.messages) for answer in first], [1, 1])
        self.assertEqual(self.texts(), [b'"a"', b'"c"', b'"d"'])

    def test_again(self) -> None:
        """The same number is the same batch: told again, also after the writer was killed."""
        numbered = msgspec.structs.replace(entry(LOBBY, "n", "m"), numbered=True)
        batch = Batch(
            "one",
            7,
            [entry(LOBBY, "a", key="k"), entry(LOBBY, "a", key="k"), entry(KITCHEN), numbered],
        )
        [(first, again)] = self.store(batch)
        self.assertFalse(again)
        self.successResultOf(self.log.stop())
        self.successResultOf(self.log.start())
        [(told, again), (fresh, _)] = self.store(batch, Batch("other", 7, [entry(LOBBY, "z")]))
        self.assertTrue(again)
        self.assertEqual(told, first)
        self.assertEqual(len(fresh), 1)
        self.assertEqual(self.texts(), [b'"a"', b'"n"', b'"m"', b'"z"'])

    def test_reports(self) -> None:
        """What is told again is not reported again."""
        listener = Listener(self.log)
        self.successResultOf(self.log.start(listener))
        batch = Batch("one", 1, [entry(LOBBY, "a")])
        self.store(batch)
        self.store(batch, Batch("other", 1, [entry(LOBBY, "b")]))
        self.assertEqual(listener.texts, {LOBBY.key: ["a", "b"]})

    def test_next(self) -> None:
        """A process has one answer kept, and one that is gone has none after a while."""
        self.store(Batch("one", 1, [entry(LOBBY, "a")]))
        self.store(Batch("one", 2, [entry(LOBBY, "b")]))
        [(_, again)] = self.store(Batch("one", 1, [entry(LOBBY, "c")]))
        self.assertFalse(again)
        while self.successResultOf(self.log.sweep(NOW + DAY + 1, ())):
            pass
        [(_, again)] = self.store(Batch("one", 1, [entry(LOBBY, "d")]), at=NOW + DAY + 2)
        self.assertFalse(again)

    def test_changed(self) -> None:
        """Topics of which something was stored or removed after an id, among those asked for."""
        [(first, _)] = self.store(Batch("one", 1, [entry(LOBBY, "a")]))
        since = first[0].messages[0].id
        changed = self.log.changed
        keys = [LOBBY.key, KITCHEN.key]
        self.assertEqual(self.successResultOf(changed(keys, since)), set())
        self.store(Batch("one", 2, [entry(KITCHEN, "b")]))
        self.assertEqual(self.successResultOf(changed(keys, since)), {KITCHEN.key})
        self.assertEqual(self.successResultOf(changed([LOBBY.key], since)), set())
        self.assertEqual(self.successResultOf(changed(keys, since - 1)), set(keys))
