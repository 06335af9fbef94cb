"""Look-ups of names: shared, in a thread of our own, and never in the way of the app's."""

from __future__ import annotations

import os
import socket
import threading
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.name_lookup import NameLookup
from takotwist.client.twisted.own_lookups import OwnLookups

FOUND = [
    (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 80, 0, 0)),
    (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80)),
]


class Resolver:
    """Stands for ``getaddrinfo``: knows no address by heart, and answers when it is let."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.asked = 0
        self.failure = failure
        self.let = threading.Event()

    def __call__(self, host: str, port: int, *, type: int, flags: int) -> Any:
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror("a name")
        self.asked += 1
        self.let.wait(30)
        if self.failure is not None:
            raise self.failure
        return FOUND


class TestNameLookup(SynchronousTestCase):
    def test_shared(self) -> None:
        """All who wait share one look-up, and one who goes away takes it from nobody."""
        find = Resolver()
        lookup = NameLookup("live.example", 80, find)
        first, second = lookup.addresses(), lookup.addresses()
        self.assertFalse(first.cancel())
        find.let.set()
        self.assertEqual(first.result(30), FOUND)
        self.assertEqual(second.result(30), FOUND)
        self.assertEqual(find.asked, 1)
        self.assertEqual(lookup.addresses().result(30), FOUND)
        self.assertEqual(find.asked, 2)

    def test_failure(self) -> None:
        """A name that is none is an OSError for all who wait, whatever the resolver raised."""
        for failure in (socket.gaierror(-2, "Name or service not known"), UnicodeError("label")):
            find = Resolver(failure)
            find.let.set()
            waiting = NameLookup("live.example", 80, find).addresses()
            self.assertIsInstance(waiting.exception(30), OSError)

    def test_no_name(self) -> None:
        """What cannot even be asked for is an OSError too, which names it."""
        failed = NameLookup("live..example", 80).addresses().exception(0)
        self.assertIsInstance(failed, OSError)
        self.assertIn("live..example", str(failed))

    def test_no_thread(self) -> None:
        """Where no thread can be started it is an OSError, and the next look-up is a new one."""
        find = Resolver()
        find.let.set()
        lookup = NameLookup("live.example", 80, find)

        def start(_: object) -> None:
            raise RuntimeError("can't start new thread")

        patched = self.patch(threading.Thread, "start", start)
        self.assertIsInstance(lookup.addresses().exception(0), OSError)
        patched.restore()
        self.assertEqual(lookup.addresses().result(30), FOUND)

    def test_address(self) -> None:
        """An address needs no look-up and no thread."""
        started: list[threading.Thread] = []
        self.patch(threading.Thread, "start", started.append)
        future = NameLookup("127.0.0.1", 80).addresses()
        self.assertTrue(future.done())
        self.assertEqual(future.result()[0][4], ("127.0.0.1", 80))
        self.assertEqual(started, [])

    def test_after_a_fork(self) -> None:
        """A look-up that was under way in the parent does not hold up a forked worker."""
        find = Resolver()
        lookup = NameLookup("live.example", 80, find)
        waiting = lookup.addresses()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                find.let = threading.Event()
                find.let.set()
                status = 0 if lookup.addresses().result(20) == FOUND else 1
            finally:
                os._exit(status)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        find.let.set()
        self.assertEqual(waiting.result(30), FOUND)


class Receiver:
    """What an endpoint gives to a resolver."""

    def __init__(self) -> None:
        self.resolution: Any = None
        self.addresses: list[Any] = []
        self.complete = False

    def resolutionBegan(self, resolution: Any) -> None:
        self.resolution = resolution

    def addressResolved(self, address: Any) -> None:
        self.addresses.append(address)

    def resolutionComplete(self) -> None:
        self.complete = True


class CallingReactor:
    """Keeps what other threads want called."""

    name = "the app's"

    def __init__(self) -> None:
        self.called = threading.Event()
        self.calls: list[Any] = []

    def callFromThread(self, function: Any) -> None:
        self.calls.append(function)
        self.called.set()


class TestOwnLookups(SynchronousTestCase):
    def begin(self, failure: Exception | None = None) -> tuple[CallingReactor, Receiver, Resolver]:
        reactor, receiver, find = CallingReactor(), Receiver(), Resolver(failure)
        own = OwnLookups(reactor, "live.example", 80)
        resolver: Any = own.nameResolver
        resolver._lookup = NameLookup("live.example", 80, find)
        self.assertEqual(own.name, "the app's")
        resolver.resolveHostName(receiver, "live.example", 80)
        find.let.set()
        self.assertTrue(reactor.called.wait(30))
        return reactor, receiver, find

    def test_found(self) -> None:
        """The addresses come in the reactor's own thread, in their order."""
        reactor, receiver, _ = self.begin()
        self.assertEqual(receiver.addresses, [])
        reactor.calls[0]()
        self.assertEqual(
            receiver.addresses,
            [IPv6Address("TCP", "::1", 80), IPv4Address("TCP", "127.0.0.1", 80)],
        )
        self.assertTrue(receiver.complete)

    def test_failed(self) -> None:
        """A name that cannot be looked up has no address."""
        reactor, receiver, _ = self.begin(socket.gaierror(-3, "Temporary failure"))
        reactor.calls[0]()
        self.assertEqual((receiver.addresses, receiver.complete), ([], True))

    def test_cancelled(self) -> None:
        """Who is gone is told nothing."""
        reactor, receiver, _ = self.begin()
        receiver.resolution.cancel()
        reactor.calls[0]()
        self.assertEqual((receiver.addresses, receiver.complete), ([], False))
