"""Ports: the few things that the three sentences need of the world outside.

Each interface states guarantees, not mechanics; every adapter of one passes
the same contract suite (``tests/contracts``).  Time is Twisted's
`IReactorTime` and needs no port of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from takotwist.core.authorization import AuthRequest, Frame, Grant, Verdict
from takotwist.core.log import Append, Appended, LogStats, Page, Report
from takotwist.core.node import Node
from takotwist.core.outbox import Outgoing
from takotwist.core.topic import Topic


class ILogFollower(Interface):
    """The listener of a log: hands on what the log has stored."""

    def reported(report: Report) -> None:
        """Take a report.  Called in the turn in which the log's head rises to its end, and
        before the answers of that transaction are given.  Raises nothing."""

    def settled() -> None:
        """The reports of this turn were given: flush.  A report that is made for an append of
        this node is settled by who appended, when the answers are given; any other by the
        log.  Harmless when repeated; raises nothing."""


class IReplayLog(Interface):
    """Store of messages for as long as a cursor may ask for them.

    Every method that returns a Deferred fails with `StoreUnavailable`, and with
    nothing else, when the store cannot be used; the next call tries again, so a
    log recovers by itself when the cause is gone.  Whoever cancels one is answered at
    once; what was asked is done all the same, and an append reported.

    A store may be shared by several nodes, each with a log of its own on it.  Appends of
    all nodes pass one after the other, so ids rise in the order of commits.
    """

    head: int = Attribute(
        """All messages of followed topics with an id up to it have been reported to this
        node.  It begins at least at the id at which the store began, and never falls."""
    )

    everything: bool = Attribute(
        """`True` where the messages of all topics are reported, followed or not: the log of
        a process that has its store alone.  Then nothing is stored that is not reported,
        `head` is the newest id there is, and `follow`, `unfollow` and `newest` do nothing."""
    )

    keyed: bool = Attribute("""`True` where it knows `Append.keys` and `Append.kept`.""")

    available: bool = Attribute(
        """`False` while the store is known to be away, so that what is asked would fail: before
        `start` has found it, after `stop`, and in between by the log's own looking, also where
        nobody asks for anything; it becomes `True` by itself.  A store that only refuses to be
        written, as on a full disk, is there: who knows that of it is who appends."""
    )

    def start(follower: ILogFollower | None = None) -> Deferred[None]:
        """Open the store.  One that cannot be opened yet is no error: calls fail until it can.

        :param follower: gets the reports.  They are consecutive: each one covers the ids
            from the head of the one before.  After a gap (a connection that was cut, a node
            that fell behind, a store that was replaced) the next report names the topics
            of which something may be missing as skipped.
        """

    def follow(topic: Topic) -> Deferred[None]:
        """Have a topic's messages reported.  When it fires, every message of the topic with
        an id above `head` at that moment is going to be.  Callers follow a topic once."""

    def unfollow(key: str) -> None:
        """Have no more reported of a topic.  Harmless when it is not followed."""

    def newest() -> Deferred[int]:
        """The highest id that the store has given out; `head` is on its way to it."""

    def stop() -> Deferred[None]:
        """Finish what is in flight and close."""

    def append(entries: Sequence[Append], now_us: int) -> Deferred[list[Appended]]:
        """Store all `entries` in one transaction.

        Ids are ``max(highest ever given out + 1, now_us)``, one up for each message, in the
        order of `entries`; the time is the store's own where several nodes share it.  The
        Deferred fires after the commit, in the order of the calls.  A log that has its store
        alone reports what it has stored, with its head raised, in the same turn, before it
        fires; a shared one reports it in its place among what others have stored.  Callers
        keep one append in flight.

        Of one that failed nothing is ever read in this process, and its idempotency keys are
        not known: also where the store cannot tell whether it committed.  Of a shared store
        that holds but for an answer that was lost and not had again in time: then all of it
        or nothing is stored, never twice.
        """

    def read(topic: Topic, after: int, limit: int, max_bytes: int) -> Deferred[Page]:
        """Up to `limit` messages of `topic` with an id greater than `after`, about `max_bytes`
        at most but at least one where there is one, with head and watermark of the same snapshot.

        :param after: or `NEWEST`: the topic's newest message alone.
        """

    def sweep(now_us: int, in_use: Collection[str]) -> Deferred[bool]:
        """Remove one bounded step of what the topics' lifecycles no longer keep.

        :param in_use: keys of topics with subscribers, which inactivity does not drop.
        :return: whether there is more to remove now.
        """

    def stats() -> Deferred[LogStats]:
        """Number and size of what is stored."""


class INodeDirectory(Interface):
    """The nodes of one store: who is there, and what each says of itself."""

    def renew(info: bytes) -> None:
        """Say what the others shall know of this node; forgotten when it has gone.  What cannot
        be said now is said with the next call."""

    def nodes() -> Deferred[Sequence[Node]]:
        """Those that are there, this one included.

        :raises StoreUnavailable: nobody can be asked.
        """


class IOutbox(Interface):
    """Messages that applications published within transactions of their own, for a node to move
    over to the log: in their order, each once."""

    def on_outbox_growth(grew: Callable[[], object]) -> None:
        """Call `grew` when there may be more of them, from now on and in the place of the one
        before.  Those that are not heard of are found by asking now and then.
        """

    def outgoing() -> Deferred[Sequence[Outgoing]]:
        """The oldest of them; none while another node moves them.

        :raises StoreUnavailable: nobody can be asked.
        """

    def move(
        moved: Sequence[tuple[Outgoing, Append]], refused: Sequence[tuple[Outgoing, str]]
    ) -> Deferred[None]:
        """Store some of them, which leave the outbox in the same transaction, and put aside
        others with the reason.

        :raises StoreUnavailable: it cannot be done now, or another node has done it.
        """

    def retry() -> Deferred[None]:
        """Take up once more what was put aside."""


class IWebhookSender(Interface):
    """Posts an event to an endpoint that somebody has configured."""

    def post(
        url: str, headers: Mapping[str, str], body: bytes, private: bool
    ) -> Deferred[tuple[int, float]]:
        """Send a request, and let go of its answer but for the head.

        :param private: whether the address may be one that is not public.
        :return: the status, which is no success where it is a redirect, and the seconds of
            ``Retry-After``, or 0.
        :raises Unreachable: there was no answer in time, or the address may not be asked.
        """


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
