"""What is begun and not finished, and what comes for nothing."""

from __future__ import annotations

from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.http.http2_limits import CONTROL_BURST, CONTROL_RATE, Intake

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def _frame(frame: Frame, *flags: str) -> bytes:
    for flag in flags:
        frame.flags.add(flag)
    return frame.serialize()


SETTINGS = _frame(SettingsFrame(0))
OPENING = _frame(WindowUpdateFrame(1, 1))


class UnfinishedTests(SynchronousTestCase):
    """What a client has yet to finish."""

    def setUp(self) -> None:
        self.intake = Intake(1000)

    def _take(self, data: bytes) -> bool:
        """Byte by byte; whether it is unfinished after each but the last, and then is not."""
        for at in range(len(data)):
            self.assertTrue(self.intake.take(data[at : at + 1], 0.0))
            if at < len(data) - 1 and not self.intake.unfinished:
                return False
        return not self.intake.unfinished

    def test_preface_and_settings(self) -> None:
        """The beginning is unfinished up to the last byte of the settings."""
        self.assertTrue(self.intake.unfinished)
        settings = SettingsFrame(0)
        settings.settings = {SettingsFrame.ENABLE_PUSH: 0}
        self.assertTrue(self._take(PREFACE + _frame(settings)))

    def test_head(self) -> None:
        """So is a head up to the end of its last frame, and any other frame but data."""
        self.assertTrue(self._take(PREFACE + SETTINGS))
        head = _frame(HeadersFrame(1, b"abc")) + _frame(ContinuationFrame(1, b"def"))
        self.assertTrue(self._take(head + _frame(ContinuationFrame(1, b"g"), "END_HEADERS")))
        self.assertTrue(self._take(_frame(PingFrame(0, b"12345678"))))

    def test_data(self) -> None:
        """A frame of data may come at any pace: the idle timer is for that."""
        self._take(PREFACE + SETTINGS)
        frame = _frame(DataFrame(1, b"x" * 20))
        self.intake.take(frame[:9], 0.0)
        self.assertFalse(self.intake.unfinished)
        self.intake.take(frame[9:15], 0.0)
        self.assertFalse(self.intake.unfinished)
        self.assertTrue(self.intake.progress)
        self.intake.take(frame[15:] + frame[:4], 0.0)
        self.assertTrue(self.intake.unfinished)

    def test_which(self) -> None:
        """It can be told whether it is still the same that is unfinished; one head is one thing."""
        self._take(PREFACE + SETTINGS)
        self.intake.take(_frame(HeadersFrame(1, b"abc")), 0.0)
        first = self.intake.begun
        self.intake.take(_frame(ContinuationFrame(1, b"abc")), 0.0)
        self.assertEqual(self.intake.begun, first)
        self.intake.take(_frame(ContinuationFrame(1, b"a"), "END_HEADERS"), 0.0)
        self.intake.take(_frame(HeadersFrame(3, b"abc")), 0.0)
        self.assertGreater(self.intake.begun, first)


class FloodTests(SynchronousTestCase):
    """What comes for nothing is counted."""

    def _until_refused(self, frame: bytes, most: int, now: float = 0.0) -> int:
        for count in range(most):
            if not self.intake.take(frame, now):
                return count
        return most

    def setUp(self) -> None:
        self.intake = Intake(1000)
        self.intake.take(PREFACE, 0.0)

    def test_control_frames(self) -> None:
        """Each kind is refused past the burst; half of it is earned again in its time."""
        for frame in (
            _frame(PingFrame(0, b"12345678")),
            SETTINGS,
            _frame(RstStreamFrame(1)),
            _frame(PriorityFrame(1)),
            OPENING,
            _frame(DataFrame(1)),
            b"\0\0\0\x33\0\0\0\0\1",
        ):
            self.setUp()
            self.assertEqual(self._until_refused(frame, CONTROL_BURST), CONTROL_BURST)
            later = 0.5 * CONTROL_BURST / CONTROL_RATE
            self.assertEqual(self._until_refused(frame, 5000, later), CONTROL_BURST // 2)

    def test_openings_for_what_was_sent(self) -> None:
        """Who opens both windows for each frame and each KiB that was sent floods nobody."""
        for size in (1, 1024, 16384):
            self.setUp()
            for _ in range(2000):
                self.intake.sent(size)
                for _ in range(2 * max(1, size // 1024)):
                    self.assertTrue(self.intake.take(OPENING, 0.0))
            # What it left out it may still do.
            left = 2000 * (2 + size * 2 // 1024 - 2 * max(1, size // 1024))
            self.assertEqual(self._until_refused(OPENING, 10_000), left + CONTROL_BURST)

    def test_requests(self) -> None:
        """Requests and their bodies are no flood, however many, nor is a window for each answer."""
        request = _frame(HeadersFrame(1, b"abc"), "END_HEADERS") + _frame(DataFrame(1, b"x"))
        request += OPENING * 2
        self.assertEqual(self._until_refused(request, 5000), 5000)

    def test_heads_without_an_end(self) -> None:
        """A head may have so many bytes in all its frames; empty ones are for nothing."""
        self.assertTrue(self.intake.take(_frame(HeadersFrame(1, b"x" * 600)), 0.0))
        self.assertTrue(self.intake.take(_frame(ContinuationFrame(1, b"x" * 400)), 0.0))
        self.assertFalse(self.intake.take(_frame(ContinuationFrame(1, b"x")), 0.0))
        self.setUp()
        self.assertEqual(self._until_refused(_frame(ContinuationFrame(1)), 5000), CONTROL_BURST)
