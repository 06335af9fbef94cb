"""A page's membership of a durable key, against a log in memory: what it is given, and when."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist.errors import CursorInvalid, Refusal, ReplayTooOld, StoreUnavailable
from takotwist.live.broadcast.bus import Publication
from takotwist.live.broadcast.durable import Begun, Replay
from takotwist.live.broadcast.membership import Membership
from takotwist.live.machine.frames import Info
from takotwist.live.values import Encoded

KINDS = ("text", "binary")


class Subscription:
    """See `LogSubscription`: begins and gives when it is pumped."""

    def __init__(
        self,
        log: Log,
        cursor: int | None,
        reset: bool,
        begun: Begun,
        take: Callable[[Sequence[Publication]], None],
        ended: Callable[[Refusal], None],
    ) -> None:
        self.log, self.cursor, self.reset = log, cursor, reset
        self.begun, self.take, self.ended = begun, take, ended
        self.place: int | None = None
        self.paused = self.gone = self.started = False

    def start(self, *, at_once: bool = False) -> None:
        """See `LogSubscription`."""
        self.started = True

    def pause(self) -> None:
        """See `LogSubscription`."""
        self.paused = True

    def resume(self) -> None:
        """See `LogSubscription`."""
        self.paused = False

    def leave(self) -> None:
        """See `LogSubscription`."""
        self.gone = True

    def pump(self) -> None:
        """Begin where that is due, and give what it has, one batch."""
        if self.gone or not self.started:
            return
        if self.place is None:
            cursor = self.log.head if self.cursor is None else self.cursor
            too_old = cursor < self.log.removed
            if too_old and not self.reset:
                self.gone = True
                self.ended(ReplayTooOld())
                return
            self.place = self.log.head if too_old else cursor
            self.begun(self.place, too_old)
        if self.paused or self.gone:
            return
        rest = [one for one in self.log.kept if (one.info.cursor or 0) > self.place]
        if rest:
            self.place = rest[-1].info.cursor
            self.take(rest)


class Log:
    """See `PublicationLog`; ids are 10, 20, 30 and so on."""

    max_message_bytes = 1000
    shared = False

    def __init__(self) -> None:
        self.head = 10
        self.removed = 0
        self.kept: list[Publication] = []
        self.follows: list[Subscription] = []

    def publish(self, kind: str) -> int:
        """Store one; its cursor."""
        self.head += 10
        info = Info(len(self.kept) + 1, 0, 1, self.head)
        self.kept.append(Publication(info, b"1", kind == "binary"))
        return self.head

    def remove_all(self) -> None:
        """Keep nothing of what there is."""
        self.removed = self.head
        self.kept.clear()

    def append(
        self, key: str, replay: Replay | None, said: Encoded, binary: bool
    ) -> Deferred[Info]:
        """Not called by a membership."""
        raise NotImplementedError

    def follow(
        self,
        key: str,
        replay: Replay | None,
        cursor: int | None,
        reset: bool,
        begun: Begun,
        take: Callable[[Sequence[Publication]], None],
        ended: Callable[[Refusal], None],
    ) -> Subscription:
        """See `PublicationLog`."""
        self.follows.append(Subscription(self, cursor, reset, begun, take, ended))
        return self.follows[-1]

    def pump(self) -> None:
        """Carry out what is due."""
        for one in list(self.follows):
            one.pump()

    @property
    def following(self) -> int:
        """Subscriptions that were not left."""
        return sum(not one.gone for one in self.follows)


class Page:
    """A page that takes `room` more.

    :ivar places: a kind that is subscribed to -> the cursor of its answer.
    :ivar got: a kind -> the cursors that came since.
    """

    def __init__(self, log: Log, after: int | None = None) -> None:
        self.log, self.room = log, 1000
        self.places: dict[str, int] = {}
        self.resets: dict[str, bool] = {}
        self.got: dict[str, list[int]] = {}
        self.failed: list[Refusal] = []
        self.membership = Membership(log, "k", Replay(), after, self._give, self.failed.append)

    def _give(self, publication: Publication) -> bool:
        if self.room == 0:
            return False
        self.room -= 1
        kind = "binary" if publication.binary else "text"
        assert kind in self.places, "given before the answer"
        self.got[kind].append(publication.info.cursor or 0)
        return True

    def join(self, kind: str, cursor: int | None = None, reset: bool = False) -> None:
        """Subscribe."""

        def answered(place: int, was_reset: bool) -> None:
            self.places[kind], self.resets[kind] = place, was_reset

        self.got.setdefault(kind, [])
        self.membership.join(kind, cursor, reset, answered)

    def leave(self, kind: str) -> None:
        """Unsubscribe."""
        self.membership.leave(kind)
        self.places.pop(kind, None)
        self.got.pop(kind, None)

    def settle(self) -> None:
        """What an input of the page's machine is followed by, until nothing is left to do."""
        for _ in range(20):
            self.membership.go_on()
            self.membership.pace(self.room > 0)
            self.log.pump()


class MembershipTests(SynchronousTestCase):
    """Kinds that come and go on one place in the log."""

    def setUp(self) -> None:
        self.log = Log()
        self.page = Page(self.log)

    def test_from_now(self) -> None:
        """Without a cursor a kind begins with what comes; of the other kind it gets nothing."""
        self.log.publish("text")
        self.page.join("text")
        self.page.settle()
        self.assertEqual(self.page.places, {"text": 20})
        self.log.publish("binary")
        self.log.publish("text")
        self.page.settle()
        self.assertEqual(self.page.got, {"text": [40]})

    def test_now_is_when_the_log_begins(self) -> None:
        """What is stored while a key is not followed yet is not promised."""
        self.page.join("text")
        cursor = self.log.publish("text")
        self.page.settle()
        self.assertEqual((self.page.places, self.page.got), ({"text": cursor}, {"text": []}))

    def test_second_kind_from_before(self) -> None:
        """A kind that begins earlier has the log read again; the first one gets nothing twice."""
        for kind in ("text", "binary", "text", "binary"):
            self.log.publish(kind)
        self.page.join("text", 10)
        self.page.settle()
        self.page.join("binary", 10)
        self.page.settle()
        self.assertEqual(self.page.got, {"text": [20, 40], "binary": [30, 50]})
        self.assertEqual(self.log.following, 1)

    def test_not_before_it_may(self) -> None:
        """A client begins no earlier than the app lets it, and where that is if it says nothing."""
        for _ in range(3):
            self.log.publish("text")
        for cursor in (None, 10):
            page = Page(self.log, after=20)
            page.join("text", cursor)
            page.settle()
            self.assertEqual(page.got, {"text": [30, 40]})

    def test_back_pressure(self) -> None:
        """What the page cannot take stays in the log, which is read no further meanwhile."""
        self.page.room = 1
        self.page.join("text", 10)
        self.page.settle()
        for _ in range(5):
            self.log.publish("text")
        self.page.settle()
        self.assertEqual(self.page.got, {"text": [20]})
        [subscription] = self.log.follows
        self.assertTrue(subscription.paused)
        self.page.room = 1000
        self.page.settle()
        self.assertEqual(self.page.got, {"text": [20, 30, 40, 50, 60]})

    def test_too_old(self) -> None:
        """What is not kept any more ends the membership, or begins now where it says so."""
        self.log.publish("text")
        self.log.remove_all()
        self.page.join("text", 10)
        self.page.settle()
        self.assertEqual([one.code for one in self.page.failed], [ReplayTooOld.code])
        page = Page(self.log)
        page.join("text", 10, reset=True)
        page.settle()
        self.assertEqual((page.places, page.resets), ({"text": 20}, {"text": True}))

    def test_reset_of_one_kind(self) -> None:
        """A kind that was here before loses nothing to the reset of another."""
        self.page.room = 0
        self.page.join("text", 10)
        self.page.settle()
        self.log.remove_all()
        first = self.log.publish("text")
        self.page.settle()
        self.page.join("binary", 5, reset=True)
        self.page.room = 1000
        self.page.settle()
        self.assertTrue(self.page.resets["binary"])
        self.assertEqual(self.page.got["text"], [first])

    def test_cannot_begin(self) -> None:
        """A cursor that was never given out is refused, and so is a log without a head."""
        self.page.join("text", self.log.head + 1)
        self.log.head = 0
        self.page.join("text")
        self.assertEqual(
            [one.code for one in self.page.failed], [CursorInvalid.code, StoreUnavailable.code]
        )
        self.assertEqual(self.log.follows, [])

    def test_subscribed_already(self) -> None:
        """A kind that is there is told where it is."""
        self.page.join("text")
        self.page.settle()
        cursor = self.log.publish("text")
        self.page.settle()
        self.page.join("text")
        self.assertEqual(self.page.places, {"text": cursor})

    def test_left(self) -> None:
        """Who leaves while it waits is answered; with the last kind the log is let go of."""
        answers: list[tuple[int, bool]] = []
        self.page.membership.join("text", None, False, lambda *said: answers.append(said))
        self.page.membership.leave("text")
        self.assertEqual(answers, [(10, False)])
        self.assertEqual(self.log.following, 0)
        self.log.pump()
        self.page.membership.end()
        self.assertEqual(len(answers), 1)

    @given(st.data())
    def test_once_and_in_order(self, data: st.DataObject) -> None:
        """Whatever comes when: a kind gets all that is after its place, once, in order."""
        log = Log()
        page = Page(log)
        for _ in range(data.draw(st.integers(0, 25))):
            kind = data.draw(st.sampled_from(KINDS))
            match data.draw(st.sampled_from(("publish", "join", "leave", "room", "pump", "turn"))):
                case "publish":
                    log.publish(kind)
                case "join" if kind not in page.got:
                    back = data.draw(st.none() | st.integers(0, 4))
                    page.join(kind, None if back is None else max(0, log.head - 10 * back))
                case "leave":
                    page.leave(kind)
                case "room":
                    page.room = data.draw(st.integers(0, 2))
                case "pump":
                    log.pump()
                case "turn":
                    page.membership.go_on()
                    page.membership.pace(page.room > 0)
        page.room = 1000
        page.settle()
        self.assertEqual(page.failed, [])
        for kind, got in page.got.items():
            after = [
                one.info.cursor
                for one in log.kept
                if one.binary == (kind == "binary") and (one.info.cursor or 0) > page.places[kind]
            ]
            self.assertEqual(got, after)
        self.assertLessEqual(log.following, 1)
