"""Who is there: one question for all who ask meanwhile, whoever of them leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorPluggableNameResolver
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from takotwist.admin.nodes import this_process
from takotwist.core.node import Node
from takotwist.errors import Overloaded
from takotwist.live.peers import Show
from takotwist.server.config.endpoint_text import EndpointText
from takotwist.server.peers import NodePeers


class Directory:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[Deferred[Sequence[Node]]] = []

    def renew(self, info: bytes) -> None:
        """Nobody asks what it was."""

    def nodes(self) -> Deferred[Sequence[Node]]:
        """See `INodeDirectory`."""
        asking: Deferred[Sequence[Node]] = Deferred()
        self.asked.append(asking)
        return asking


@implementer(IReactorPluggableNameResolver)
class NoNames(Clock):
    """A reactor that knows no name of a host."""

    def __init__(self) -> None:
        super().__init__()
        self.nameResolver = self

    def resolveHostName(self, receiver: Any, name: str, *_: object, **__: object) -> object:
        """See `IHostnameResolver`."""
        receiver.resolutionBegan(None)
        receiver.resolutionComplete()
        return None


class _Nobody:
    """Listens to a connection that is not made."""

    def received(self, kind: object, payload: bytes) -> None:
        """See `PeerListener`."""

    def pressure(self, full: bool) -> None:
        """The same."""

    def lost(self) -> None:
        """The same."""


class OthersTests(SynchronousTestCase):
    """Whoever asks which other nodes there are."""

    def setUp(self) -> None:
        self.directory = Directory()
        endpoint = EndpointText.parse("tcp:7070")
        self.peers = NodePeers(NoNames(), self.directory, endpoint, "tcp:a:7070", 1000, "me")

    def ask(self) -> Deferred[list[str]]:
        """The names of the others."""

        async def names() -> list[str]:
            return [one.id for one in await self.peers.other_nodes()]

        return Deferred.fromCoroutine(names())

    def answer(self) -> None:
        """Have the directory answer all that it was asked."""
        info = msgspec.msgpack.encode(this_process("you", peer="tcp:b:7070"))
        asked, self.directory.asked = self.directory.asked, []
        for one in asked:
            one.callback([Node("n", 0.0, info)])

    def test_who_is_first_leaves(self) -> None:
        """Those who came after it are answered, and so is whoever asks later."""
        first, second = self.ask(), self.ask()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.answer()
        self.assertEqual(self.successResultOf(second), ["you"])
        third = self.ask()
        self.answer()
        self.assertEqual(self.successResultOf(third), ["you"])

    def test_answer_that_nobody_expected(self) -> None:
        """It is said once, and taken for no answer; the next question is asked anew."""
        first = self.ask()
        self.directory.asked.pop().errback(RuntimeError("of the directory"))
        self.assertEqual(self.successResultOf(first), [])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        again = self.ask()
        self.answer()
        self.assertEqual(self.successResultOf(again), ["you"])

    def test_name_that_is_gone(self) -> None:
        """A node whose host has no name any more, as of a container that has ended, cannot be
        reached now, as any other that is away."""
        connecting = Deferred.fromCoroutine(self.peers.connect(Show("you", "nodes"), _Nobody()))
        self.answer()
        self.failureResultOf(connecting, Overloaded)
