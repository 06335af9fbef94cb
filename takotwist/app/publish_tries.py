"""One publish, tried until it is answered or its caller's patience is over.

Written once, as a coroutine that only awaits what it is given, so that a thread, an
asyncio loop and a reactor try alike.  Rule: an answer is final only when it is one of a
takotwist server.  What a proxy, a router or a captive portal says of it is weather.
"""

from __future__ import annotations

import logging
import os
import ssl
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import attrs

from takotwist.app.publish_wire import Foreign, read_answer
from takotwist.app.published import Published
from takotwist.codecs.http_answer import HttpAnswer
from takotwist.errors import Refusal, Retry, Unreachable

if TYPE_CHECKING:
    # Nobody need load Twisted for an annotation.
    from takotwist.interfaces import Coro

T = TypeVar("T")

#: Seconds for one attempt.
ATTEMPT_SECONDS = 5.0

#: Seconds that an attempt may need to come to anything.  Where patience leaves it less, that it had
#: no answer says nothing, and what was wrong before is said.
CUT_SHORT = 1.0

#: Seconds after which it is said that a publish is still being tried.
REMIND_SECONDS = 0.7

#: Seconds before the second attempt; doubled for each further one.
FIRST_PAUSE = 0.1

#: Most seconds between two attempts, before the jitter.
LONGEST_PAUSE = 2.0

_log = logging.getLogger("takotwist.publisher")


class Trouble:
    """Says that a server gives no answer, once, and once that it does again.

    Rule: a line an outage and not one a publish; an app that publishes in each of its
    requests would fill its log.

    :ivar reason: the last that went wrong; empty while all is well.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._said = False
        self._lock = threading.Lock()
        self.reason = ""

    def waits(self, reason: str, patience: float) -> None:
        """A publish has waited for a while."""
        with self._lock:
            said, self._said = self._said, True
        if not said:
            _log.warning(
                "The takotwist server at %s has not answered yet: %s. Trying for %g s.",
                self._server,
                reason.rstrip(".") or "no answer",
                patience,
            )

    def over(self) -> None:
        """A publish was answered."""
        if self.reason or self._said:
            with self._lock:
                said, self._said = self._said, False
                self.reason = ""
            if said:
                _log.warning("The takotwist server at %s answers again.", self._server)


@attrs.define(slots=True)
class Tries:
    """The tries of one publish.

    :ivar begun: when the caller asked; patience counts from here.
    :ivar patience: seconds.
    :ivar server: for people.
    :ivar key: the idempotency key of every attempt.
    :ivar trouble: shared by all publishes to that server.
    :ivar reason: why there was no answer, the last time.
    :ivar attempt: seconds for one attempt.
    :ivar reminded_after: seconds after which it is said that there was no answer yet.
    """

    begun: float
    patience: float
    server: str
    key: str
    trouble: Trouble
    jitter: Callable[[], float]
    reason: str = ""
    attempt: float = ATTEMPT_SECONDS
    reminded_after: float = REMIND_SECONDS

    @property
    def give_up_at(self) -> float:
        """Time at which patience is over."""
        return self.begun + self.patience

    @property
    def remind_at(self) -> float:
        """Time at which to call `remind`, if it still waits."""
        return self.begun + self.reminded_after

    def remind(self) -> None:
        """It has waited for a while."""
        self.trouble.waits(self.reason or self.trouble.reason, self.patience)

    def unreachable(self) -> Unreachable:
        """Error of the last attempt."""
        reason = self.reason or self.trouble.reason or f"no answer within {self.patience:g} s"
        return Unreachable(
            f"the takotwist server at {self.server} cannot be reached: {reason}",
            idempotency_key=self.key,
        )

    def crowded_out(self, crowd: str) -> Unreachable:
        """Error where it was never this one's turn."""
        before = self.reason or self.trouble.reason
        self.reason = f"{crowd} ({before})" if before else crowd
        return self.unreachable()

    async def published(
        self,
        ask: Callable[[float], Awaitable[HttpAnswer]],
        sleep: Callable[[float], Awaitable[None]],
        clock: Callable[[], float],
    ) -> list[Published]:
        """Try until the messages are stored; as `answered`."""
        return await self.answered(ask, sleep, clock, read_answer)

    async def answered(
        self,
        ask: Callable[[float], Awaitable[HttpAnswer]],
        sleep: Callable[[float], Awaitable[None]],
        clock: Callable[[], float],
        read: Callable[[HttpAnswer], T],
    ) -> T:
        """Try until it is answered.

        :param ask: one attempt, within so many seconds.
        :raises Refusal: the server's no.
        :raises Unreachable: no answer of a takotwist server in time.
        """
        pause = FIRST_PAUSE
        while (left := self.give_up_at - clock()) > 0:
            refused: Refusal | None = None
            wait = pause * (0.5 + self.jitter())
            try:
                answer = read(await ask(min(self.attempt, left)))
            except Refusal as no:
                if no.retry is not Retry.WITH_BACKOFF:
                    self.trouble.over()
                    raise
                refused, self.reason = no, f"{no.code}: {no.sentence}"
                wait = max(wait, no.retry_after or 0.0)
            except Foreign as foreign:
                self.reason = str(foreign)
                wait = max(wait, foreign.retry_after)
            except OSError as broken:
                before = self.reason or self.trouble.reason
                cut_short = isinstance(broken, TimeoutError) and left < CUT_SHORT
                self.reason = before if cut_short and before else _reason_of(broken)
                if isinstance(broken, ssl.SSLCertVerificationError):
                    # Another attempt meets the same certificate.
                    raise self.unreachable() from None
            else:
                self.trouble.over()
                return answer
            self.trouble.reason = self.reason
            if clock() + wait >= self.give_up_at:
                if refused is not None:
                    raise refused from None
                break
            await sleep(wait)
            pause = min(pause * 2, LONGEST_PAUSE)
        raise self.unreachable()


def _reason_of(broken: OSError) -> str:
    number = broken.errno
    # The numbers of name lookups and of TLS are others, and asyncio's texts are its own.
    if isinstance(number, int) and number > 0 and not isinstance(broken, ssl.SSLError):
        return os.strerror(number)
    return broken.strerror or str(broken) or type(broken).__name__


def without_waiting(work: Coro[T]) -> T:
    """The result of a coroutine whose awaitables block instead of waiting."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise RuntimeError("it waited")
