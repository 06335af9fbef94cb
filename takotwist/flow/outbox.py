"""outbox -> validate -> append to the log

What an application published within a transaction of its own is written down beside the log, and
moved over from there, in its order.  Rules: it is checked as any publish is; what does not pass
is put aside with the reason and holds up nobody; and it leaves the outbox in the transaction that
stores it, so it is stored once.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from takotwist.codecs.frames import MAX_KEY_LENGTH
from takotwist.codecs.tako_json import read_draft
from takotwist.core.log import Append
from takotwist.core.outbox import Outgoing
from takotwist.errors import AuthUnavailable, BodyInvalid, ParamsInvalid, Refusal, StoreUnavailable
from takotwist.flow.authorize import AuthorizerService
from takotwist.flow.publish import append_newest, validate
from takotwist.ports import IOutbox

#: Seconds between two looks, where nothing was heard.
LOOK_SECONDS = 1.0


class OutboxMover(Service):
    """Moves the outbox over for as long as the service runs.

    :param max_message_bytes: the bound as it is now.
    """

    log = Logger()

    def __init__(
        self,
        outbox: IOutbox,
        authorizing: AuthorizerService,
        max_message_bytes: Callable[[], int],
        clock: IReactorTime,
    ) -> None:
        self._outbox = outbox
        self._authorizing = authorizing
        self._max_message_bytes = max_message_bytes
        self._looking = LoopingCall(self.wake)
        self._looking.clock = clock
        self._moving: Deferred[None] | None = None
        self._again = False
        self._new = True

    def startService(self) -> None:
        """Begin."""
        Service.startService(self)
        self._new = True
        self._outbox.on_outbox_growth(self.wake)
        self._looking.start(LOOK_SECONDS, now=False)

    def stopService(self) -> Deferred[None]:
        """Stop after the transaction that is under way."""
        Service.stopService(self)
        self._outbox.on_outbox_growth(lambda: None)
        if self._looking.running:
            self._looking.stop()
        return self._moving or succeed(None)

    def wake(self) -> None:
        """There may be something to move."""
        self._again = True
        if self._moving is None and self.running:
            moving = self._moving = ensureDeferred(self._move())
            moving.addErrback(lambda failure: self.log.failure("moving the outbox failed", failure))
            moving.addBoth(lambda _: setattr(self, "_moving", None))

    async def _move(self) -> None:
        try:
            if self._new:
                # The channels may be others than when something was put aside.
                await self._outbox.retry()
                self._new = False
            while self._again and self.running:
                self._again = False
                while await self._step() and self.running:
                    pass
        except (StoreUnavailable, AuthUnavailable):
            # The log has said so itself, and the next look goes on.
            pass

    async def _step(self) -> bool:
        """Move some; whether there may be more."""
        outgoing = await self._outbox.outgoing()
        moved, refused = [], []
        for one in outgoing:
            try:
                moved.append((one, await self._append_of(one)))
            except (StoreUnavailable, AuthUnavailable):
                raise
            except Refusal as refusal:
                refused.append((one, refusal.sentence))
                self.log.warn(
                    "message {id} of the outbox is put aside: {sentence}",
                    id=one.id,
                    sentence=refusal.sentence,
                )
        if outgoing:
            await self._outbox.move(moved, refused)
        return bool(outgoing)

    async def _append_of(self, one: Outgoing) -> Append:
        """:raises Refusal: it cannot be published."""
        definition = await self._authorizing.find(one.channel)
        try:
            params = msgspec.json.decode(one.params, type=dict[str, object])
        except msgspec.DecodeError:
            raise ParamsInvalid("params: must be a JSON object.") from None
        asked = self._authorizing.bind(definition, params)
        fields = msgspec.json.encode({"type": one.type, "data": msgspec.Raw(one.data)})
        draft = read_draft(fields, self._max_message_bytes())
        validate(definition, [draft])
        if len(one.idempotency_key or "") > MAX_KEY_LENGTH:
            raise BodyInvalid(f"idempotency_key: must have at most {MAX_KEY_LENGTH} characters.")
        lifecycle = self._authorizing.lifecycle(definition)
        if definition.newest is not None:
            return append_newest(asked.topic, (draft,), lifecycle, definition.newest)
        return Append(asked.topic, (draft,), lifecycle, one.idempotency_key)
