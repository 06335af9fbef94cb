"""The app's functions that are told who came and who left: at least once each, with an id.

They are the endpoint of an outbox (`flow.webhooks`), as an address is: in order for a topic, and
with the same id where one is told twice.  Rule: an app that cannot be asked is asked again, while
one that fails has been told.
"""

from __future__ import annotations

import attrs
import msgspec
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger

from takotwist.codecs.webhook import Happening
from takotwist.core.authorization import Drop, Frame
from takotwist.core.channel import MINUTE_MS, Lifecycle
from takotwist.core.json_values import JsonObject
from takotwist.errors import AuthUnavailable, Refusal, Unreachable
from takotwist.flow.webhooks import Endpoint
from takotwist.ports import IAuthorizer

#: Seconds before an app that could not be asked is asked again, at most.
LONGEST_PAUSE = 30.0

#: What is not told within a day is not told: an app that was away for longer asks for the list.
LIFECYCLE = Lifecycle(replay_window_ms=24 * 60 * MINUTE_MS, replay_max_messages=100_000)

#: As answers of an endpoint are: it has been told.
_TOLD = (200, 0.0)


class Hooked(msgspec.Struct):
    """Argument of a hook: a change of the members of a topic.

    :ivar member: as the roster has it.
    """

    channel: str
    params: JsonObject
    member: msgspec.Raw


_HOOKED = msgspec.json.Decoder(Hooked)


@attrs.define(slots=True, eq=False)
class PresenceHooks:
    """Calls them."""

    authorizer: IAuthorizer
    _logger: Logger = attrs.field(factory=Logger, init=False)

    def deliver(self, happening: Happening) -> Deferred[tuple[int, float]]:
        """See `Deliver`."""
        return ensureDeferred(self._deliver(happening))

    async def _deliver(self, happening: Happening) -> tuple[int, float]:
        said = _HOOKED.decode(happening.data)
        member = msgspec.json.decode(said.member)
        data = msgspec.json.encode({"id": str(happening.id), **member})
        kind = f"tako.{happening.type}"
        frame = Frame(said.channel, said.params, kind, data, member["subject"])
        try:
            verdict = await self.authorizer.dispatch(frame)
        except AuthUnavailable as away:
            raise Unreachable(away.sentence) from None
        except Refusal as refusal:
            verdict = Drop(refusal.sentence)
        if isinstance(verdict, Drop) and verdict.error:
            self._logger.warn("the app was told of {kind} and failed", kind=happening.type)
        return _TOLD


def hooks_endpoint(authorizer: IAuthorizer) -> Endpoint:
    """The endpoint of the app's hooks."""
    return Endpoint(
        name="~hooks",
        deliver=PresenceHooks(authorizer).deliver,
        lifecycle=LIFECYCLE,
        longest_pause=LONGEST_PAUSE,
    )
