"""Every way in which takotwist refuses, as one tree.

Each leaf below `Refusal` is one row of the protocol's tables: its `code` is on
the wire, `http_status` and `close_code` are how it leaves over HTTP and over
WebSocket, `retry` is what a client should do.  Nothing else in the project
maps errors to numbers.

    TakoError
    ├── Refusal                    somebody asked for what cannot be had
    │   ├── ParamsInvalid          400  4422
    │   ├── CursorInvalid          400  4400
    │   ├── TransportNotEnabled    400  4400
    │   ├── BodyInvalid            400  4400
    │   ├── AuthFrameMalformed     400  4400
    │   ├── CredentialsMissing     401  4401
    │   ├── AuthFrameMissing       401  4401
    │   ├── CredentialsExpired     401  4401
    │   ├── VerifyRejected         403  4403
    │   ├── OriginRejected         403  4403
    │   ├── HostRejected           403  4403
    │   ├── StreamTaken            403  4403
    │   ├── ChannelUnknown         404  4404
    │   ├── NotFound               404  4404
    │   ├── MethodNotAllowed       405  4400
    │   ├── TooManyKeys            409  4400
    │   ├── StreamEnded            409  4400
    │   ├── StreamDifferent        409  4400
    │   ├── StreamGap              409  4400
    │   ├── ReplayTooOld           410  4410
    │   ├── MessageTooLarge        413  1009
    │   ├── UpgradeRequired        426  4400
    │   ├── RateLimited            429  4429
    │   ├── InternalError          500  1011
    │   ├── AuthUnavailable        503  1013
    │   ├── StoreUnavailable       503  1013
    │   ├── Overloaded             503  1013
    │   └── ShuttingDown           503  1001
    ├── Unreachable                a server gave no answer, so nobody knows
    ├── DefinitionError            a channel definition cannot be used
    └── ConfigError                the configuration cannot be used
"""

from __future__ import annotations

from enum import Enum


class Retry(Enum):
    """Advice to a client after a refusal."""

    NEVER = "never"
    WITH_BACKOFF = "with-backoff"
    WITH_NEW_CREDENTIALS = "with-new-credentials"
    WITHOUT_CURSOR = "without-cursor"


class TakoError(Exception):
    """The root of everything that takotwist raises on purpose."""


class Refusal(TakoError):
    """A request, frame or publish that gets a definite answer of "no".

    :ivar code: the stable word on the wire.
    :ivar http_status: the status of an HTTP answer.
    :ivar close_code: the code of a WebSocket close.
    :ivar retry: what the other side should do.
    :param sentence: one sentence for a person.  It goes to the other side, so
        it never holds a credential, a path or anything of our inside.
    :param retry_after: seconds until a retry makes sense (``Retry-After``), or
        `None` where the class's own default is right.
    """

    code: str = "refused"
    http_status: int = 400
    close_code: int = 4400
    retry: Retry = Retry.NEVER
    default_sentence: str = "The request was refused."
    retry_after: float | None = None

    def __init__(self, sentence: str | None = None, *, retry_after: float | None = None) -> None:
        self.sentence = sentence or self.default_sentence
        if retry_after is not None:
            self.retry_after = retry_after
        super().__init__(self.sentence)


class ParamsInvalid(Refusal):
    """The params do not fit the channel's schema; the sentence names the param."""

    code, http_status, close_code = "params-invalid", 400, 4422
    default_sentence = "The channel's params are not valid."


class CursorInvalid(Refusal):
    """The cursor is no id that this log ever gave out."""

    code, http_status, close_code = "cursor-invalid", 400, 4400
    default_sentence = "The cursor is not one that this server gave out."


class TransportNotEnabled(Refusal):
    """WebSocket was asked of a channel without handlers."""

    code, http_status, close_code = "transport-not-enabled", 400, 4400
    default_sentence = "This channel has no handlers, so it is served over SSE only."


class BodyInvalid(Refusal):
    """A publish body or a client's frame cannot be read, or fails its schema."""

    code, http_status, close_code = "body-invalid", 400, 4400
    default_sentence = "The body is not a valid message."


class AuthFrameMalformed(Refusal):
    """The first frame is no readable ``tako.auth`` frame."""

    code, http_status, close_code = "auth-frame-malformed", 400, 4400
    default_sentence = "The tako.auth frame is malformed."


class CredentialsMissing(Refusal):
    """The channel declares credentials and the request has none."""

    code, http_status, close_code = "credentials-missing", 401, 4401
    retry = Retry.WITH_NEW_CREDENTIALS
    default_sentence = "This channel needs credentials."


class AuthFrameMissing(Refusal):
    """No ``tako.auth`` frame came in time."""

    code, http_status, close_code = "auth-frame-missing", 401, 4401
    retry = Retry.WITH_NEW_CREDENTIALS
    default_sentence = "No tako.auth frame came within the time allowed."


class CredentialsExpired(Refusal):
    """The grant's ``expiresAt`` has passed."""

    code, http_status, close_code = "credentials-expired", 401, 4401
    retry = Retry.WITH_NEW_CREDENTIALS
    default_sentence = "The credentials have expired."


class VerifyRejected(Refusal):
    """The app said no."""

    code, http_status, close_code = "verify-rejected", 403, 4403
    default_sentence = "The app refused access to this channel."


class OriginRejected(Refusal):
    """The page's origin is not on the list."""

    code, http_status, close_code = "origin-rejected", 403, 4403
    default_sentence = "This origin may not use this server."


class HostRejected(Refusal):
    """The request names a host that this listener does not answer to."""

    code, http_status, close_code = "host-rejected", 403, 4403
    default_sentence = "This server does not answer to this host."


class StreamTaken(Refusal):
    """Another writer has taken the streamed message over; this one's words are refused."""

    code, http_status, close_code = "stream-taken", 403, 4403
    default_sentence = "Another writer has taken this message over."


class ChannelUnknown(Refusal):
    """No channel has this name."""

    code, http_status, close_code = "channel-unknown", 404, 4404
    default_sentence = "There is no channel of this name."


class NotFound(Refusal):
    """No route has this path."""

    code, http_status, close_code = "not-found", 404, 4404
    default_sentence = "There is nothing at this address."


class MethodNotAllowed(Refusal):
    """The path is right and the method is not.

    :param allow: the methods that would be right, for the ``Allow`` header.
    """

    code, http_status, close_code = "method-not-allowed", 405, 4400
    default_sentence = "This method is not allowed here."

    def __init__(self, sentence: str | None = None, *, allow: tuple[str, ...] = ("GET",)) -> None:
        super().__init__(sentence)
        self.allow = allow


class StreamEnded(Refusal):
    """The streamed message has ended; nothing can be appended.

    :ivar how: ``ended``, ``failed`` or ``cancelled``.
    :ivar reason: a word, of ``failed``.
    """

    code, http_status, close_code = "stream-ended", 409, 4400
    default_sentence = "The message has ended."

    def __init__(self, sentence: str | None = None, *, how: str = "", reason: str = "") -> None:
        super().__init__(sentence)
        self.how, self.reason = how, reason


class StreamDifferent(Refusal):
    """A streamed message of this id is there already, of somebody else's request."""

    code, http_status, close_code = "stream-different", 409, 4400
    default_sentence = "A message of this id is there already."


class StreamGap(Refusal):
    """A request of the writer before this one is missing.

    :ivar expected: its number.
    """

    code, http_status, close_code = "stream-gap", 409, 4400
    default_sentence = "A request of the writer is missing."

    def __init__(self, sentence: str | None = None, *, expected: int = 0) -> None:
        super().__init__(sentence)
        self.expected = expected


class ReplayTooOld(Refusal):
    """Messages after the cursor may have been removed."""

    code, http_status, close_code = "replay-too-old", 410, 4410
    retry = Retry.WITHOUT_CURSOR
    default_sentence = "The cursor is older than the replay window: reload, then start anew."


class TooManyKeys(Refusal):
    """The topic keeps as many keys, or as many bytes of them, as its channel allows."""

    code, http_status, close_code = "too-many-keys", 409, 4400
    default_sentence = (
        "This topic keeps as many keys as it may: delete one, or use one that is there."
    )


class MessageTooLarge(Refusal):
    """A message or body is over its limit."""

    code, http_status, close_code = "message-too-large", 413, 1009
    default_sentence = "The message is too large."


class UpgradeRequired(Refusal):
    """Only WebSocket is served here."""

    code, http_status, close_code = "upgrade-required", 426, 4400
    default_sentence = "Only WebSocket is served at this address."


class RateLimited(Refusal):
    """Too much, too fast, or too many."""

    code, http_status, close_code = "rate-limited", 429, 4429
    retry, retry_after = Retry.WITH_BACKOFF, 1.0
    default_sentence = "Too many requests."


class InternalError(Refusal):
    """Our own fault; the log has the reason."""

    code, http_status, close_code = "internal-error", 500, 1011
    retry = Retry.WITH_BACKOFF
    default_sentence = "The server failed; its log has the reason."


class AuthUnavailable(Refusal):
    """The app could not be asked."""

    code, http_status, close_code = "auth-unavailable", 503, 1013
    retry, retry_after = Retry.WITH_BACKOFF, 2.0
    default_sentence = "The app that authorizes this channel cannot be reached."


class StoreUnavailable(Refusal):
    """The replay log cannot be read or written."""

    code, http_status, close_code = "store-unavailable", 503, 1013
    retry, retry_after = Retry.WITH_BACKOFF, 2.0
    default_sentence = "The replay log is not available."


class Overloaded(Refusal):
    """A bound of the whole server is reached."""

    code, http_status, close_code = "overloaded", 503, 1013
    retry, retry_after = Retry.WITH_BACKOFF, 2.0
    default_sentence = "The server is at its limit."


class ShuttingDown(Refusal):
    """The server is stopping."""

    code, http_status, close_code = "shutting-down", 503, 1001
    retry, retry_after = Retry.WITH_BACKOFF, 1.0
    default_sentence = "The server is shutting down."


class Unreachable(TakoError):
    """A takotwist server gave no answer; what was asked may have been done.

    :ivar idempotency_key: the key to ask again with, where there was one.
    """

    def __init__(self, reason: str, *, idempotency_key: str | None = None) -> None:
        self.idempotency_key = idempotency_key
        super().__init__(reason)


class DefinitionError(TakoError):
    """A channel definition cannot be used.

    :param reason: what is wrong and what to do.
    :param place: the file or module, where there is one.
    """

    def __init__(self, reason: str, *, place: str | None = None) -> None:
        self.reason = reason
        self.place = place
        super().__init__(f"{place}: {reason}" if place else reason)


class ConfigError(TakoError):
    """The configuration cannot be used.

    :param reason: what is wrong and what is allowed.
    :param key: the dotted key, such as ``replay.durability``.
    :param source: the file, environment variable or flag it came from.
    """

    def __init__(self, reason: str, *, key: str | None = None, source: str | None = None) -> None:
        self.reason = reason
        self.key = key
        self.source = source
        super().__init__(": ".join(part for part in (source, key, reason) if part))


def _leaves(kind: type[Refusal]) -> list[type[Refusal]]:
    below = kind.__subclasses__()
    return [kind, *(leaf for child in below for leaf in _leaves(child))]


#: code on the wire -> class, for whoever reads an answer of a server.
REFUSALS: dict[str, type[Refusal]] = {leaf.code: leaf for leaf in _leaves(Refusal)}


def refusal_for(code: str, sentence: str | None = None) -> Refusal:
    """The error that stands for `code`; a plain `Refusal` where it is unknown."""
    refusal = REFUSALS.get(code, Refusal)(sentence)
    refusal.code = code
    return refusal
