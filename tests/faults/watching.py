"""What can be seen of a server from outside while something is done to it.

Rule: a publish that is acknowledged is noted, one that is refused is counted by
its code, and nothing else counts as an answer.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from tests.sockets.readers import Cut, Reader, SseReader
from tests.sockets.server_process import ServerProcess

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def publish(server: ServerProcess, data: Any, *, seconds: float = 60.0) -> str:
    """Publish one message to the chat's lobby; its id.

    :raises AssertionError: it is not acknowledged.
    """
    with server.private(timeout=seconds) as private:
        answer = private.post("/channels/chat?roomId=lobby", json={"type": "msg", "data": data})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


class Publishing(threading.Thread):
    """Publishes numbers one after the other, each until it is acknowledged, at `rate` a second.

    :ivar acknowledged: number -> id.
    :ivar refused: code of an answer that was no acknowledgement -> how many.
    :ivar slowest: seconds that the slowest answer took.
    """

    def __init__(self, server: ServerProcess, rate: float = 100.0) -> None:
        super().__init__(daemon=True)
        self._server, self._pause = server, 1 / rate
        self.acknowledged: dict[int, int] = {}
        self.refused: Counter[str] = Counter()
        self.slowest = 0.0
        self.failure: BaseException | None = None
        self._over = threading.Event()

    def run(self) -> None:
        number = 0
        try:
            with self._server.private(timeout=30) as private:
                while not self._over.wait(self._pause):
                    number += self._publish(private, number)
        except BaseException as failure:
            self.failure = failure

    def _publish(self, private: httpx.Client, number: int) -> bool:
        began = time.monotonic()
        answer = private.post(
            "/channels/chat?roomId=lobby",
            json={"type": "msg", "data": {"n": number}},
            headers={"Idempotency-Key": f"{id(self)}-{number}"},
        )
        self.slowest = max(self.slowest, time.monotonic() - began)
        if answer.status_code == 200:
            self.acknowledged[number] = int(answer.json()["id"])
            return True
        body = answer.json()
        assert set(body) == {"error", "code"}, body
        assert "Retry-After" in answer.headers, body
        self.refused[body["code"]] += 1
        return False

    def stop(self) -> None:
        """Stop, and be sure that nothing went wrong.

        :raises BaseException: what did.
        """
        self._over.set()
        self.join(60)
        assert not self.is_alive(), "a publish that is not answered"
        if self.failure is not None:
            raise self.failure


class Reading(threading.Thread):
    """Reads a topic for as long as it is told to, and comes back with its cursor when cut.

    :ivar gone: how often it was told that its cursor is too old; it then begins anew.
    """

    def __init__(self, reader: Reader) -> None:
        super().__init__(daemon=True)
        self.reader = reader
        self.gone = 0
        self.failure: BaseException | None = None
        self._until: int | None = None
        self._over = False

    def run(self) -> None:
        reader = self.reader
        try:
            while not self._over and (self._until is None or int(reader.cursor) < self._until):
                try:
                    if not reader.connected:
                        reader.connect()
                    reader.read(timeout=0.2)
                except Cut as cut:
                    if cut.status == 410 or cut.code == 4410:
                        self.gone += 1
                        reader.cursor = ""
                    elif cut.status not in (0, 503):
                        raise
                    time.sleep(0.02)
                except TimeoutError:
                    pass
        except BaseException as failure:
            self.failure = failure
        finally:
            reader.close()

    def reach(self, last: int, seconds: float = 120.0) -> None:
        """Read up to the message `last`, and be done.

        :raises AssertionError: it does not come. :raises BaseException: what went wrong.
        """
        self._until = last
        self.join(seconds)
        self._over = True
        if self.failure is not None:
            raise self.failure
        assert not self.is_alive(), f"{last} does not come; the last was {self.reader.cursor}"

    def finish(self, last: int, seconds: float = 120.0) -> list[int]:
        """`reach`; all ids that were seen.

        :raises AssertionError: not each came once and in order.
        """
        self.reach(last, seconds)
        seen = [int(message["id"]) for message in self.reader.messages]
        assert seen == sorted(set(seen)), "doubled or out of order"
        return seen


class Canary:
    """Somebody else, who publishes and receives the whole time and is to notice nothing.

    :param patience: seconds that the server may work on something else while a message waits
        that it was given: of its processor, since what else the machine does is not its doing.
    :ivar slowest: seconds by the clock, from a publish to this reader.
    :ivar kept: seconds of the server's processor, meanwhile.
    """

    def __init__(self, server: ServerProcess, patience: float = 5.0) -> None:
        self._server, self._patience = server, patience
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.slowest = self.kept = 0.0
        self.delivered = 0
        self._failure: BaseException | None = None

    @property
    def failed(self) -> bool:
        """Whether it has met a fault."""
        return self._failure is not None

    def __enter__(self) -> Canary:
        self._thread.start()
        return self

    def _run(self) -> None:
        try:
            reader = SseReader(self._server.port, "chat", {"roomId": "canary"}).begin()
            with self._server.private(timeout=30) as private:
                while not self._over.wait(0.05):
                    began, used = time.monotonic(), cpu_seconds(self._server.pid)
                    answer = private.post(
                        "/channels/chat?roomId=canary", json={"type": "msg", "data": 1}
                    )
                    assert answer.status_code == 200, answer.text
                    self.delivered += 1
                    reader.read_until(self.delivered)
                    self.slowest = max(self.slowest, time.monotonic() - began)
                    self.kept = max(self.kept, cpu_seconds(self._server.pid) - used)
            reader.close()
        except BaseException as failure:
            self._failure = failure

    def __exit__(self, kind: object, *_: object) -> None:
        self._over.set()
        self._thread.join(60)
        if kind is not None:
            return
        assert not self._thread.is_alive(), "the others are not served"
        if self._failure is not None:
            raise self._failure
        assert self.delivered, "nothing was delivered"
        assert self.kept < self._patience, (
            f"others waited {self.slowest:.1f} s, in which the server worked {self.kept:.1f} s"
        )
