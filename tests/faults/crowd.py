"""Who publishes to nodes that come and go, and who reads from them.

Publishers give each message a number of their own and try each until it is acknowledged, by one
idempotency key.  Readers come again after every cut, wherever they are led.  What they saw is
judged afterwards, by `Crowd.judge`.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Any

import attrs

from takotwist import Publisher
from takotwist.client.events import Reset
from takotwist.client.machine.policy import Policy
from takotwist.client.sync import subscribe
from tests.sockets.readers import READERS, Cut, MuxReader, Reader
from tests.sockets.server_process import KEY

PARAMS = {"roomId": "lobby"}
PATH = "/_tako/channels/chat?roomId=lobby"

#: Messages that are published together, as often as not.
ARRAY = (1, 1, 2, 5, 10)

#: Answers that ask a client to come again.
AGAIN = (429, 503)

#: A number of one publisher: its name, and which.
Name = tuple[str, int]


class Publishing(threading.Thread):
    """Publishes its numbers, one answer after the other.

    :param allowed: how many messages it may have published by now.
    :ivar acknowledged: the ids, by number.
    :ivar tries: that were not answered by an id.
    :ivar longest: seconds that a message took at most.
    """

    def __init__(
        self, name: str, port: int, count: int, random: Random, allowed: Callable[[], float]
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.port, self.count = port, count
        self.acknowledged: list[int] = []
        self.tries = 0
        self.longest = 0.0
        self.failure: BaseException | None = None
        self.over = threading.Event()
        self._random, self._allowed = random, allowed

    def run(self) -> None:
        try:
            while len(self.acknowledged) < self.count and not self.over.is_set():
                done = len(self.acknowledged)
                if done >= self._allowed():
                    time.sleep(0.005)
                    continue
                size = min(self._random.choice(ARRAY), self.count - done)
                began = time.monotonic()
                names = [[self.name, done + number] for number in range(size)]
                self.acknowledged += self.publish(names, f"{self.name}-{done}")
                self.longest = max(self.longest, time.monotonic() - began)
        except BaseException as failure:
            self.failure = failure
        finally:
            self.end()

    def publish(self, names: list[list[object]], key: str) -> list[int]:
        """Publish until it is acknowledged; the ids."""
        raise NotImplementedError

    def end(self) -> None:
        """Let go of what it has."""


class RawPublishing(Publishing):
    """A stranger's, with a plain HTTP client."""

    _http: http.client.HTTPConnection | None = None

    def publish(self, names: list[list[object]], key: str) -> list[int]:
        body = json.dumps([{"type": "msg", "data": name} for name in names])
        headers = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": key}
        while True:
            try:
                if self._http is None:
                    self._http = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                self._http.request("POST", PATH, body, headers)
                answer = self._http.getresponse()
                text = answer.read()
                stored = json.loads(text)
            except (OSError, http.client.HTTPException, ValueError):
                # Whether it was stored is not known: the key makes it safe to ask again.  (This
                # client takes a head that was cut for whole, and its body for empty.)
                self.end()
            else:
                if answer.status == 200:
                    return [int(message["id"]) for message in stored]
                assert answer.status in AGAIN, (answer.status, text)
            self.tries += 1
            time.sleep(self._random.uniform(0.0, 0.1))

    def end(self) -> None:
        if self._http is not None:
            self._http.close()
            self._http = None


class OwnPublishing(Publishing):
    """With the project's own publisher, which tries again by itself."""

    _publisher: Publisher | None = None

    def publish(self, names: list[list[object]], key: str) -> list[int]:
        if self._publisher is None:
            self._publisher = Publisher(f"http://127.0.0.1:{self.port}", key=KEY, patience=120.0)
        drafts = [("msg", name) for name in names]
        stored = self._publisher.publish_many("chat", PARAMS, drafts, idempotency_key=key)
        return [int(one.id) for one in stored]


@attrs.define
class Stretch:
    """What was read from one place on without being told that something is missing.

    :ivar after: the id that it began after, or `None` where that is not known: of a live
        subscription that was cut before anything came.
    :ivar seen: pairs of id and name.
    """

    after: int | None
    seen: list[tuple[int, Name]] = attrs.field(factory=list)


class Reading(threading.Thread):
    """Reads until it is told that it is over.

    :ivar stretches: each begins with a definite "too old", but for the first.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.stretches = [Stretch(0)]
        self.failure: BaseException | None = None
        self.over = threading.Event()

    @property
    def count(self) -> int:
        """Messages so far."""
        return sum(len(one.seen) for one in self.stretches)

    def run(self) -> None:
        try:
            self.read()
        except BaseException as failure:
            self.failure = failure

    def read(self) -> None:
        """Read until it is over."""
        raise NotImplementedError

    def saw(self, id: str, data: Any) -> None:
        """A message came."""
        by, number = data
        self.stretches[-1].seen.append((int(id), (by, number)))


class RawReading(Reading):
    """One of the readers that are driven byte by byte, as a stranger's client."""

    def __init__(self, kind: str, port: int, random: Random) -> None:
        super().__init__(f"{kind} (raw)")
        self.reader: Reader = READERS[kind](port, "chat", PARAMS, cursor="0")
        self.reader.on_message = lambda message: self.saw(message["id"], message["data"])
        self._random = random

    def read(self) -> None:
        while not self.over.is_set():
            try:
                if not self.reader.connected:
                    self.reader.connect()
                self.reader.read(timeout=0.5)
                self._look_for_refusals()
                self._look_where()
            except Cut as cut:
                self._after(cut)
            except (ConnectionError, TimeoutError):
                # A read that took too long, or nobody there.
                pass
        self.reader.close()

    def _look_where(self) -> None:
        stretch = self.stretches[-1]
        if stretch.after is None and self.reader.begun and self.reader.cursor:
            stretch.after = int(self.reader.cursor)

    def _look_for_refusals(self) -> None:
        if isinstance(self.reader, MuxReader) and self.reader.refused:
            frame, self.reader.refused = self.reader.refused[0], ()
            self.reader.cut()
            self._refused(frame["code"])

    def _after(self, cut: Cut) -> None:
        if cut.status == 410 or cut.code == 4410:
            self._refused("replay-too-old")
        elif cut.status == 400 or cut.code == 4400:
            self._refused(cut.reason or "cursor-invalid")
        else:
            assert cut.status in (0, 502, *AGAIN), cut
        time.sleep(self._random.uniform(0.0, 0.1))

    def _refused(self, code: str) -> None:
        if code in ("replay-too-old", "cursor-invalid"):
            # A page would reload its state here.
            self.stretches.append(Stretch(None))
            self.reader.cursor = ""
            assert code == "replay-too-old", code
        else:
            assert code in ("store-unavailable", "internal-error", "shutting-down"), code


class OwnReading(Reading):
    """The project's own client, which resumes by itself."""

    def __init__(self, transport: Any, port: int) -> None:
        super().__init__(f"{transport} (own client)")
        self._transport, self._port = transport, port

    def read(self) -> None:
        policy = Policy(base_ms=20, cap_ms=300)
        with subscribe(
            f"http://127.0.0.1:{self._port}",
            "chat",
            params=PARAMS,
            cursor="0",
            transport=self._transport,
            policy=policy,
        ) as subscription:
            while not self.over.is_set():
                with suppress(TimeoutError):
                    event = subscription.next(timeout=0.5)
                    if isinstance(event, Reset):
                        assert event.reason == "replay-too-old", event
                        after = None if event.cursor is None else int(event.cursor)
                        self.stretches.append(Stretch(after))
                    else:
                        self.saw(event.id, event.data)


class Crowd:
    """All who publish and read.

    :param share: the part of all messages that may be published by now, from 0 to 1.
    """

    def __init__(
        self, port: int, messages: int, random: Random, share: Callable[[], float]
    ) -> None:
        kinds: Sequence[type[Publishing]] = (RawPublishing, OwnPublishing)
        each = messages // (3 * len(kinds))
        self.publishing = [
            kind(
                f"{kind.__name__}{at}", port, each, Random(random.random()), lambda: share() * each
            )
            for kind in kinds
            for at in range(3)
        ]
        self.reading: list[Reading] = [
            *(RawReading(kind, port, Random(random.random())) for kind in READERS),
            *(OwnReading(transport, port) for transport in ("sse", "websocket")),
        ]
        self.messages = each * len(self.publishing)

    def start(self) -> None:
        """Begin."""
        for thread in (*self.reading, *self.publishing):
            thread.start()

    @property
    def publishes(self) -> bool:
        """Whether anybody still does.  :raises BaseException: what went wrong for somebody."""
        for one in (*self.publishing, *self.reading):
            if one.failure is not None:
                raise AssertionError(f"{one.name}: {one.failure!r}") from one.failure
        return any(one.is_alive() for one in self.publishing)

    def wait(self, seconds: float, last: int) -> None:
        """Wait until every reader has seen the message with the id `last`."""
        until = time.monotonic() + seconds
        while not all(one.stretches[-1].seen[-1:] and one.stretches[-1].seen[-1][0] >= last
                      for one in self.reading):  # fmt: skip
            _ = self.publishes
            assert time.monotonic() < until, "".join(
                f"\n{one.name} has {one.count} of {self.messages} messages, of"
                f" {len(one.stretches)} stretches, the last {one.stretches[-1].seen[-1:]}"
                for one in self.reading
            )
            time.sleep(0.05)

    def stop(self) -> None:
        """End all threads."""
        for one in (*self.publishing, *self.reading):
            one.over.set()
        for one in (*self.publishing, *self.reading):
            one.join(30)

    @property
    def acknowledged(self) -> dict[int, Name]:
        """By id.  :raises AssertionError: an id was given out twice."""
        pairs = [
            (id, (one.name, number))
            for one in self.publishing
            for number, id in enumerate(one.acknowledged)
        ]
        acknowledged = dict(pairs)
        assert len(acknowledged) == len(pairs), "an id was given to two messages"
        return acknowledged

    def judge(self, *, whole: bool) -> None:
        """Nobody lacks anything, has it twice, in another order, or by another id.

        :param whole: nothing may be too old, and all was acknowledged; else what a reader was
            told of may be missing.
        :raises AssertionError: says what.
        """
        acknowledged = self.acknowledged
        names: dict[int, Name] = dict(acknowledged)
        for reading in self.reading:
            if whole:
                assert len(reading.stretches) == 1, f"{reading.name} was told that it is too late"
            seen = [pair for stretch in reading.stretches for pair in stretch.seen]
            ids = [id for id, _ in seen]
            assert ids == sorted(set(ids)), f"{reading.name}: doubled or out of order"
            for id, name in seen:
                # What was never acknowledged may be there, but not as two messages.
                assert names.setdefault(id, name) == name, f"{id} is {name} and {names[id]}"
            for stretch in reading.stretches:
                stored = {name for _, name in stretch.seen}
                assert len(stored) == len(stretch.seen), f"{reading.name}: stored twice"
                self._assert_whole(reading.name, stretch, acknowledged)
            if whole:
                assert len(seen) == self.messages, f"{reading.name}: {len(seen)} messages"
                for one in self.publishing:
                    numbers = [number for _, (by, number) in seen if by == one.name]
                    assert numbers == list(range(one.count)), f"{reading.name}: {one.name}'s order"

    def _assert_whole(self, name: str, stretch: Stretch, acknowledged: dict[int, Name]) -> None:
        if not stretch.seen:
            return
        first, last = stretch.seen[0][0], stretch.seen[-1][0]
        after = first if stretch.after is None else stretch.after
        seen = {id for id, _ in stretch.seen}
        missing = [id for id in acknowledged if after < id <= last and id not in seen]
        assert not missing, f"{name} lacks {len(missing)}, such as {missing[:5]}, and was not told"
