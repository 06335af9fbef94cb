"""The service that obtains and renews."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.tls.acme.folder import AcmeFolder
from takotwist.tls.acme.order import OrderFailed, OrderStopped
from takotwist.tls.acme.renewal import INTERVAL, AcmeRenewal, Turn
from takotwist.tls.acme.schedule import HOUR
from takotwist.tls.certificate import CertificatePair, utc
from tests.tls.acme.certificates import DAY, NOW, T, signed

NAMES = ("chat.example.com",)


class ThreadClock(Clock):
    """A clock that takes calls of threads at once."""

    def callFromThread(self, call: Callable[..., None], *arguments: Any) -> None:
        call(*arguments)


class FakeAuthority:
    """Gives what it is told to.

    :ivar asked: by which challenge a certificate was asked for.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self.failing: Exception | None = None
        self.asked: list[str] = []
        self.advised = 0
        self.renew_at: float | None = None

    def obtain(self, challenge: Any) -> CertificatePair:
        self.asked.append(challenge)
        if self.failing is not None:
            raise self.failing
        return signed(NAMES, utc(self._wall()))

    def advice(self, pair: CertificatePair) -> float | None:
        self.advised += 1
        if self.failing is not None:
            raise self.failing
        return self.renew_at


class RenewalTests(SynchronousTestCase):
    """One service, its threads run where they are begun or held back."""

    def setUp(self) -> None:
        self.clock = ThreadClock()
        self.clock.advance(T)
        self.step = 0.0
        self.folder = AcmeFolder(Path(self.mktemp()).absolute(), "https://ca.example", NAMES)
        self.folder.prepare(NOW)
        self.authority = FakeAuthority(self.wall)
        self.held: list[Callable[[], None]] | None = None
        self.obtained = 0
        self.service = self.of()

    def of(self) -> AcmeRenewal:
        """A process."""
        turn = Turn(self.folder, self.authority, ("tls-alpn-01", "http-01"), self.wall, lambda: 0.0)
        return AcmeRenewal(turn, self.clock, self.note, Event(), self.beside)

    def wall(self) -> float:
        return self.clock.seconds() + self.step

    def note(self) -> None:
        self.obtained += 1

    def beside(self, function: Callable[[], None]) -> None:
        """Run it, or hold it back."""
        if self.held is None:
            function()
        else:
            self.held.append(function)

    def start(self) -> None:
        self.service.startService()
        self.addCleanup(lambda: self.service.running and self.service.stopService())

    def pass_days(self, days: float, step: float = 1800) -> None:
        """Let time pass, a look after the other."""
        for _ in range(int(days * DAY / step)):
            self.clock.advance(step)

    def test_first(self) -> None:
        """The first is obtained at the start, and told of once."""
        self.start()
        self.assertEqual((self.authority.asked, self.obtained), (["tls-alpn-01"], 1))
        self.assertNotEqual(self.folder.pair().leaf.issuer, self.folder.pair().leaf.subject)
        self.clock.advance(INTERVAL)
        self.assertEqual(self.obtained, 1)

    def test_year(self) -> None:
        """Over a year there are six renewals, none of them late, and advice twice a day."""
        self.start()
        for _ in range(365):
            self.pass_days(1, 21_600)
            left = self.folder.pair().leaf.not_valid_after_utc.timestamp() - self.wall()
            self.assertGreater(left, 29 * DAY)
        self.assertEqual(len(self.authority.asked), 7)
        self.assertLessEqual(self.authority.advised, 2 * 366)

    def test_failing_for_days(self) -> None:
        """Who fails asks a few times a day, by another challenge each time, and says so."""
        self.authority.failing = OrderFailed("no such name")
        self.start()
        self.pass_days(3)
        self.assertIn(len(self.authority.asked), (7, 8))
        self.assertEqual(self.authority.asked[:3], ["tls-alpn-01", "http-01", "tls-alpn-01"])
        self.assertEqual(self.folder.record().reason, "no such name")
        self.authority.failing = None
        self.pass_days(1)
        self.assertEqual(self.obtained, 1)
        self.assertEqual(self.folder.record().failures, 0)

    def test_restarts(self) -> None:
        """A process that is started again and again asks no more often."""
        self.authority.failing = OrderFailed("no")
        for _ in range(100):
            self.start()
            self.clock.advance(5)
            self.service.stopService()
            self.service = self.of()
        self.assertEqual(len(self.authority.asked), 1)

    def test_killed(self) -> None:
        """A try that its process did not live to end counts."""
        self.held = []
        self.start()
        with self.folder.locked():
            pass
        [running] = self.held

        def killed() -> CertificatePair:
            raise SystemExit

        self.patch(self.authority, "obtain", lambda challenge: killed())
        self.assertRaises(SystemExit, running)
        self.assertEqual(self.folder.record().failures, 1)
        self.assertEqual(self.folder.record().next_try, T + HOUR)

    def test_stopped(self) -> None:
        """A stop of the server is no failure of anybody, and the next start tries again."""
        self.authority.failing = OrderStopped("the server stops")
        self.start()
        self.assertEqual(self.folder.record().failures, 0)
        self.authority.failing = None
        self.clock.advance(INTERVAL)
        self.assertEqual(self.obtained, 1)

    def test_one_at_a_time(self) -> None:
        """While one try is under way there is no other, and what is asked meanwhile is done."""
        self.held = []
        self.start()
        for _ in range(5):
            self.clock.advance(INTERVAL)
            self.service.try_soon()
        self.assertEqual(len(self.held), 1)
        self.held.pop()()
        # Asked for meanwhile, there is only advice left to get.
        self.assertEqual(len(self.held), 1)
        self.held.pop()()
        self.assertEqual((self.authority.asked, self.authority.advised), (["tls-alpn-01"], 1))

    def test_another_process(self) -> None:
        """What another has done meanwhile is not done again, and while it is at it nothing is."""
        self.held = []
        self.start()
        with self.folder.locked():
            self.held.pop()()
        self.assertEqual(self.authority.asked, [])
        self.clock.advance(INTERVAL)
        self.folder.write_certificate(signed(NAMES))
        self.held.pop()()
        self.assertEqual(self.authority.asked, [])

    def test_clock_steps(self) -> None:
        """A clock that jumps and comes back costs one question that comes to nothing."""
        self.start()
        self.authority.failing = OrderFailed("the clock of this machine is 1440 hours ahead")
        self.step = 61 * DAY
        for _ in range(30):
            self.clock.advance(INTERVAL)
        self.assertEqual(len(self.authority.asked), 2)
        self.step, self.authority.failing = 0.0, None
        self.pass_days(1)
        self.assertEqual(len(self.authority.asked), 2)
        self.step = -1000 * DAY
        self.pass_days(1)
        self.step = 0.0
        self.pass_days(60, 21_600)
        self.assertEqual(len(self.authority.asked), 3)

    def test_advice(self) -> None:
        """A certificate that is to be replaced sooner is; advice that fails changes nothing."""
        self.authority.renew_at = T + 2 * DAY
        self.start()
        self.pass_days(1)
        self.authority.failing = OrderFailed("away")
        self.pass_days(0.9)
        self.authority.failing = None
        self.assertEqual(self.obtained, 1)
        self.pass_days(0.2)
        self.assertEqual(self.obtained, 2)
        # It says the same of the new one, which is not obtained anew each minute for that.
        self.pass_days(0.5)
        self.assertEqual(self.obtained, 2)

    def test_full_disk(self) -> None:
        """A folder that cannot be written is said, and looked at again."""
        self.patch(
            AcmeFolder, "write_record", lambda *_: (_ for _ in ()).throw(OSError(28, "full"))
        )
        self.start()
        self.clock.advance(INTERVAL)
        self.assertEqual((self.authority.asked, self.obtained), ([], 0))

    def test_folder_that_cannot_be_used(self) -> None:
        """A look that meets an error of the system is not the last one."""
        self.authority.failing = OrderFailed("away")
        self.start()
        self.service.stopService()
        self.service = self.of()
        broken = self.patch(
            AcmeFolder, "locked", lambda *_: (_ for _ in ()).throw(OSError(24, "no descriptor"))
        )
        self.start()
        broken.restore()
        self.authority.failing = None
        self.pass_days(0.2)
        self.assertEqual(self.obtained, 1)

    def test_no_thread(self) -> None:
        """Where no thread can be had, the next look tries again."""
        beside = self.beside

        def none(function: Callable[[], None]) -> None:
            raise RuntimeError("can't start new thread")

        self.beside = none  # type: ignore[method-assign]
        self.service = self.of()
        self.start()
        self.service._beside = beside
        self.clock.advance(INTERVAL)
        self.assertEqual(self.obtained, 1)

    def test_broken_file(self) -> None:
        """A certificate that somebody broke is said, and nothing is ordered for it unasked."""
        self.start()
        self.folder.certificate.write_text("no")
        self.clock.advance(INTERVAL)
        self.assertEqual(len(self.authority.asked), 1)
