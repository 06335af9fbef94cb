"""Errors that the client raises beside the server's own refusals.

A refusal of the server keeps its class of `takotwist.errors`; what is below
exists only on this side of the wire.

    TakoError
    ├── Refusal                the server's answer was "no" and will stay "no"
    └── ClientError
        ├── Gone               the cursor is void: reload your state
        ├── UnexpectedAnswer   somebody who is no takotwist server answered
        ├── ProtocolBroken     what came is no message
        ├── NoAnswer           a page of history or a publish was not answered
        ├── OutgoingFull       too many publishes wait for a connection
        └── SubscriptionClosed the caller closed it
"""

from __future__ import annotations

from takotwist.errors import TakoError


class ClientError(TakoError):
    """The root of what only clients raise.

    :ivar code: a stable word, as `Refusal.code` is.
    """

    code = "client-error"


class Gone(ClientError):
    """Messages after the cursor may have been removed, so continuity has ended.

    :ivar code: the reason on the wire, ``replay-too-old`` or ``cursor-invalid``, or
        ``no-cursor`` where a plain WebSocket was cut before it brought any id.
    :ivar cursor: the cursor that is void, or `None`.
    """

    def __init__(self, code: str, cursor: str | None) -> None:
        self.code = code
        self.cursor = cursor
        super().__init__(f"The subscription cannot go on at cursor {cursor}: {code}.")


class UnexpectedAnswer(ClientError):
    """An HTTP status or close code without one of takotwist's words.

    :ivar code: ``http-404``, ``close-1008`` and the like.
    """

    def __init__(self, code: str, sentence: str) -> None:
        self.code = code
        super().__init__(f"{code}: {sentence}")


class ProtocolBroken(ClientError):
    """The server sent what is no message; skipping it would be a silent loss."""

    code = "protocol-broken"


class NoAnswer(ClientError):
    """The server could not be asked, or did not answer in time.  Says why.

    :ivar idempotency_key: of a publish, to try it again with; it may have been stored.
    """

    code = "no-answer"

    def __init__(self, sentence: str, idempotency_key: str | None = None) -> None:
        self.idempotency_key = idempotency_key
        super().__init__(sentence)


class OutgoingFull(ClientError):
    """As many publishes as are allowed wait for a connection or an acknowledgement."""

    code = "outgoing-full"


class SubscriptionClosed(ClientError):
    """The subscription was closed before this could be done."""

    code = "closed"
