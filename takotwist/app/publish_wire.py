"""A publish on the wire: the query, the body and the answer (protocol, section 7).

Rule: an answer counts only when it is one of a takotwist server, the stored messages or
``{"error","code"}``; a proxy's friendly page is neither a yes nor a no.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from takotwist.app.published import Published
from takotwist.app.types import to_json
from takotwist.codecs.http_answer import HttpAnswer
from takotwist.codecs.plain_json import ENCODING_ERRORS, failed_in, fault_in, is_text
from takotwist.codecs.query import check_channel, query_of
from takotwist.codecs.tako_json import check_type
from takotwist.core.json_values import Json
from takotwist.core.topic import Draft
from takotwist.errors import (
    REFUSALS,
    BodyInvalid,
    Refusal,
    Retry,
    refusal_for,
)

#: What reading JSON of anybody may raise.
_NO_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def target_of(base: str, channel: str, params: Mapping[str, object]) -> str:
    """Path and query of a topic's address.

    :param base: the path under which channels are served, with its last slash.
    :raises ChannelUnknown: no channel can have this name.
    :raises ParamsInvalid: names the param that cannot be sent.
    """
    name = quote(check_channel(channel), safe="")
    query = urlencode(query_of(params))
    return f"{base}{name}{'?' if query else ''}{query}"


def presence_of(target: str, **fields: str) -> str:
    """Path and query of who is at the topic whose address is `target`."""
    path, _, query = target.partition("?")
    more = "&".join([part for part in (query, urlencode(fields)) if part])
    return f"{path}/presence{'?' if more else ''}{more}"


def body_of(drafts: Sequence[Draft]) -> bytes:
    """Always an array, so that there is one form of answer."""
    return msgspec.json.encode(list(map(_body, drafts)))


def _body(draft: Draft) -> dict[str, object]:
    said: dict[str, object] = {"type": draft.type, "data": msgspec.Raw(draft.data)}
    if draft.key is not None:
        said["key"] = draft.key
    if draft.delete:
        said["delete"] = True
    return said


def draft_of(type: str, data: object, key: str | None = None, delete: bool = False) -> Draft:
    """A draft of plain data.  :raises BodyInvalid: it is no message; says where."""
    if not isinstance(type, str) or not is_text(type):
        raise BodyInvalid(f"type {type!r} is no text.")
    check_type(type)
    place = f"data of message type {type!r}"
    if (fault := fault_in(data, place)) is not None:
        raise BodyInvalid(f"{fault}.")
    try:
        return Draft(type, to_json(data), key, delete)
    except ENCODING_ERRORS as failed:
        raise BodyInvalid(f"{failed_in(data, place, to_json, failed)}.") from None


def drafts_of(messages: Iterable[tuple[str, object]]) -> tuple[Draft, ...]:
    """Drafts of pairs of type and data.  :raises BodyInvalid: one is no message; says which."""
    drafts: list[Draft] = []
    for number, pair in enumerate(messages):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise BodyInvalid(f"messages[{number}] must be a pair of type and data.")
        drafts.append(draft_of(*pair))
    return tuple(drafts)


class Foreign(Exception):
    """An answer that is none of a takotwist server, such as a router's or a login page's.

    :ivar retry_after: seconds that it asks for.
    """

    def __init__(self, sentence: str, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(sentence)


def retry_after(answer: HttpAnswer) -> float:
    """Seconds that the answer asks for; 0 where it does not."""
    said = answer.headers.get("retry-after", "")
    return min(float(said), 60.0) if said.isascii() and said.isdigit() else 0.0


def read_answer(answer: HttpAnswer) -> list[Published]:
    """Messages in the answer to a publish.

    :raises Refusal: it is a no.
    :raises Foreign: it is not that of a takotwist server.
    """
    found: list[_Stored] = _read(answer, list[_Stored])
    return [Published(one.id, one.channel, one.type, one.data) for one in found]


T = TypeVar("T")


class MembersPage(msgspec.Struct):
    """A page of who is at a topic.

    :ivar after: what the request for the next page says; `None` where this is the last.
    """

    members: list[msgspec.Raw]
    after: str | None = None


def read_members(answer: HttpAnswer) -> MembersPage:
    """A page of members; raises as `read_answer`."""
    page: MembersPage = _read(answer, MembersPage)
    return page


class _Ended(msgspec.Struct):
    connections: int


def read_ended(answer: HttpAnswer) -> int:
    """The number of connections that were ended with a member; raises as `read_answer`."""
    ended: _Ended = _read(answer, _Ended)
    return ended.connections


def _read(answer: HttpAnswer, kind: type[T]) -> T:
    if answer.status == 200:
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except _NO_JSON:
            raise foreign(answer) from None
    raise no_of(answer)


def foreign(answer: HttpAnswer) -> Foreign:
    """Error of an answer that is none of a takotwist server."""
    return Foreign(_sentence_of(answer), retry_after(answer))


def no_of(answer: HttpAnswer) -> Refusal | Foreign:
    """The refusal in an answer, or the news that it is not that of a takotwist server."""
    try:
        refused = msgspec.json.decode(answer.body, type=_Refused)
    except _NO_JSON:
        return foreign(answer)
    refusal = refusal_for(refused.code, refused.error)
    if refused.code not in REFUSALS and (answer.status == 429 or answer.status >= 500):
        refusal.retry = Retry.WITH_BACKOFF
    refusal.retry_after = retry_after(answer) or refusal.retry_after
    return refusal


def _sentence_of(answer: HttpAnswer) -> str:
    """Description of the answer, for a person; without what an address may hold beside its host."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip()
    kind = kind if re.fullmatch(r"[a-z0-9.+/-]{1,60}", kind) else "no content type"
    sentence = f"HTTP status {answer.status} ({kind}), which is no answer of a takotwist server"
    try:
        to = urlsplit(answer.headers.get("location", ""))
        origin = f"{to.scheme}://{to.hostname}{'' if to.port is None else f':{to.port}'}"
    except ValueError:
        return sentence
    leads = 300 <= answer.status < 400 and to.scheme in ("http", "https")
    return f"{sentence}; it leads to {origin}" if leads and origin.isprintable() else sentence


class _Refused(msgspec.Struct):
    code: str
    error: str


class _Stored(msgspec.Struct):
    id: str
    channel: str
    type: str
    data: Json
