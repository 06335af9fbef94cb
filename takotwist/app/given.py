"""What the app's own functions are given.

Rule: these hold what the app needs to decide and nothing of the connection, so
the same function serves in process and over HTTP.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import attrs

from takotwist.core.authorization import HeaderCredential, Operation

P = TypeVar("P")


@attrs.frozen(slots=True, kw_only=True)
class VerifyRequest(Generic[P]):
    """One question to a channel's `verify`: may this one do that here?

    :ivar channel: the channel's name.
    :ivar operation: ``subscribe`` (to listen), ``connect`` (to a channel with handlers,
        where one may also speak), ``publish`` (asked once, when the first frame of a client
        comes) or ``history``; ``call`` of a function.
    :ivar params: the validated params, as the declared type; a mapping where
        they were declared by a JSON Schema or not at all.
    :ivar header: the declared header, split into ``scheme`` and ``value``, or
        `None` where the request has none.
    :ivar cookie: the declared cookie's value, or `None`.
    """

    channel: str
    operation: Operation
    params: P
    header: HeaderCredential | None = None
    cookie: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(slots=True, kw_only=True)
class Context(Generic[P]):
    """Around a client's frame, for the handler of its type.

    :ivar channel: the channel's name.
    :ivar type: the frame's type.
    :ivar params: the connection's validated params, as the declared type.
    :ivar subject: who sent it, as `verify` said; `None` on a public channel.
    :ivar operation: ``publish``, so that one function can hold the rules for `verify` and
        for handlers.
    """

    channel: str
    type: str
    params: P
    subject: str | None = None
    operation: Operation = "publish"
