"""The service that obtains a certificate, and renews it while the server runs.

Rules: one thread at a time, which the server does not wait for when it stops; of several
processes one asks, and the others see the new file; a certificate that is there is shown
whatever becomes of the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event, Thread
from typing import Protocol

import attrs
from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from takotwist.errors import ConfigError
from takotwist.interfaces import IReactor
from takotwist.tls.acme.folder import AcmeFolder
from takotwist.tls.acme.order import ChallengeType, OrderFailed, OrderStopped
from takotwist.tls.acme.schedule import Record, What, is_due, what_next
from takotwist.tls.certificate import CertificatePair

#: Seconds between two looks at what is on disk.
INTERVAL = 60.0

#: Runs a function beside the reactor.
Beside = Callable[[Callable[[], None]], None]


class Authority(Protocol):
    """Authority that makes certificates; see `Orders`."""

    def obtain(self, challenge: ChallengeType) -> CertificatePair: ...
    def advice(self, pair: CertificatePair) -> float | None: ...


def in_thread(function: Callable[[], None]) -> None:
    """Run it in a thread that keeps no process from ending.

    Everything that it writes is whole or not there, so it may be cut short.
    """
    Thread(target=function, name="takotwist-acme", daemon=True).start()


@attrs.frozen(slots=True)
class Outcome:
    """Outcome of one turn.

    :ivar obtained: a certificate, which is in the folder.
    :ivar failed: why there is none, and in how many seconds there will be another try.
    """

    obtained: CertificatePair | None = None
    failed: tuple[str, float] | None = None


@attrs.define(slots=True, eq=False)
class Turn:
    """One turn of work, in a thread: what is to be done, if nobody else does it.

    :ivar challenges: the ways to prove names, which are tried one after the other.
    :ivar wall: unix time in seconds; chance: a number from 0 to 1.
    """

    folder: AcmeFolder
    authority: Authority
    challenges: Sequence[ChallengeType]
    wall: Callable[[], float]
    chance: Callable[[], float]

    def take(self, what: What, asked: bool) -> Outcome:
        """Do it.  :raises OSError: the folder cannot be used."""
        with self.folder.locked() as mine:
            if not mine:
                return Outcome()
            record, now = self.folder.record(), self.wall()
            try:
                pair = self.folder.pair()
            except ConfigError as bad:
                return Outcome(failed=(str(bad), INTERVAL))
            # Another process may have done it, or tried to, since this one looked.
            if what_next(pair, self.folder.domains, record, now, asked=asked) != what:
                return Outcome()
            if what == "advice":
                return self._advice(pair)
            return self._obtain()

    def _obtain(self) -> Outcome:
        record = self.folder.record()
        challenge = self.challenges[record.failures % len(self.challenges)]
        # A process that is killed meanwhile has tried all the same.
        failing = record.failed(self.wall(), self.chance(), 0, "the server ended meanwhile")
        self.folder.write_record(failing)
        try:
            pair = self.authority.obtain(challenge)
            self.folder.write_certificate(pair)
        except OrderStopped:
            now = self.wall()
            self.folder.write_record(attrs.evolve(record, tried_at=now, next_try=now + INTERVAL))
            return Outcome()
        except OrderFailed as failed:
            now = self.wall()
            failing = record.failed(now, self.chance(), failed.retry_after, failed.reason)
            self.folder.write_record(failing)
            return Outcome(failed=(failed.reason, (failing.next_try or now) - now))
        self.folder.write_record(Record().succeeded(self.wall()))
        return Outcome(obtained=pair)

    def _advice(self, pair: CertificatePair) -> Outcome:
        record = self.folder.record()
        try:
            at = self.authority.advice(pair)
        except OrderFailed:
            # It is asked again; meanwhile the certificate's age decides.
            at = record.renew_at
        self.folder.write_record(attrs.evolve(record, renew_at=at, advised_at=self.wall()))
        return Outcome()


class AcmeRenewal(Service):
    """Looks every minute whether there is something to do.

    :param reactor: `IReactorTime` and `IReactorFromThreads`.
    :param on_obtained: called when there is another certificate.
    :param stop: set when the server stops.
    """

    log = Logger()

    def __init__(
        self,
        turn: Turn,
        reactor: IReactor,
        on_obtained: Callable[[], object],
        stop: Event,
        beside: Beside = in_thread,
    ) -> None:
        self._turn = turn
        self._reactor = reactor
        self._on_obtained = on_obtained
        self._stop = stop
        self._beside = beside
        self._busy = False
        # A start is the operator's word too.
        self._asked = True
        self._said = ""
        self._loop = LoopingCall(self.look)
        self._loop.clock = reactor

    def startService(self) -> None:
        """Begin to look."""
        Service.startService(self)
        self._loop.start(INTERVAL)

    def stopService(self) -> None:
        """Look no more; what is under way gives up at its next step."""
        self._stop.set()
        if self._loop.running:
            self._loop.stop()
        Service.stopService(self)

    def try_soon(self) -> None:
        """Look now: the operator may have mended what was wrong."""
        self._asked = True
        self.look()

    def look(self) -> None:
        """Begin what there is to do, unless something is under way."""
        if self._busy:
            return
        folder, now = self._turn.folder, self._turn.wall()
        asked, self._asked = self._asked, False
        record = folder.record()
        try:
            what = what_next(folder.pair(), folder.domains, record, now, asked=asked)
            if what is None:
                if asked and is_due(folder.pair(), folder.domains, record, now):
                    self._say_when(record.next_try)
                return
        except (ConfigError, OSError) as bad:
            # Not one of these is the last look.
            self._complain(str(bad))
            return
        self._busy = True
        if what == "certificate":
            names = ", ".join(folder.domains)
            self.log.info(
                "asking {authority} for a certificate for {names}",
                authority=folder.directory,
                names=names,
            )
        try:
            self._beside(lambda: self._run(what, asked))
        except RuntimeError as bad:
            # There is no thread to be had now.
            self._busy, self._asked = False, asked
            self._complain(str(bad))

    def _run(self, what: What, asked: bool) -> None:
        """In the thread."""
        try:
            outcome = self._turn.take(what, asked)
        except Exception as bad:
            outcome = Outcome(failed=(f"{type(bad).__name__}: {bad}", INTERVAL))
        if not self._stop.is_set():
            self._reactor.callFromThread(self._done, outcome)

    def _done(self, outcome: Outcome) -> None:
        self._busy = False
        if outcome.failed is not None:
            reason, seconds = outcome.failed
            self._complain(f"{reason}; the next try is in {seconds / 3600:.1f} hours")
        elif outcome.obtained is not None:
            self._said = ""
            self._on_obtained()
        if self._asked:
            # Asked for meanwhile.
            self.look()

    def _say_when(self, at: float | None) -> None:
        with self._turn.folder.locked() as free:
            # Else another process is at it.
            if free and at is not None:
                self.log.info(
                    "the next try to obtain a certificate is in {hours:.1f} hours; sooner would"
                    " meet the limits of the authority",
                    hours=(at - self._turn.wall()) / 3600,
                )

    def _complain(self, reason: str) -> None:
        if reason != self._said:
            self._said = reason
            self.log.error("no certificate could be obtained: {reason}", reason=reason)
