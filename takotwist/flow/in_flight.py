"""In-flight calls to the app, shared by all who ask the same.

After a restart the pages of one user come back in the same second and ask the same
thing with the same credential; the app is asked once, and all of them are told.
Rule: an answer is for those who asked before it came, and before it was void (`forget`);
nothing is remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

K = TypeVar("K", bound=Hashable)
A = TypeVar("A")


@attrs.define(slots=True, eq=False)
class _Question(Generic[A]):
    """One call and the Deferreds that wait for its answer."""

    asking: Deferred[A]
    waiting: dict[Deferred[A], None] = attrs.field(factory=dict)


@attrs.define(slots=True, eq=False)
class InFlightCalls(Generic[K, A]):
    """The calls in flight.

    :ivar shared: how many were told an answer that another had asked for.
    """

    _open: dict[K, _Question[A]] = attrs.field(factory=dict, init=False)
    shared: int = attrs.field(default=0, init=False)

    def ask(self, key: K, ask: Callable[[], Deferred[A]]) -> Deferred[A]:
        """The answer to a question.

        :param key: equal for equal questions.
        :param ask: asks it, where nobody is asking.
        :return: cancelling it leaves the others waiting; the last one's cancels the question.
        """
        question = self._open.get(key)
        if question is None:
            asking = ask()
            if asking.called and not asking.paused:
                # Nobody can come to share what is answered at once.
                return asking
            question = self._open[key] = _Question(asking)
            asking.addBoth(self._answered, key, question)
        else:
            self.shared += 1
        mine: Deferred[A] = Deferred(lambda one: self._left(one, key, question))
        question.waiting[mine] = None
        return mine

    def forget(self, void: Callable[[K], bool]) -> None:
        """Share the calls in flight with nobody who asks from here on.

        :param void: finds their keys.
        """
        for key in [key for key in self._open if void(key)]:
            del self._open[key]

    def _answered(self, answer: A | Failure, key: K, question: _Question[A]) -> None:
        if self._open.get(key) is question:
            del self._open[key]
        waiting, question.waiting = question.waiting, {}
        for one in waiting:
            # Who was told before may have made others leave.
            if not one.called:
                one.callback(answer)

    def _left(self, one: Deferred[A], key: K, question: _Question[A]) -> None:
        question.waiting.pop(one, None)
        if not question.waiting:
            if self._open.get(key) is question:
                # Who asks from here on is not told of the cancelling.
                del self._open[key]
            question.asking.cancel()

    def __len__(self) -> int:
        return len(self._open)
