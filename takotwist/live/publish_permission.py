"""Permission of a page to publish on the live objects that a call gave it.

The function's `verify` said yes to ``call``; to ``publish`` it may say no, as a channel's
may.  It is asked when the first message comes, so a page that only listens costs no
question.  Rule: messages wait for the answer in their order and are not consumed
meanwhile, so what waits is bounded by the page's credit.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import attrs
from twisted.logger import Logger

from takotwist.core.authorization import REFUSED_SECONDS
from takotwist.errors import CredentialsMissing, Refusal, VerifyRejected
from takotwist.live.machine.frames import Frame
from takotwist.trampoline import started

_log = Logger()

#: Frames that publish, and need the permission; others only subscribe.
_SAID = frozenset({"send", "publish"})


class FrameTarget(Protocol):
    """A live object, as the receiver of its page's frames."""

    def hear(self, frame: Frame) -> None:
        """Deliver a frame to the app."""

    def refuse(self, frame: Frame, refusal: Refusal) -> None:
        """Refuse a frame; whoever sent it is told why, where they asked."""


@attrs.define(slots=True, eq=False)
class PublishPermission:
    """The app's answer to ``publish``, for the objects of one call.

    :ivar function: its name, for the log.
    :ivar subject: of the page, for the log.
    :ivar ask: asks the app.
    :ivar seconds: the clock.
    """

    function: str
    subject: str | None
    ask: Callable[[], Awaitable[object]]
    seconds: Callable[[], float]
    _granted: bool = attrs.field(default=False, init=False)
    _refused: Refusal | None = attrs.field(default=None, init=False)
    _refused_at: float = attrs.field(default=0.0, init=False)
    _waiting: list[tuple[FrameTarget, Frame]] = attrs.field(factory=list, init=False)

    def take(self, one: FrameTarget, frame: Frame) -> None:
        """Pass a frame on to `one`, refuse it, or queue it until the app has answered."""
        if self._waiting:
            self._waiting.append((one, frame))
        elif self._granted or frame.do not in _SAID:
            one.hear(frame)
        elif self._refused is not None and self.seconds() < self._refused_at + REFUSED_SECONDS:
            one.refuse(frame, self._refused)
        else:
            self._waiting.append((one, frame))
            started(self._find_out()).addErrback(
                lambda failure: _log.failure("asking for a page failed", failure)
            )

    async def _find_out(self) -> None:
        refusal: Refusal | None = None
        try:
            await self.ask()
        except (VerifyRejected, CredentialsMissing) as no:
            refusal = self._refused = no
            self._refused_at = self.seconds()
            _log.info(
                "{subject} may not publish to what {function} returned",
                subject=self.subject or "a page",
                function=self.function,
            )
        except Refusal as unavailable:
            # A failure is no answer: the next message asks again.
            refusal = unavailable
        self._granted = refusal is None
        # What comes while these are heard is behind them.
        while self._waiting:
            one, frame = self._waiting[0]
            try:
                if refusal is None or frame.do not in _SAID:
                    one.hear(frame)
                else:
                    one.refuse(frame, refusal)
            except Exception:
                _log.failure("a message that waited could not be given to its object")
            del self._waiting[0]
