"""``<base><channel>/presence``: who is here, as a list, as a stream of changes, and to say so.

A GET is the list, a page at a time, or with ``Accept: text/event-stream`` the roster itself.  A
POST says something of a member whose event stream has no way up.  A DELETE takes a member out.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import msgspec

from takotwist.codecs.tako_json import payload
from takotwist.core.roster_messages import Entry
from takotwist.core.topic import EVERYTHING, parse_cursor
from takotwist.errors import (
    BodyInvalid,
    CursorInvalid,
    MethodNotAllowed,
    NotFound,
    ParamsInvalid,
    Refusal,
    VerifyRejected,
    refusal_for,
)
from takotwist.flow.presence import PresenceService
from takotwist.flow.presence_kicks import PresenceKicks
from takotwist.flow.presence_list import PresenceLists
from takotwist.flow.topic_request import TopicRequest
from takotwist.live.peers import NodeGone, Peers, Say, ask, node_of
from takotwist.streams.http.interface import BodyRequest, ReadableRequest, Request
from takotwist.transports.admission import CONTROL_TOKENS, Admission
from takotwist.transports.history import read_limit
from takotwist.transports.request import ChannelRequest, read_channel_request, whole_body
from takotwist.transports.sse import SseTransport

#: Bytes of a body beside the state in it.
ENVELOPE_BYTES = 1024

_FIELDS = ("after", "limit", "subject")


class _Said(msgspec.Struct):
    connection: str
    state: msgspec.Raw


_SAID = msgspec.json.Decoder(_Said)


@attrs.define(slots=True)
class PresenceTransport:
    """Answers requests about who is here.

    :ivar max_state_bytes: of a member's state now.
    :ivar may_manage: checks a request's right to do what the app may do: a publish key.
    :ivar peers: the other nodes, where there are any: one may hold the stream of a POST's member.
    """

    admission: Admission
    presence: PresenceService
    lists: PresenceLists
    kicks: PresenceKicks
    sse: SseTransport
    max_state_bytes: Callable[[], int]
    may_manage: Callable[[ReadableRequest], None]
    peers: Peers | None = None

    async def answer(self, request: BodyRequest, channel: str) -> None:
        """Answer one request.

        :raises Refusal: and then nothing has been written.
        """
        if request.method in (b"GET", b"HEAD"):
            if _wants_stream(request):
                await self.sse.subscribe(request, channel, roster=True)
            else:
                await self._list(request, channel)
        elif request.method == b"POST":
            await self._say(request, channel)
        elif request.method == b"DELETE":
            await self._remove(request, channel)
        else:
            raise MethodNotAllowed(allow=("GET", "HEAD", "POST", "DELETE", "OPTIONS"))

    async def _list(self, request: Request, channel: str) -> None:
        asked, channel_request = await self._asked(request, channel)
        asked.of_roster()
        if not self._manages(request):
            await self._authorize(request, asked, channel_request)
        limit = read_limit(channel_request.reserved("limit"))
        as_of, after = _place(channel_request.reserved("after"))
        page = await self.lists.page(asked.topic, limit, after, as_of)
        following = None if page.after is None else f"{page.cursor}-{page.after}"
        body = {
            "members": [_member(entry) for entry in page.members],
            "guests": page.guests,
            "cursor": str(page.cursor),
            "more": following is not None,
        }
        if following is not None:
            body["after"] = following
        self._json(request, body)

    async def _say(self, request: BodyRequest, channel: str) -> None:
        asked, channel_request = await self._asked(request, channel)
        asked.of_roster()
        subject = await self._authorize(request, asked, channel_request)
        # As a frame that says the same.
        self.admission.frame_cost(self.admission.address(request), CONTROL_TOKENS)
        body = await whole_body(request, self.max_state_bytes() + ENVELOPE_BYTES)
        try:
            said = _SAID.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
            raise BodyInvalid(f"The body must be {{'connection','state'}}: {bad}") from None
        if subject is None and not self.admission.trusted:
            raise VerifyRejected("connection: it is somebody else's.")
        state = payload(said.state, "state")
        node = node_of(said.connection)
        if self.peers is None or node in (None, self.peers.name):
            self.presence.update_as(asked, said.connection, subject, state)
        else:
            await self._pass_on(node, asked, said.connection, subject, state)
        self._json(request, {})

    async def _pass_on(
        self, node: str, asked: TopicRequest, connection: str, subject: str | None, state: bytes
    ) -> None:
        """Have the node say it that holds the connection."""
        assert self.peers is not None
        topic = asked.topic
        say = Say(node, topic.channel, topic.params, connection, subject, state)
        try:
            outcome = await ask(self.peers, say)
        except NodeGone:
            raise NotFound("connection: the node that held it is gone.") from None
        if outcome.code:
            raise refusal_for(outcome.code, outcome.sentence)

    async def _remove(self, request: Request, channel: str) -> None:
        asked, channel_request = await self._asked(request, channel)
        asked.of_roster()
        self.may_manage(request)
        subject = channel_request.reserved("subject")
        if not subject:
            raise ParamsInvalid("subject is missing.")
        ended = await self.kicks.kick(asked.topic, subject)
        self._json(request, {"connections": ended})

    async def _asked(self, request: Request, channel: str) -> tuple[TopicRequest, ChannelRequest]:
        channel_request = read_channel_request(request, extra=_FIELDS)
        return await self.admission.ask(channel, channel_request), channel_request

    async def _authorize(
        self, request: Request, asked: TopicRequest, channel_request: ChannelRequest
    ) -> str | None:
        self.admission.check_credentials(asked, channel_request)
        self.admission.check_origin(request)
        admitted = await self.admission.authorize(
            asked, "presence", channel_request.presented, self.admission.address(request)
        )
        return admitted.grant.subject

    def _manages(self, request: ReadableRequest) -> bool:
        try:
            self.may_manage(request)
        except Refusal:
            return False
        return True

    def _json(self, request: Request, body: object) -> None:
        self.admission.answers.cors(request)
        self.admission.answers.json(request, msgspec.json.encode(body))


def _wants_stream(request: ReadableRequest) -> bool:
    return "text/event-stream" in (request.getHeader("accept") or "")


def _member(entry: Entry) -> dict[str, object]:
    said: dict[str, object] = {"subject": entry.subject, "since": entry.since}
    if entry.on:
        said["on"] = entry.on
    for name, value, its in (
        ("info", entry.info, entry.info_id),
        ("state", entry.state, entry.state_id),
    ):
        if value is not None:
            said[name] = msgspec.Raw(value)
            if entry.on:
                said[f"{name}Id"] = str(its)
    return said


def _place(text: str | None) -> tuple[int, int]:
    if not text:
        return 0, EVERYTHING
    as_of, dash, after = text.partition("-")
    if not dash:
        raise CursorInvalid("after must be what the page before said.")
    return parse_cursor(as_of, "after"), parse_cursor(after, "after")
