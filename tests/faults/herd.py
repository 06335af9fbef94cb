"""Many event streams in one thread, each of which comes again from where it was.

So small that thousands of them are no load of their own.  Rule: a connection that is refused by
the kernel is a fault; an answer that asks to come again is not.
"""

from __future__ import annotations

import json
import selectors
import socket
import threading
import time
from typing import Any

import attrs

#: Connections that are opened in one turn.
AT_ONCE = 50


@attrs.define(eq=False)
class Stream:
    """One of them.

    :ivar numbers: of the messages that it saw.
    :ivar due: when it is opened next, by the monotonic clock.
    """

    cursor: str = ""
    numbers: list[int] = attrs.field(factory=list)
    due: float = 0.0
    socket: socket.socket | None = None
    begun: bool = False
    rest: bytes = b""


class Herd(threading.Thread):
    """See the module.

    :ivar opened: connections that were answered by a stream, so far.
    :ivar sent_away: that were asked to come again.
    :ivar wrong: what must not be.
    """

    def __init__(self, port: int, path: str, count: int) -> None:
        super().__init__(daemon=True)
        self.port, self.path = port, path
        self.streams = [Stream() for _ in range(count)]
        self.opened = self.sent_away = 0
        self.wrong: list[Any] = []
        self.over = threading.Event()
        self._selector = selectors.DefaultSelector()

    @property
    def reading(self) -> int:
        """How many are open."""
        return sum(one.begun for one in self.streams)

    def lacking(self, count: int) -> str:
        """Who has fewer messages than `count`, and what is wrong, for who reads it."""
        few = [one for one in self.streams if len(one.numbers) < count]
        open_ = sum(one.begun for one in few)
        return (
            f"{len(few)} of {len(self.streams)} lack some of {count}, {open_} of them open, such as"
            f" {[(one.cursor, one.numbers, one.rest[:80]) for one in few[:2]]}; wrong:"
            f" {self.wrong[:3]}; {self.opened} opened, {self.sent_away} sent away"
        )

    def run(self) -> None:
        try:
            while not self.over.is_set():
                now = time.monotonic()
                closed = [one for one in self.streams if one.socket is None and one.due <= now]
                for one in closed[:AT_ONCE]:
                    self._open(one)
                for key, _ in self._selector.select(0.02):
                    self._read(key.data)
        except Exception as failure:
            self.wrong.append(failure)
        for one in self.streams:
            self._close(one, 0)
        self._selector.close()

    def _open(self, one: Stream) -> None:
        try:
            one.socket = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        except OSError as failure:
            self.wrong.append(failure)
            one.due = time.monotonic() + 1.0
            return
        one.begun, one.rest = False, b""
        cursor = f"Last-Event-ID: {one.cursor}\r\n" if one.cursor else ""
        head = f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\n{cursor}\r\n"
        self._selector.register(one.socket, selectors.EVENT_READ, one)
        try:
            one.socket.sendall(head.encode())
        except ConnectionError:
            # Whoever took it was killed just now.
            self._close(one, 0.1)
            return
        one.socket.setblocking(False)

    def _close(self, one: Stream, pause: float) -> None:
        if one.socket is not None:
            self._selector.unregister(one.socket)
            one.socket.close()
        one.socket, one.begun = None, False
        one.due = time.monotonic() + pause

    def _read(self, one: Stream) -> None:
        assert one.socket is not None
        try:
            data = one.socket.recv(65536)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        # A stranger's client waits a little before it comes again.
        if not data:
            self._close(one, 0.1)
            return
        one.rest += data
        if not one.begun:
            head, end, rest = one.rest.partition(b"\r\n\r\n")
            if not end:
                return
            status = head.split(b" ", 2)[1]
            if status != b"200":
                self.sent_away += 1
                if status not in (b"429", b"503"):
                    self.wrong.append(one.rest)
                self._close(one, 0.3)
                return
            one.begun, one.rest = True, rest
            self.opened += 1
        # Chunks begin and end between lines, and their lengths are lines that mean nothing.
        *lines, one.rest = one.rest.split(b"\n")
        for line in lines:
            if line.startswith(b"id: "):
                one.cursor = line[4:].strip().decode()
            elif line.startswith(b"data: {"):
                self._message(one, json.loads(line[6:]))

    def _message(self, one: Stream, message: dict[str, Any]) -> None:
        if message.get("type") == "msg":
            one.numbers.append(message["data"])
        elif "reason" in message:
            self.wrong.append(message)
