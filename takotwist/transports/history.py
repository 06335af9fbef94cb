"""``GET <base><channel>/history`` (protocol, section 8)."""

from __future__ import annotations

import attrs
from twisted.internet.defer import DeferredSemaphore

from takotwist.codecs.tako_json import encode_messages
from takotwist.core.topic import EVERYTHING, parse_cursor
from takotwist.errors import MethodNotAllowed, Overloaded, ParamsInvalid
from takotwist.flow.followed import FollowedTopics
from takotwist.flow.read_log import DEFAULT_LIMIT, MAX_LIMIT, read_history
from takotwist.flow.topic_request import TopicRequest
from takotwist.ports import IReplayLog
from takotwist.streams.http.interface import Request
from takotwist.transports.admission import Admission
from takotwist.transports.request import read_channel_request

#: Concurrency limit: answers read from the log at once, each of up to 4 MiB and held twice
#: while it is encoded; and the bound of the queue before it.
MAX_IN_FLIGHT, MAX_WAITING = 4, 1_000


@attrs.define(slots=True)
class HistoryTransport:
    """Answers requests for a topic's window."""

    admission: Admission
    log: IReplayLog
    followed: FollowedTopics
    _turns: DeferredSemaphore = attrs.field(
        factory=lambda: DeferredSemaphore(MAX_IN_FLIGHT), init=False
    )

    async def read(self, request: Request, channel: str) -> None:
        """Answer one request.

        :raises Refusal: and then nothing has been written.
        """
        channel_request = read_channel_request(request, extra=("after", "limit"))
        asked = await self.admission.ask(channel, channel_request)
        self.admission.check_credentials(asked, channel_request)
        self.admission.check_origin(request)
        await self.admission.authorize(
            asked, "history", channel_request.presented, self.admission.address(request)
        )
        if request.method not in (b"GET", b"HEAD"):
            raise MethodNotAllowed(allow=("GET", "OPTIONS"))
        after = parse_cursor(channel_request.reserved("after") or str(EVERYTHING), "after")
        limit = read_limit(channel_request.reserved("limit"))
        if len(self._turns.waiting) >= MAX_WAITING:
            raise Overloaded
        await self._turns.acquire()
        try:
            await self._answer(request, asked, after, limit)
        finally:
            self._turns.release()

    async def _answer(self, request: Request, asked: TopicRequest, after: int, limit: int) -> None:
        history = await read_history(self.log, self.followed, asked.topic, after, limit)
        self.admission.answers.cors(request)
        self.admission.answers.json(
            request,
            b'{"messages":%b,"cursor":"%d","more":%b}'
            % (
                encode_messages(history.messages),
                history.cursor,
                b"true" if history.more else b"false",
            ),
        )


def read_limit(text: str | None) -> int:
    """The number of messages or members of a page.

    :raises ParamsInvalid: so many are not given.
    """
    if text is None:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MAX_LIMIT):
        raise ParamsInvalid(f"limit must be a whole number from 1 to {MAX_LIMIT}.")
    return int(text)
