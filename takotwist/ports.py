"""Ports: the few things that the two sentences need of the world outside.

Each interface states guarantees, not mechanics; every adapter of one passes
the same contract suite (``tests/contracts``).  Time is Twisted's
`IReactorTime` and needs no port of ours.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from takotwist.core.authorization import AuthRequest, Frame, Grant, Verdict
from takotwist.core.log import Append, Appended, LogStats, Page
from takotwist.core.topic import Topic


class IReplayLog(Interface):
    """Store of messages for as long as a cursor may ask for them.

    Every method that returns a Deferred fails with `StoreUnavailable`, and with
    nothing else, when the store cannot be used; the next call tries again, so a
    log recovers by itself when the cause is gone.
    """

    head: int = Attribute(
        """The highest id whose commit has been reported to the caller, at least the id at
        which the store began.  All messages up to it have been returned by `append`."""
    )

    def start() -> Deferred[None]:
        """Open the store.  One that cannot be opened yet is no error: calls fail until it can."""

    def stop() -> Deferred[None]:
        """Finish what is in flight and close."""

    def append(entries: Sequence[Append], now_us: int) -> Deferred[list[Appended]]:
        """Store all `entries` in one transaction.

        Ids are ``max(highest ever given out + 1, now_us)``, one up for each message, in the
        order of `entries`.  The Deferred fires after the commit, in the order of the calls;
        `head` is raised in the same turn, before it fires.  Callers keep one append in flight.

        Of one that failed nothing is ever read in this process, and its idempotency keys are
        not known: also where the store cannot tell whether it committed.
        """

    def read(topic: Topic, after: int, limit: int, max_bytes: int) -> Deferred[Page]:
        """Up to `limit` messages of `topic` with an id greater than `after`, about `max_bytes`
        at most but at least one where there is one, with head and watermark of the same snapshot.
        """

    def sweep(now_us: int, in_use: Collection[str]) -> Deferred[bool]:
        """Remove one bounded step of what the topics' lifecycles no longer keep.

        :param in_use: keys of topics with subscribers, which inactivity does not drop.
        :return: whether there is more to remove now.
        """

    def stats() -> Deferred[LogStats]:
        """Number and size of what is stored."""


class IAuthorizer(Interface):
    """Access to the app's decisions."""

    def authorize(request: AuthRequest) -> Deferred[Grant]:
        """Ask the app for a grant.

        :raises VerifyRejected: it does not.
        :raises ChannelUnknown: it knows no such channel.
        :raises AuthUnavailable: it could not be asked, or failed.
        """

    def dispatch(frame: Frame) -> Deferred[Verdict]:
        """Put a client's frame through the app's handler.

        :raises BodyInvalid: the payload does not fit; names the path.
        :raises AuthUnavailable: the app could not be asked.
        """
