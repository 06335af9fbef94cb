"""Meaning of the server's answers for a subscription.

The one place that maps statuses, close codes and codes to what a client does;
`tests/vectors/client.json` has the same table for every language.  Rule: only
what carries a word of ours is an answer, and may be final.  All else is from
somebody between, such as a captive portal or a router during a deploy, and passes.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from enum import Enum

import attrs
import msgspec

from takotwist.client.errors import UnexpectedAnswer
from takotwist.client.machine.policy import CredentialsKind
from takotwist.errors import REFUSALS, Retry, TakoError, refusal_for

#: No ``Retry-After`` and no ``retryAfterMs`` is believed beyond this.
RETRY_AFTER_CAP_MS = 300_000.0


class Action(Enum):
    """Next step of the client."""

    OPEN = "open"
    NOW = "now"
    BACKOFF = "backoff"
    REAUTHENTICATE = "reauthenticate"
    GONE = "gone"
    STOP = "stop"


@attrs.frozen(slots=True)
class Outcome:
    """End of a connection, a request or a topic.

    :ivar code: the protocol's word for it, or one made from the number.
    :ivar sentence: for a person.
    :ivar wait_ms: least time before the next try; `None` where nobody said one.
    """

    action: Action
    code: str
    sentence: str = ""
    wait_ms: float | None = None

    @property
    def trouble(self) -> str | None:
        """Reason of the failure, in words for a person; `None` where nothing did."""
        return None if self.action is Action.NOW else self.sentence or self.code

    def with_credentials(self, kind: CredentialsKind) -> Outcome:
        """This outcome for one whose credentials are `kind`: a fixed value has nothing new to
        offer, unless it was only too slow."""
        if self.action is not Action.REAUTHENTICATE or kind == "callable":
            return self
        slow = self.code == "auth-frame-missing" and kind == "fixed"
        return attrs.evolve(self, action=Action.BACKOFF if slow else Action.STOP)

    def error(self) -> TakoError:
        """This outcome as what is raised."""
        if self.code in REFUSALS:
            return refusal_for(self.code, self.sentence or None)
        return UnexpectedAnswer(self.code, self.sentence or "the server refused")


CUT = Outcome(Action.BACKOFF, "connection-lost", "The connection was lost.")
ENDED = Outcome(Action.BACKOFF, "connection-ended", "The server ended the connection.")
UNANSWERED = Outcome(Action.BACKOFF, "no-answer", "A subscribe had no answer.")
SILENT = Outcome(Action.BACKOFF, "connection-silent", "Nothing was heard for two keepalives.")

_ACTIONS = {
    Retry.NEVER: Action.STOP,
    Retry.WITH_BACKOFF: Action.BACKOFF,
    Retry.WITH_NEW_CREDENTIALS: Action.REAUTHENTICATE,
    Retry.WITHOUT_CURSOR: Action.GONE,
}

#: Words that make a close final whose code is everybody's.
_FINAL_REASONS = frozenset({"message-too-large", "text-frames-only"})


def of_code(code: str, sentence: str = "", retry_after_ms: float | None = None) -> Outcome:
    """The outcome of an ``{"op":"error"}`` that ends a topic, or refuses a publish.

    :param retry_after_ms: of the frame.
    """
    wait = None if retry_after_ms is None else _believed(retry_after_ms)
    # A cursor that the server does not know cannot be resumed: as definite as too old.
    if code == "cursor-invalid":
        return Outcome(Action.GONE, code, sentence, wait)
    known = REFUSALS.get(code)
    return Outcome(_ACTIONS[known.retry] if known else Action.STOP, code, sentence, wait)


def foreign(status: int, content_type: str | None = None) -> str:
    """Sentence about an answer that is not the server's own."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    return (
        f"HTTP status {status} ({kind or 'no content type'}), which is no answer of takotwist:"
        " something between answers, or the url is wrong"
    )


def of_status(
    status: int,
    code: str | None = None,
    sentence: str = "",
    retry_after: str | None = None,
    now_ms: float = 0.0,
    content_type: str | None = None,
) -> Outcome:
    """The outcome of an HTTP answer to a subscription, or to a WebSocket upgrade.

    :param status: 0 where there was no answer at all.
    :param code: the ``code`` of its JSON body.
    :param retry_after: the header.
    :param now_ms: wall clock, for a ``Retry-After`` that is a date.
    """
    if status == 0:
        return CUT
    word = code or f"http-{status}"
    wait = read_retry_after(retry_after, now_ms)
    if status == 200:
        if (content_type or "").partition(";")[0].strip().lower() == "text/event-stream":
            return Outcome(Action.OPEN, word)
        return Outcome(Action.BACKOFF, word, foreign(status, content_type))
    if code in REFUSALS:
        return attrs.evolve(of_code(code, sentence), wait_ms=wait)
    if code is None:
        sentence = foreign(status, content_type)
    passes = code is None or status in (408, 425, 429) or status >= 500
    return Outcome(Action.BACKOFF if passes else Action.STOP, word, sentence, wait)


def of_close(close_code: int, reason: str = "") -> Outcome:
    """The outcome of a WebSocket close.

    :param close_code: 1006 where the connection was cut, or never made.
    """
    word = reason if reason in REFUSALS else f"close-{close_code}"
    if close_code == 1006:
        return CUT
    if close_code == 1000 and reason == "connection expired":
        return Outcome(Action.NOW, "connection-expired", reason)
    if reason in _FINAL_REASONS:
        return Outcome(Action.STOP, reason, reason)
    if 4400 <= close_code <= 4499:
        if reason in REFUSALS:
            return of_code(reason)
        # Somebody between may have lost the reason; the number still says which.
        by_number = {4401: Action.REAUTHENTICATE, 4410: Action.GONE, 4429: Action.BACKOFF}
        word = "replay-too-old" if close_code == 4410 else word
        return Outcome(by_number.get(close_code, Action.STOP), word, reason)
    return Outcome(Action.BACKOFF, word, reason)


def read_retry_after(text: str | None, now_ms: float) -> float:
    """Milliseconds of a ``Retry-After`` (RFC 9110, section 10.2.3); 0 where it says nothing."""
    if text is None:
        return 0.0
    text = text.strip()
    if text.isascii() and text.isdigit():
        wait = float(text) * 1000
    else:
        try:
            wait = parsedate_to_datetime(text).timestamp() * 1000 - now_ms
        except (ValueError, OverflowError):
            return 0.0
    return _believed(wait)


def _believed(wait_ms: float) -> float:
    return min(max(wait_ms, 0.0), RETRY_AFTER_CAP_MS)


def read_refusal(body: bytes) -> tuple[str | None, str]:
    """Code and sentence of an error's body of ours; no code where it is somebody else's."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None, ""
    if not isinstance(value, dict):
        return None, ""
    code, sentence = value.get("code"), value.get("error")
    if isinstance(code, str) and isinstance(sentence, str):
        return code, sentence
    return None, ""
