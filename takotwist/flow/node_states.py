"""State of each node, known to all of them by a topic of the log that they share.

A node says what it has whenever that changes, a few times a second at most, and all of it when
somebody asks, in parts.  (Messages with keys, which the log keeps, were the alternative: who
takes them back for a node that is gone, and who sees that it was not?)

Rules: what is said is what is, not what has changed, so that it may be said twice.  What a node
said counts until it has been silent for `SILENT_SECONDS`, as counted by one that hears itself
all the while: where the store stands still nobody is silent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import attrs
import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.core.channel import MINUTE_MS, Lifecycle
from takotwist.core.deadlines import Deadline
from takotwist.core.log import Appended
from takotwist.core.topic import Draft, Topic
from takotwist.errors import Refusal
from takotwist.flow.attach import Attacher
from takotwist.flow.listening import Listening
from takotwist.flow.publish import PublisherService

#: Not a channel's name.
CHANNEL = "~nodes"

#: A node that is cut from the store for less misses nothing.
LIFECYCLE = Lifecycle(replay_window_ms=10_000, inactivity_ttl_ms=10 * MINUTE_MS)

#: Seconds between two sayings of what has changed here, and of nothing new.
CHANGED_SECONDS, ALIVE_SECONDS = 0.25, 5.0

#: Seconds after which what a silent node said does not count any more.
SILENT_SECONDS = 16.0

#: Who has not heard itself for so long has heard nobody.
DEAF_SECONDS = 2 * ALIVE_SECONDS

#: Names and bytes of one part.
PART_NAMES, PART_BYTES = 256, 32 * 1024


class State(msgspec.Struct, tag="state"):
    """State of a node.

    :ivar has: by name; `gone`: what it has not any more.
    :ivar begins: a part of all that it has, the first; `ends`: the last.
    """

    node: str
    has: dict[str, msgspec.Raw] = {}
    gone: Sequence[str] = ()
    begins: bool = False
    ends: bool = False


class Ask(msgspec.Struct, tag="ask"):
    """Say it whole.

    :ivar of: a node; empty: whoever hears this.
    """

    node: str
    of: str = ""


_Said = State | Ask
_SAID: msgspec.json.Decoder[_Said] = msgspec.json.Decoder(_Said)


@attrs.define(slots=True, eq=False)
class _Node:
    """Another node.

    :ivar heard: when it was, in seconds.
    :ivar fresh: what it has, of all that it is saying; `None` while it is not.
    """

    heard: float
    names: set[str] = attrs.field(factory=set)
    fresh: set[str] | None = None


@attrs.define(slots=True, eq=False)
class NodeStates:
    """States of one kind, of all nodes.

    :ivar node: the name of this process, which no other has.
    :ivar of: the kind.
    :ivar names: what this node has; `state`: one of them as JSON, `None` where it has not.
    :ivar heard: told of another node, a name, and what it has there; `None`: nothing.
    """

    node: str
    of: str
    names: Callable[[], Iterable[str]]
    state: Callable[[str], bytes | None]
    heard: Callable[[str, str, msgspec.Raw | None], object]
    publishing: PublisherService
    attacher: Attacher
    _nodes: dict[str, _Node] = attrs.field(factory=dict, init=False)
    _heard_self: float = attrs.field(default=float("-inf"), init=False)
    _changed: dict[str, None] = attrs.field(factory=dict, init=False)
    _whole: bool = attrs.field(default=False, init=False)
    _flush: Deadline | None = attrs.field(default=None, init=False)
    _alive: Deadline | None = attrs.field(default=None, init=False)
    _said_at: float = attrs.field(default=float("-inf"), init=False)
    _stopped: bool = attrs.field(default=False, init=False)
    _topic: Topic = attrs.field(init=False)
    _listening: Listening = attrs.field(init=False)
    _log: Logger = attrs.field(factory=Logger, init=False)

    def __attrs_post_init__(self) -> None:
        self._topic = Topic.of(CHANNEL, {"of": self.of})
        self._listening = Listening(
            self.attacher,
            self.publishing.flush_batch,
            self._topic,
            LIFECYCLE,
            self._take,
            self._again,
        )

    def start(self) -> None:
        """Begin to listen."""
        self._listening.start()
        self._look()

    def stop(self) -> None:
        """Say nothing more; what was here is forgotten when it has been silent."""
        self._stopped = True
        self._listening.stop()
        for one in (self._flush, self._alive):
            if one is not None:
                one.cancel()

    # what we say

    def changed(self, name: str) -> None:
        """Something has changed here."""
        self._changed[name] = None
        self._soon()

    def _soon(self) -> None:
        if self._flush is None and not self._stopped:
            when = self.publishing.seconds() + CHANGED_SECONDS
            self._flush = self.attacher.deadlines.at(when, self._say_changes)

    def _say_changes(self) -> None:
        self._flush = None
        changed, self._changed = self._changed, {}
        whole, self._whole = self._whole, False
        self._said_at = self.publishing.seconds()
        if not whole:
            for one in self._parts(changed):
                self._say(one)
            return
        # What has changed is in it; all parts in one turn, so nothing comes between them.
        parts = list(self._parts(self.names())) or [State(self.node)]
        parts[0].begins = parts[-1].ends = True
        for one in parts:
            self._say(one)

    def _parts(self, names: Iterable[str]) -> Iterator[State]:
        has: dict[str, msgspec.Raw] = {}
        gone: list[str] = []
        size = 0
        for name in list(names):
            state = self.state(name)
            if state is None:
                gone.append(name)
            else:
                has[name] = msgspec.Raw(state)
            size += len(name) + len(state or b"")
            if len(has) + len(gone) >= PART_NAMES or size >= PART_BYTES:
                yield State(self.node, has, gone)
                has, gone, size = {}, [], 0
        if has or gone:
            yield State(self.node, has, gone)

    def _say(self, said: _Said) -> None:
        draft = Draft("said", msgspec.json.encode(said))
        saying: Deferred[Appended] = self.publishing.publish(self._topic, [draft], LIFECYCLE)
        saying.addErrback(self._not_said, said)

    def _not_said(self, failure: Failure, said: _Said) -> None:
        if not failure.check(Refusal):
            self._log.failure("telling the other nodes failed", failure)
        if isinstance(said, State):
            # Also of one part: who had those before it has all but this one.
            self._whole |= said.begins or said.ends
            self._changed.update(dict.fromkeys([*said.has, *said.gone]))
            self._soon()

    # what we hear

    def _again(self) -> None:
        """Some may be missing."""
        self._deaf()
        self._say(Ask(self.node))

    def _deaf(self) -> None:
        now = self.publishing.seconds()
        for one in self._nodes.values():
            one.heard = now

    def _look(self) -> None:
        now = self.publishing.seconds()
        self._alive = self.attacher.deadlines.at(now + ALIVE_SECONDS / 2, self._look)
        if now >= self._said_at + ALIVE_SECONDS:
            self._said_at = now
            self._say(State(self.node))
        for name, one in list(self._nodes.items()):
            if self._heard_self > one.heard + SILENT_SECONDS:
                del self._nodes[name]
                self._lost(name, one.names)

    def _lost(self, node: str, names: Iterable[str]) -> None:
        for name in names:
            self.heard(node, name, None)

    def _take(self, kind: str, data: bytes) -> None:
        said = _SAID.decode(data)
        now = self.publishing.seconds()
        if said.node == self.node:
            if now > self._heard_self + DEAF_SECONDS:
                self._deaf()
            self._heard_self = now
        elif isinstance(said, Ask):
            if said.of in ("", self.node):
                self._whole = True
                self._soon()
        else:
            self._state(said, now)

    def _state(self, said: State, now: float) -> None:
        one = self._nodes.get(said.node)
        if one is None:
            one = self._nodes[said.node] = _Node(now)
            if not said.begins:
                self._say(Ask(self.node, said.node))
        one.heard = now
        if said.begins:
            one.fresh = set()
        self._apply(said.node, one, said.has, said.gone)
        if said.ends and one.fresh is not None:
            self._apply(said.node, one, {}, one.names - one.fresh)
            one.fresh = None

    def _apply(
        self, node: str, one: _Node, has: Mapping[str, msgspec.Raw], gone: Iterable[str]
    ) -> None:
        one.names.update(has)
        if one.fresh is not None:
            one.fresh.update(has)
        for name, state in has.items():
            self.heard(node, name, state)
        for name in gone:
            one.names.discard(name)
            if one.fresh is not None:
                one.fresh.discard(name)
            self.heard(node, name, None)
