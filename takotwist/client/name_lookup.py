"""Looks up the addresses of a host's name, without holding anything of the app's.

Rule: one lookup of a name at a time, in a thread of our own.  The resolver cannot be
interrupted and may take half a minute where the network is away; in the thread pool of
a loop or a reactor, a few of them would stop everybody else's lookups.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

#: What ``getaddrinfo`` gives: family, type, protocol, name, socket address.
Found = tuple[int, int, int, str, Any]


class NameLookup:
    """Lookups of one host, shared by all who wait.

    :param find: ``socket.getaddrinfo``, or what stands for it.
    """

    def __init__(self, host: str, port: int, find: Callable[..., Any] = socket.getaddrinfo) -> None:
        self._host, self._port, self._find = host, port, find
        self._lock = threading.Lock()
        self._under_way: Future[list[Found]] | None = None
        self._process = os.getpid()

    def addresses(self) -> Future[list[Found]]:
        """Its addresses, best first; fails with `OSError`.  It cannot be cancelled."""
        future: Future[list[Found]] = Future()
        # As under way, so that one who waits no longer cancels it for nobody else.
        future.set_running_or_notify_cancel()
        try:
            future.set_result(self._look_up(socket.AI_NUMERICHOST))
            return future
        except UnicodeError:
            # Such as "a..b"; the codec's own text would not say what it is about.
            future.set_exception(OSError(f"{self._host!r} is no name of a host"))
            return future
        except OSError:
            pass  # a name
        with self._lock:
            # After a fork the thread that looked it up is in the other process.
            if self._under_way is not None and self._process == os.getpid():
                return self._under_way
            self._under_way, self._process = future, os.getpid()
        thread = threading.Thread(
            target=self._run, args=(future,), name="takotwist-lookup", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as full:
            # No more threads for this process: the next who asks must not wait for this one.
            self._forget()
            future.set_exception(OSError(str(full)))
        return future

    def _run(self, future: Future[list[Found]]) -> None:
        try:
            found = self._look_up(0)
        except (OSError, UnicodeError) as failed:
            self._forget()
            future.set_exception(failed if isinstance(failed, OSError) else OSError(str(failed)))
        else:
            self._forget()
            future.set_result(found)

    def _forget(self) -> None:
        with self._lock:
            self._under_way = None

    def _look_up(self, flags: int) -> list[Found]:
        found: list[Found] = self._find(
            self._host, self._port, type=socket.SOCK_STREAM, flags=flags
        )
        return found
