"""Verification of callers and wires by the app.

Rule: an app that fails while it is asked says nothing about anybody; who asked
may try again.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from takotwist.app.calls import Reject, UnusableAnswer, grant_of
from takotwist.app.types import VerifyRequest, failure_text
from takotwist.core.authorization import HeaderCredential, Operation
from takotwist.errors import AuthUnavailable, CredentialsMissing, Refusal, VerifyRejected
from takotwist.live.functions.function import Verification

#: Runs a function of the app within its limits; fails with what it raised.  The name of the
#: function and the caller's address are the keys by which turns are shared out.
Run = Callable[[str, str, Callable[[], object]], Awaitable[Any]]


@attrs.define(slots=True, eq=False)
class Verifier:
    """Calls the `verify` of functions."""

    run: Run
    _log: Logger = attrs.field(factory=Logger, init=False)

    async def subject_of(
        self,
        verification: Verification,
        header: Callable[[str], str | None],
        cookie: Callable[[str], str | None],
        address: str,
        left: Callable[[], bool],
        operation: Operation = "call",
    ) -> str | None:
        """Ask the app who this is.

        :param address: the caller's.
        :param left: tells whether the caller has left meanwhile, which cancels the question.
        :raises CredentialsMissing: :raises VerifyRejected: :raises AuthUnavailable: as they say.
        """
        said = header(verification.header) if verification.header else None
        baked = cookie(verification.cookie) if verification.cookie else None
        if said is None and baked is None and (verification.header or verification.cookie):
            raise CredentialsMissing("This function needs credentials.")
        asked: VerifyRequest[object] = VerifyRequest(
            channel=verification.function,
            operation=operation,
            params={},
            header=None if said is None else HeaderCredential.split(said),
            cookie=baked,
        )
        verify = verification.verify
        try:
            waits = inspect.iscoroutinefunction(verify)
            ask = _waiting(verify, asked) if waits else lambda: verify(asked)
            answer = await self.run(verification.function, address, ask)
            return grant_of(answer).subject
        except Reject as rejected:
            raise VerifyRejected(rejected.reason) from None
        except Refusal:
            raise
        except UnusableAnswer as unusable:
            self._log.error("verify of a function: {reason}", reason=str(unusable))
        except Exception as error:
            if isinstance(error, CancelledError) and left():
                raise
            # The value and not the whole header: the app was given it without its scheme.
            secrets = (asked.header.value if asked.header else "", baked or "")
            self._log.error(
                "verify of a function failed\n{trace}", trace=failure_text(error, secrets)
            )
        raise AuthUnavailable("The app failed while authorizing.")


def _waiting(verify: Callable[..., Any], asked: object) -> Callable[[], Any]:
    async def wait() -> Any:
        return await verify(asked)

    return wait
