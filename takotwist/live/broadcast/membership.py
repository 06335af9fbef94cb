"""A page's membership of a durable key: which of its publications the page is given, and when.

There is one place in the log for text and binary, so their order is kept; each kind has a
floor up to which it has, or does not want, everything.  Rule: nothing is given to the machine
that it would have to queue: what the page cannot take now stays in the log (back-pressure).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import attrs

from takotwist.errors import CursorInvalid, Refusal, StoreUnavailable
from takotwist.live.broadcast.bus import Publication
from takotwist.live.broadcast.durable import LogSubscription, PublicationLog, Replay

#: Called with the cursor at which a kind begins, and whether its own was too old.
Answer = Callable[[int, bool], None]


@attrs.frozen(slots=True, eq=False)
class _Asked:
    kind: str
    reset: bool
    answer: Answer


@attrs.define(slots=True, eq=False, repr=False)
class Membership:
    """One page on one durable key.

    :ivar after: where kinds begin that say nothing themselves, and before which none
        may begin; `None` is now, and anywhere.
    :ivar give: hands a publication to the page, or says `False`: not now.
    :ivar fail: the membership cannot go on.
    """

    _log: PublicationLog
    _key: str
    _replay: Replay
    after: int | None
    give: Callable[[Publication], bool]
    fail: Callable[[Refusal], None]
    _floors: dict[str, int] = attrs.field(factory=dict, init=False)
    _joined_before: set[str] = attrs.field(factory=set, init=False)
    _asked: list[_Asked] = attrs.field(factory=list, init=False)
    _subscription: LogSubscription | None = attrs.field(default=None, init=False)
    _from_now: bool = attrs.field(default=False, init=False)
    _place: int | None = attrs.field(default=None, init=False)
    _left: deque[Publication] = attrs.field(factory=deque, init=False)
    _giving: bool = attrs.field(default=False, init=False)

    def join(self, kind: str, cursor: int | None, reset: bool, answer: Answer) -> None:
        """Subscribe the page to a kind.

        :param cursor: after which it begins.
        :param reset: begin now where that is too old.
        :param answer: called once, before the kind's first publication.
        """
        if kind in self._floors:
            answer(max(self._floors[kind], self._place or 0), False)
            return
        head = self._log.head
        if not head:
            # Without a head there is no cursor to give, and so no promise.
            self.fail(StoreUnavailable())
            return
        begins = self._begins(kind, cursor)
        floor = head if begins is None else begins
        if floor > head:
            self.fail(CursorInvalid())
            return
        self._joined_before.add(kind)
        self._floors[kind] = floor
        if self._place is not None and floor >= self._place:
            # Everything after it still comes by.
            answer(floor, False)
            return
        self._asked.append(_Asked(kind, reset, answer))
        self._settle_floors()
        is_first = len(self._floors) == 1
        self._follow(None if begins is None and is_first else min(self._floors.values()))

    def leave(self, kind: str) -> None:
        """Unsubscribe the page from a kind."""
        self._floors.pop(kind, None)
        self._left = deque(one for one in self._left if _kind(one) != kind)
        for asked in [asked for asked in self._asked if asked.kind == kind]:
            self._asked.remove(asked)
            asked.answer(self._log.head, False)
        if not self._floors:
            self.end()

    def go_on(self) -> None:
        """Give what the page can take now, and hold the rest back."""
        if self._giving:
            return
        self._giving = True
        try:
            while self._left:
                one = self._left.popleft()
                if not self.give(one):
                    self._left.appendleft(one)
                    return
        finally:
            self._giving = False

    def pace(self, ready: bool) -> None:
        """Resume or pause the reading of the log.

        :param ready: the page can take something.
        """
        subscription = self._subscription
        if subscription is None:
            return
        if ready and not self._left:
            subscription.resume()
        else:
            subscription.pause()

    def end(self) -> None:
        """Stop reading.  Harmless when repeated."""
        subscription, self._subscription, self._place = self._subscription, None, None
        self._floors.clear()
        self._asked.clear()
        self._left.clear()
        if subscription is not None:
            subscription.leave()

    # private

    def _begins(self, kind: str, cursor: int | None) -> int | None:
        after = self.after
        if cursor is None:
            return None if kind in self._joined_before else after
        return cursor if after is None else max(cursor, after)

    def _settle_floors(self) -> None:
        """Raise the floors of begun kinds to here: they have everything, or it is in `_left`."""
        place, self._place = self._place, None
        if place is not None:
            waiting = {asked.kind for asked in self._asked}
            for kind in self._floors.keys() - waiting:
                self._floors[kind] = max(self._floors[kind], place)

    def _follow(self, cursor: int | None) -> None:
        if self._subscription is not None:
            self._subscription.leave()
        reset = bool(self._asked) and all(asked.reset for asked in self._asked)
        self._from_now = cursor is None
        self._subscription = self._log.follow(
            self._key, self._replay, cursor, reset, self._begun, self._take, self._ended
        )
        self._subscription.start()

    def _begun(self, place: int, was_reset: bool) -> None:
        self._place = place
        asked, self._asked = self._asked, []
        if was_reset or self._from_now:
            # Where now is the log says: following a key may take a while, if it is shared.
            self._floors.update({one.kind: place for one in asked})
        for one in asked:
            one.answer(self._floors.get(one.kind, place), was_reset)
        if was_reset and self._floors and min(self._floors.values()) < place:
            # A kind that was here before is not to lose what the new one cannot get.
            self._place = None
            self._follow(min(self._floors.values()))

    def _take(self, publications: Sequence[Publication]) -> None:
        for one in publications:
            cursor = one.info.cursor
            assert cursor is not None
            self._place = cursor
            floor = self._floors.get(_kind(one))
            if floor is not None and cursor > floor:
                self._left.append(one)
        self.go_on()
        if self._left and self._subscription is not None:
            self._subscription.pause()

    def _ended(self, refusal: Refusal) -> None:
        self.end()
        self.fail(refusal)


def _kind(publication: Publication) -> str:
    return "binary" if publication.binary else "text"
