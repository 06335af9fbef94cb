"""Members of a topic that is followed: the list, kept up to date, and the caller's own state.

::

    async with connect(url) as server:
        chat = server.subscribe("chat", params={"roomId": "a"})
        people = await chat.presence.whole()
        people.on_join(lambda member: print(member.info["name"], "came in"))
        await people.update({"typing": True})

Rule: nobody has to read it: what comes is taken at once.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Literal

import attrs

from takotwist.client.driver import Driver, SubscriptionState
from takotwist.client.errors import SubscriptionClosed
from takotwist.client.options import SubscriptionOptions
from takotwist.client.presence import Change, Member, Roster
from takotwist.core.json_values import Json

Handler = Callable[[Member], object]

_logger = logging.getLogger("takotwist.client")


def _no_news() -> None:
    """Nothing comes any more."""


@attrs.frozen(eq=False)
class Room:
    """The topic itself, which makes who follows it a member."""

    driver: Driver
    state: SubscriptionState
    topic: int


@attrs.define(eq=False)
class AnyPresence(ABC):
    """Member list, whatever the loop."""

    _room: Room
    _options: SubscriptionOptions
    _begin: Callable[[SubscriptionOptions], int]
    _roster: Roster = attrs.field(factory=Roster, init=False)
    _topic: int = attrs.field(init=False)
    _state: SubscriptionState = attrs.field(init=False)
    _said: Json = attrs.field(default=None, init=False)
    _handlers: dict[str, dict[object, Callable[..., object]]] = attrs.field(
        factory=dict, init=False
    )

    def __attrs_post_init__(self) -> None:
        driver = self._room.driver
        self._state = self._options.subscription_state(driver.policy, self._news)
        self._topic = self._begin(self._options)
        driver.subscriptions[self._topic] = self._state
        driver.pump()

    @property
    def members(self) -> list[Member]:
        """In the order in which they came."""
        return sorted(self._roster.members.values(), key=lambda one: (one.since, one.subject))

    @property
    def me(self) -> Member | None:
        """Oneself, where one is a member."""
        connection = self._room.driver.connection
        subject = connection.subject(self._topic) or connection.subject(self._room.topic)
        return None if subject is None else self._roster.members.get(subject)

    @property
    def guests(self) -> int:
        """Connections that are no members."""
        return self._roster.guests

    @property
    def synced(self) -> bool:
        """The list is whole: all who were here at the beginning have been named."""
        return self._roster.synced

    def on_join(self, handler: Handler) -> Callable[[], None]:
        """Have it called with each member that comes, from when the list is whole.

        :return: ends that.
        """
        return self._on("join", handler)

    def on_leave(self, handler: Handler) -> Callable[[], None]:
        """With each that has gone, as it was last; see `on_join`."""
        return self._on("leave", handler)

    def on_update(self, handler: Handler) -> Callable[[], None]:
        """With each of which something has changed; see `on_join`."""
        return self._on("update", handler)

    def on_change(self, handler: Callable[[], object]) -> Callable[[], None]:
        """Have it called after each change of the list, and when it is whole.

        :return: ends that.
        """
        return self._on("change", handler)

    def update(self, state: Json | Callable[[Json], Json]) -> Awaitable[None]:
        """Say something of oneself, to be awaited until the server has taken it.

        The newest counts, at most ten a second; it is said again after each reconnect.

        :param state: any JSON value, or a function that is given the last and gives one.
        :raises BodyInvalid: it does not fit, or is no JSON.  :raises MessageTooLarge: it is.
        :raises NotFound: one is no member.  :raises OutgoingFull: too many wait.
        """
        room = self._room

        def begin() -> int:
            said = state(self._said) if callable(state) else state
            number = room.driver.connection.say(room.topic, said, room.driver.now())
            self._said = said
            return number

        return room.driver.outcome(room.state, begin)

    def close(self) -> None:
        """Follow it no more; done with the subscription too."""
        self._room.driver.connection.left(self._topic)
        self._room.driver.pump()
        self._state.queue.end(None)
        self._news()

    @abstractmethod
    def _changed(self) -> None:
        """Wake whoever waits for the list to be whole."""

    def _check(self) -> None:
        """:raises SubscriptionClosed: or whatever ended it: nothing comes any more."""
        if self._state.queue.ended:
            raise self._state.queue.error or SubscriptionClosed("The subscription is closed.")

    def _news(self) -> None:
        queue, roster = self._state.queue, self._roster
        while (event := queue.take()) is not None:
            before = roster.synced
            change = roster.take(event)
            if roster.synced and (change is not None or not before):
                self._tell(change)
        if queue.ended:
            # The two know each other.
            self._state.news = _no_news
        self._changed()

    def _tell(self, change: Change | None) -> None:
        if change is not None:
            for handler in list(self._handlers.get(change.kind, {}).values()):
                self._call(handler, change.member)
        for handler in list(self._handlers.get("change", {}).values()):
            self._call(handler)

    def _on(
        self, kind: Literal["join", "leave", "update", "change"], handler: Callable[..., object]
    ) -> Callable[[], None]:
        mine, handlers = object(), self._handlers.setdefault(kind, {})
        handlers[mine] = handler
        return lambda: handlers.pop(mine, None) and None

    @staticmethod
    def _call(handler: Callable[..., object], *arguments: object) -> None:
        try:
            handler(*arguments)
        except Exception:
            # The list goes on, for the other handlers too.
            _logger.exception("a handler of who is here failed")
