"""When a certificate is asked for."""

from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.tls.acme.schedule import (
    ADVICE_INTERVAL,
    ASKED_PAUSE,
    HOUR,
    LONGEST_RETRY_AFTER,
    Record,
    is_due,
    may_try,
    what_next,
)
from tests.tls.acme.certificates import DAY, T, signed

NAMES = ("chat.example.com", "www.example.com")


class DueTests(SynchronousTestCase):
    """Whether another certificate is needed."""

    def setUp(self) -> None:
        self.pair = signed(NAMES)

    def test_age(self) -> None:
        """After two thirds of its life, and for other names at once; their order is nothing."""
        self.assertFalse(is_due(self.pair, NAMES[::-1], Record(), T + 60 * DAY - 1))
        self.assertTrue(is_due(self.pair, NAMES, Record(), T + 60 * DAY))
        self.assertTrue(is_due(self.pair, NAMES[:1], Record(), T))
        self.assertTrue(is_due(self.pair, (*NAMES, "more.example.com"), Record(), T))

    def test_own(self) -> None:
        """One that was made for the time being is replaced as soon as may be."""
        self.assertTrue(is_due(signed(NAMES, issuer="subject"), NAMES, Record(), T))

    def test_short_life(self) -> None:
        """One of six days is renewed after four."""
        short = signed(NAMES, days=6)
        self.assertFalse(is_due(short, NAMES, Record(), T + 3.9 * DAY))
        self.assertTrue(is_due(short, NAMES, Record(), T + 4 * DAY))

    def test_advice(self) -> None:
        """The authority may say sooner or later, but not too late."""
        soon, late = Record(renew_at=T + DAY), Record(renew_at=T + 1000 * DAY)
        self.assertFalse(is_due(self.pair, NAMES, soon, T + DAY - 1))
        self.assertTrue(is_due(self.pair, NAMES, soon, T + DAY))
        self.assertFalse(is_due(self.pair, NAMES, late, T + 80 * DAY))
        self.assertTrue(is_due(self.pair, NAMES, late, T + 81 * DAY))
        past = Record(renew_at=T - DAY)
        self.assertFalse(is_due(self.pair, NAMES, past, T + 0.8 * DAY))
        self.assertTrue(is_due(self.pair, NAMES, past, T + DAY))


class TryTests(SynchronousTestCase):
    """Whether the authority may be asked."""

    def test_hours(self) -> None:
        """After each failure it is longer until the next try: an hour, two, ... a day."""
        record, pauses = Record(), []
        for _ in range(8):
            record = record.failed(T, 0, 0, "no")
            assert record.next_try is not None
            pauses.append((record.next_try - T) / HOUR)
        self.assertEqual(pauses, [1, 2, 4, 8, 16, 24, 24, 24])

    def test_asked(self) -> None:
        """The operator need not wait an hour, but a quarter of one."""
        record = Record().failed(T, 1, 0, "no")
        self.assertFalse(may_try(record, T + HOUR))
        self.assertTrue(may_try(record, T + 1.2 * HOUR))
        self.assertFalse(may_try(record, T + ASKED_PAUSE - 1, asked=True))
        self.assertTrue(may_try(record, T + ASKED_PAUSE, asked=True))

    def test_told_to_stay_away(self) -> None:
        """What the authority says is kept to, whoever asks, but not for ever."""
        record = Record().failed(T, 0, 3 * DAY, "rateLimited")
        self.assertFalse(may_try(record, T + 3 * DAY - 1, asked=True))
        self.assertTrue(may_try(record, T + 3 * DAY))
        record = Record().failed(T, 0, 1e12, "rateLimited")
        self.assertEqual(record.next_try, T + LONGEST_RETRY_AFTER)

    def test_clock_set_back(self) -> None:
        """A try that a wrong clock has put into the future holds nothing up."""
        record = Record().failed(T + 1000 * DAY, 0, 0, "no")
        self.assertTrue(may_try(record, T))

    def test_success(self) -> None:
        """A certificate that seems to be old at once is not renewed at once."""
        record = Record().failed(T, 0, 0, "no").succeeded(T)
        self.assertEqual((record.failures, record.reason), (0, ""))
        self.assertFalse(may_try(record, T + HOUR - 1))
        self.assertFalse(may_try(record, T + ASKED_PAUSE - 1, asked=True))
        self.assertTrue(may_try(record, T + HOUR))

    @given(st.lists(st.tuples(st.floats(0, 7200), st.booleans(), st.floats(0, 1)), max_size=60))
    def test_limits_of_the_authority(self, steps: list[tuple[float, bool, float]]) -> None:
        """However often it is looked and asked, there are at most four failures an hour."""
        record, now, tries = Record(), T, list[float]()
        for wait, asked, chance in steps:
            now += wait
            if may_try(record, now, asked=asked):
                tries.append(now)
                record = record.failed(now, chance, 0, "no")
        for first, fifth in zip(tries, tries[4:], strict=False):
            self.assertGreaterEqual(fifth - first, HOUR)


class NextTests(SynchronousTestCase):
    """What there is to do."""

    def test_next(self) -> None:
        """A certificate where one is due and may be had; else advice, twice a day."""
        pair, record = signed(NAMES), Record()
        self.assertEqual(what_next(pair, NAMES, record, T), "advice")
        record = attrs.evolve(record, advised_at=T)
        self.assertIsNone(what_next(pair, NAMES, record, T + ADVICE_INTERVAL - 1))
        self.assertEqual(what_next(pair, NAMES, record, T + ADVICE_INTERVAL), "advice")
        self.assertEqual(what_next(pair, NAMES, record, T - 1), "advice")
        self.assertEqual(what_next(pair, NAMES, record, T + 70 * DAY), "certificate")
        failed = record.failed(T + 70 * DAY, 0, 0, "no")
        self.assertIsNone(what_next(pair, NAMES, failed, T + 70 * DAY + 60))


class RecordTests(SynchronousTestCase):
    """The record on disk."""

    def test_round_trip(self) -> None:
        """It is read as it was written."""
        record = Record().failed(T, 0.5, 0, "why")
        self.assertEqual(Record.of_json(attrs.asdict(record)), record)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.dictionaries(
                st.sampled_from([field.name for field in attrs.fields(Record)]), inner
            ),
        )
    )
    def test_anything(self, said: object) -> None:
        """What is broken is as if it were not there."""
        record = Record.of_json(said)
        self.assertGreaterEqual(record.failures, 0)
        may_try(record, T)
