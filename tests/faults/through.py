"""Publishers and readers that go on through every death of a server, and what they agree on."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Collection, Sequence

import httpx
from twisted.trial.unittest import SynchronousTestCase

from tests.sockets.readers import Cut, Reader
from tests.sockets.server_process import ServerProcess

ROOM = {"roomId": "lobby"}


class Publishing(threading.Thread):
    """Publishes one message after the other, each again until it is acknowledged.

    :param away: whether the store may be away for a while.
    :ivar acknowledged: name of each message -> the id that the server gave it.
    :ivar uncertain: tries of which it is not known whether they were stored.
    :ivar refused: tries that were refused because the store was away.
    :ivar slowest: the longest that an answer took, seconds.
    :ivar failure: what went wrong, where it ended by itself.
    """

    def __init__(self, server: ServerProcess, name: str, *, away: bool = False) -> None:
        super().__init__(daemon=True)
        self.server, self.label, self.away = server, name, away
        self.acknowledged: dict[str, str] = {}
        self.uncertain = self.refused = 0
        self.slowest = 0.0
        self.failure: BaseException | None = None
        self.over = threading.Event()

    def run(self) -> None:
        """See `Thread`."""
        number = 0
        try:
            with self.server.private(timeout=30) as private:
                while not self.over.is_set():
                    name = f"{self.label}/{number}"
                    self.acknowledged[name] = self.until_acknowledged(private, name)
                    number += 1
        except BaseException as failure:
            self.failure = failure

    def until_acknowledged(self, private: httpx.Client, name: str) -> str:
        """Publish one message, however often it takes; its id."""
        key = str(uuid.uuid4())
        while True:
            began = time.monotonic()
            try:
                answer = private.post(
                    "/channels/chat?roomId=lobby",
                    json={"type": "msg", "data": {"name": name}},
                    headers={"Idempotency-Key": key},
                )
            except httpx.TransportError:
                # Whether it was stored is not known: the key makes it safe to ask again.
                self.uncertain += 1
                time.sleep(0.02)
                continue
            self.slowest = max(self.slowest, time.monotonic() - began)
            if answer.status_code == 200:
                return str(answer.json()["id"])
            assert self.away and answer.status_code == 503, answer.text
            assert "store-unavailable" in answer.text, answer.text
            self.refused += 1
            time.sleep(0.05)


class Reading(threading.Thread):
    """Reads through everything.

    :param statuses: with which a connection may be refused, beside none at all; and `codes`:
        by which it may be ended.
    """

    def __init__(
        self,
        reader: Reader,
        statuses: Collection[int] = (),
        codes: Collection[int] | None = None,
    ) -> None:
        super().__init__(daemon=True)
        self.reader = reader
        self.last: str | None = None
        self.failure: BaseException | None = None
        self._statuses, self._codes = {0, *statuses}, codes

    def run(self) -> None:
        """See `Thread`."""
        reader = self.reader
        try:
            while self.last is None or int(reader.cursor or 0) < int(self.last):
                try:
                    if not reader.connected:
                        reader.connect()
                    reader.read(timeout=0.5)
                except (Cut, ConnectionError) as cut:
                    assert getattr(cut, "status", 0) in self._statuses, cut
                    code = getattr(cut, "code", 0)
                    assert self._codes is None or not code or code in self._codes, cut
                    time.sleep(0.02)
                except TimeoutError:
                    pass
        except BaseException as failure:
            self.failure = failure
        finally:
            reader.close()


def finish(
    test: SynchronousTestCase, publishing: Sequence[Publishing], reading: Sequence[Reading]
) -> dict[str, str]:
    """End them, and compare: each reader has what was acknowledged, once, in order.

    :return: what was acknowledged.
    """
    for one in publishing:
        one.over.set()
    for one in publishing:
        one.join(60)
        if one.failure is not None:
            raise one.failure
        test.assertFalse(one.is_alive(), "a publish that is not answered")
    with publishing[0].server.private(timeout=30) as private:
        last = publishing[0].until_acknowledged(private, "last")
    for reader in reading:
        reader.last = last
    for reader in reading:
        reader.join(120)
        if reader.failure is not None:
            raise reader.failure
        test.assertFalse(reader.is_alive(), "a message that does not come")
    acknowledged = {name: id for one in publishing for name, id in one.acknowledged.items()}
    for reader in reading:
        ids = [int(message["id"]) for message in reader.reader.messages]
        test.assertEqual(ids, sorted(set(ids)), "doubled or out of order")
        seen = {message["data"]["name"]: message["id"] for message in reader.reader.messages}
        test.assertEqual(len(seen), len(ids), "a repeated publish was stored twice")
        del seen["last"]
        test.assertEqual(seen, acknowledged)
    return acknowledged
