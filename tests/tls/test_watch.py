"""A renewed certificate is taken up by itself."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from takotwist.errors import ConfigError
from takotwist.tls.context import ServerTls
from takotwist.tls.development_ca import ensure_development_certificate
from takotwist.tls.watch import DAY, CertificateWatch

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class CertificateWatchTests(SynchronousTestCase):
    """What happens some seconds after the files changed."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        files = ensure_development_certificate(self.folder, [], NOW)
        self.tls = ServerTls(files.certificate, files.key)
        self.clock = Clock()
        self.clock.advance(NOW.timestamp())
        self.renewals: list[datetime] = []
        self.watch = CertificateWatch(self.tls, self.clock, self.renewals.append)
        self.watch.startService()
        self.addCleanup(lambda: self.watch.running and self.watch.stopService())

    def _pass(self, seconds: float) -> list[str]:
        """Let time pass; what was logged meanwhile."""
        with capturedLogs() as events:
            self.clock.pump([5.0] * int(seconds // 5))
        return [formatEvent(event) for event in events]

    def test_new_files_are_taken_up(self) -> None:
        """Within ten seconds, with a line that says until when they are valid."""
        ensure_development_certificate(self.folder, ["app.test"], NOW)
        before = self.tls.pair.leaf
        [line] = self._pass(10)
        self.assertNotEqual(self.tls.pair.leaf, before)
        self.assertIn("New connections get the certificate that is valid until 2027-02-19", line)
        self.assertEqual(self._pass(60), [])

    def test_files_that_still_change_are_left_alone(self) -> None:
        """Between the key and the certificate nothing is tried and nothing is complained of."""
        old_key = self.tls.key.read_bytes()
        old_certificate = self.tls.certificate.read_bytes()
        ensure_development_certificate(self.folder, ["app.test"], NOW)
        new_certificate = self.tls.certificate.read_bytes()
        self.assertNotEqual(self.tls.key.read_bytes(), old_key)
        self.tls.certificate.write_bytes(old_certificate)
        self.assertEqual(self._pass(5), [])
        self.tls.certificate.write_bytes(new_certificate + b"\n")
        [line] = self._pass(10)
        self.assertIn("New connections", line)

    def test_pair_that_does_not_match(self) -> None:
        """The old certificate stays, one line says why, and the cure is taken up."""
        good = self.tls.key.read_bytes()
        before = self.tls.pair.leaf
        self.tls.key.write_bytes(b"half a ke")
        [line] = self._pass(60)
        self.assertIn("The certificate stays the old one.", line)
        self.assertIn(str(self.tls.key), line)
        self.assertEqual(self.tls.pair.leaf, before)
        self.tls.key.write_bytes(good)
        os.utime(self.tls.key, (1, 1))
        self.assertEqual(self._pass(60), [])

    def test_files_that_go_away(self) -> None:
        """A certificate that was deleted goes on being served."""
        self.tls.certificate.unlink()
        [line] = self._pass(60)
        self.assertIn("cannot be read", line)

    def test_reload_at_once(self) -> None:
        """SIGHUP does not wait for the next look."""
        ensure_development_certificate(self.folder, ["app.test"], NOW)
        with capturedLogs() as events:
            self.assertTrue(self.watch.reload())
        self.assertEqual(len(events), 1)
        self.assertEqual(self._pass(60), [])

    def test_expiry_is_told_daily(self) -> None:
        """From two weeks before the end there is one warning a day."""
        self.clock.advance(80 * DAY)
        with capturedLogs() as events:
            self.clock.advance(DAY)
            self.clock.advance(DAY)
        self.assertEqual(len(events), 2)
        self.assertIn("The certificate expires at 2027-02-19", formatEvent(events[0]))

    def test_expiry_is_told_at_the_start(self) -> None:
        """A server that starts with a void certificate says so."""
        self.watch.stopService()
        self.clock.advance(91 * DAY)
        with capturedLogs() as events:
            self.watch.startService()
        self.assertIn("The certificate expired", formatEvent(events[0]))

    def test_renewal_is_asked_for_daily(self) -> None:
        """A development certificate ages while the server runs."""
        self._pass(DAY + 5)
        self.assertEqual([one.date() for one in self.renewals], [(NOW + timedelta(days=1)).date()])

    def test_renewal_that_fails(self) -> None:
        """A full disk at renewal is a line in the log, not the end of the watch."""

        def fail(now: datetime) -> None:
            raise ConfigError("is full", source="disk")

        watch = CertificateWatch(self.tls, self.clock, fail)
        watch.startService()
        self.addCleanup(watch.stopService)
        lines = self._pass(DAY + 5)
        self.assertEqual(lines, ["The certificate could not be renewed: disk: is full"])

    def test_stops(self) -> None:
        """After the stop nobody looks any more."""
        self.watch.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
