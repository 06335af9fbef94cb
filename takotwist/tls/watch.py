"""Watch of the certificate files: takes up a renewed one, and warns of one that was not renewed.

Whatever renews certificates (certbot, a Kubernetes secret, an operator with
scp) writes two files in some order and tells nobody.
Rule: files that are still changing are left alone; files that cannot be used
are named once, and the old certificate stays.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from takotwist.errors import ConfigError
from takotwist.tls.certificate import utc
from takotwist.tls.context import ServerTls

DAY = 86_400.0

Stamp = tuple[tuple[int, int, int] | None, ...]


class CertificateWatch(Service):
    """Looks at the files every few seconds.

    :param tls: what to reload.
    :param clock: the reactor.
    :param renew: called once a day with the time; rewrites the files when they need it.
    :param wall: unix time in seconds; the clock's own where absent.
    :param interval: seconds between two looks; a change is taken up at the second look that
        sees it, so within two of them.
    """

    log = Logger()

    def __init__(
        self,
        tls: ServerTls,
        clock: IReactorTime,
        renew: Callable[[datetime], object] | None = None,
        interval: float = 5.0,
        wall: Callable[[], float] | None = None,
    ) -> None:
        self._wall = wall or clock.seconds
        self._tls = tls
        self._clock = clock
        self._renew = renew
        self._interval = interval
        self._loop = LoopingCall(self.look)
        self._loop.clock = clock
        self._taken = self._stamp()
        self._seen = self._taken
        self._day = clock.seconds()

    def startService(self) -> None:
        """Begin to look, and say at once when the certificate is about to expire."""
        Service.startService(self)
        self._warn_of_expiry()
        self._loop.start(self._interval, now=False)

    def stopService(self) -> None:
        """Look no more."""
        if self._loop.running:
            self._loop.stop()
        Service.stopService(self)

    def look(self) -> None:
        """Take up what has changed and has come to rest."""
        if self._clock.seconds() - self._day >= DAY:
            self._day = self._clock.seconds()
            self._renew_if_needed()
            self._warn_of_expiry()
        stamp = self._stamp()
        at_rest, self._seen = stamp == self._seen, stamp
        if at_rest and stamp != self._taken:
            self.reload()

    def reload(self) -> bool:
        """Take up the files as they are now (SIGHUP, or a change that was seen).

        :return: whether they could be used; if not, the log says why.
        """
        self._taken = self._seen = self._stamp()
        try:
            changed = self._tls.reload()
        except ConfigError as bad:
            self.log.error("The certificate stays the old one. {reason}", reason=str(bad))
            return False
        if changed:
            self.log.info(
                "New connections get the certificate that is valid until {until}.",
                until=f"{self._tls.pair.leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC",
            )
            self._warn_of_expiry()
        return True

    def _renew_if_needed(self) -> None:
        if self._renew is None:
            return
        try:
            self._renew(utc(self._wall()))
        except (OSError, ConfigError) as bad:
            self.log.error("The certificate could not be renewed: {reason}", reason=str(bad))

    def _warn_of_expiry(self) -> None:
        warning = self._tls.pair.expiry_warning(utc(self._wall()))
        if warning is not None:
            # Not under the name `warning`: Twisted takes that for one of Python's.
            self.log.warn("{sentence} ({file})", sentence=warning, file=str(self._tls.certificate))

    def _stamp(self) -> Stamp:
        """Values that differ when a file was written or exchanged; `None` where there is none."""
        stamps: list[tuple[int, int, int] | None] = []
        for path in (self._tls.certificate, self._tls.key):
            try:
                status = path.stat()
            except OSError:
                stamps.append(None)
            else:
                stamps.append((status.st_ino, status.st_mtime_ns, status.st_size))
        return tuple(stamps)
