"""The keys of an identity provider: a JSON Web Key Set by URL, cached and read again.

Rules: the reactor never waits for it; a set that was read stays in force while a newer one
cannot be had, but not for ever; and made-up key ids make nobody work.
"""

from __future__ import annotations

from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy

from treq.client import HTTPClient, IndexableCookieJar  # type: ignore[attr-defined]
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent

from takotwist.adapters.app_client import was_cancelled
from takotwist.adapters.bounded_body import BodyTooLarge, bounded_body
from takotwist.adapters.token_keys import MAX_SET_BYTES, Keys, UnusableKey, read_jwks
from takotwist.errors import AuthUnavailable

#: Seconds that one reading may take.
DEADLINE = 5.0

#: Seconds between two readings, however many tokens ask for one: for a key that is not in
#: the set, and after a reading that failed.
LEAST_INTERVAL = 5.0

#: Seconds for which a set is good that cannot be read again.
MOST_AGE = 86_400.0

#: Seconds before the log says the same again.
_COMPLAINT_INTERVAL = 60.0


class Jwks:
    """Reads the set, and remembers it.

    :param agent: connects; see `app_agent`.
    :param refresh: seconds after which the set is read again.
    :ivar url: where it is.
    """

    log = Logger()

    def __init__(self, url: str, agent: IAgent, clock: IReactorTime, refresh: float) -> None:
        self.url = url
        self._refresh = refresh
        # A jar that takes nothing.
        jar = IndexableCookieJar(DefaultCookiePolicy(allowed_domains=()))
        self._http = HTTPClient(agent, cookiejar=jar)
        self._clock = clock
        self._keys: Keys | None = None
        self._content = b""
        self._read_at = self._asked_at = float("-inf")
        self._reading: Deferred[None] | None = None
        self._waiting: list[Deferred[None]] = []
        self._complaint = ("", float("-inf"))

    @property
    def keys(self) -> Keys | None:
        """The set as last read; the same object while it says the same.  `None`: there is none."""
        if self._clock.seconds() - self._read_at > MOST_AGE:
            return None
        return self._keys

    def refresh_after(self, seconds: float) -> None:
        """Read the set again after so many seconds, from now on."""
        self._refresh = seconds

    def refresh_when_due(self) -> None:
        """Read the set again where it is old enough, and wait for nothing."""
        if self._clock.seconds() - self._read_at >= self._refresh:
            self._begin()

    def start(self) -> None:
        """Read it now, so that the first client need not wait for it."""
        self._begin()

    async def find(self, choose: Callable[[Keys], Keys]) -> Keys:
        """The keys that `choose` picks, out of a newer set where the old one has none.

        :raises AuthUnavailable: there is no set, or none that is new enough to tell.
        """
        keys, now = self.keys, self._clock.seconds()
        if keys is not None:
            found = choose(keys)
            self.refresh_when_due()
            if found:
                return found
            if self._reading is None and now - self._asked_at < LEAST_INTERVAL:
                # Read a moment ago; where that failed, nobody knows.
                return self._known_missing()
        self._begin()
        if self._reading is not None:
            waiter: Deferred[None] = Deferred(self._waiting.remove)
            self._waiting.append(waiter)
            await waiter
        keys = self.keys
        found = choose(keys) if keys is not None else ()
        return found or self._known_missing()

    def close(self) -> None:
        """Stop reading."""
        if self._reading is not None:
            self._reading.cancel()

    def _known_missing(self) -> Keys:
        """No keys, where the newest reading is the one that says so."""
        if self.keys is None or self._read_at < self._asked_at:
            raise AuthUnavailable("The keys that check tokens cannot be read.")
        return ()

    def _begin(self) -> None:
        now = self._clock.seconds()
        if self._reading is not None or now - self._asked_at < LEAST_INTERVAL:
            return
        self._asked_at = now
        reading = self._reading = Deferred.fromCoroutine(self._read())

        def too_late() -> None:
            self._complain(f"it did not answer within {DEADLINE:g} s")
            reading.cancel()

        deadline = self._clock.callLater(DEADLINE, too_late)

        def done(_: None) -> None:
            if deadline.active():
                deadline.cancel()
            self._reading = None
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                one.callback(None)

        reading.addCallback(done)

    async def _read(self) -> None:
        """Read it; what is wrong is in the log."""
        try:
            response = await self._http.request(
                "GET",
                self.url,
                headers=Headers({"Accept": ["application/jwk-set+json, application/json"]}),
                allow_redirects=False,
                unbuffered=True,
                # Without it treq reaches for the process's reactor.
                reactor=self._clock,  # type: ignore[arg-type]  # only its time is used
            )
            content = await bounded_body(response, MAX_SET_BYTES)
            if response.code != 200:
                raise UnusableKey(f"answered {response.code}")
            if self._keys is None or content != self._content:
                self._take(content)
            self._read_at = self._asked_at
        except BodyTooLarge:
            self._complain(f"it answered with more than {MAX_SET_BYTES} bytes")
        except UnusableKey as unusable:
            self._complain(f"it {unusable}")
        except Exception as broken:
            if not was_cancelled(broken):
                self._complain(f"it could not be asked: {broken or type(broken).__name__}")

    def _take(self, content: bytes) -> None:
        keys, wrong = read_jwks(content)
        if not keys:
            raise UnusableKey(f"has no key that can check tokens: {'; '.join(wrong) or 'none'}")
        for one in wrong:
            self.log.warn("the keys at {url}: {reason}", url=self.url, reason=one)
        self._keys, self._content = keys, content

    def _complain(self, reason: str) -> None:
        said, at = self._complaint
        now = self._clock.seconds()
        if reason != said or now - at >= _COMPLAINT_INTERVAL:
            self._complaint = (reason, now)
            self.log.error("the keys at {url}: {reason}", url=self.url, reason=reason)
