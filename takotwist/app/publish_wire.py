"""A publish on the wire: the query, the body and the answer (protocol, section 7).

Rule: an answer is a success only when it is one of a takotwist server; a proxy's
friendly page is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from takotwist.app.declared import to_builtins, to_json
from takotwist.app.http_exchange import HttpAnswer
from takotwist.app.published import Published
from takotwist.core.message import Draft
from takotwist.errors import BodyInvalid, Refusal, refusal_for


def target_of(base: str, channel: str, params: Mapping[str, Any]) -> str:
    """Path and query of a topic's address.

    :param base: the path under which channels are served, with its last slash.
    """
    query = urlencode(_spelled(params), doseq=True)
    return f"{base}{quote(channel, safe='')}{'?' if query else ''}{query}"


def body_of(drafts: Sequence[Draft]) -> bytes:
    """Always an array, so that there is one form of answer."""
    return msgspec.json.encode(
        [{"type": draft.type, "data": msgspec.Raw(draft.data)} for draft in drafts]
    )


def draft_of(type: str, data: Any) -> Draft:
    """A draft of plain data.  :raises BodyInvalid: JSON has no form for it."""
    try:
        return Draft(type, to_json(data))
    except (TypeError, ValueError) as unusable:
        raise BodyInvalid(f"data of message type {type!r}: {unusable}.") from None


def _spelled(params: Mapping[str, Any]) -> dict[str, Any]:
    """Params as a query spells them: JSON's words for truth and nothing."""

    def spell(value: Any) -> Any:
        if isinstance(value, list):
            return [spell(item) for item in value]
        return value if isinstance(value, str) else to_json(value).decode()

    return {name: spell(value) for name, value in to_builtins(params).items()}


def retry_after(answer: HttpAnswer) -> float:
    """Seconds that the server asks for; 0 where it does not."""
    said = answer.headers.get("retry-after", "")
    return min(float(said), 60.0) if said.isascii() and said.isdigit() else 0.0


def read_answer(answer: HttpAnswer) -> list[Published]:
    """:raises Refusal: the answer is a no, or not of a takotwist server."""
    try:
        value = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = None
    if answer.status == 200:
        try:
            found = msgspec.convert(value, list[_Stored])
        except msgspec.ValidationError:
            raise Refusal("The answer is not that of a takotwist server.") from None
        return [Published(one.id, one.channel, one.type, one.data) for one in found]
    if isinstance(value, dict) and isinstance(value.get("code"), str):
        raise refusal_for(value["code"], str(value.get("error") or "") or None)
    raise Refusal(f"The server answered with HTTP status {answer.status}.")


class _Stored(msgspec.Struct):
    id: str
    channel: str
    type: str
    data: Any
