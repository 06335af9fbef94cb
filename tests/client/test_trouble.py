"""The words for what went wrong with a connection."""

from __future__ import annotations

from OpenSSL.SSL import Error as TlsError
from twisted.internet import error
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseNeverReceived

from takotwist.client.machine.link import Link, Retries, State
from takotwist.client.machine.outcome import CUT, Action, Outcome
from takotwist.client.machine.policy import Policy
from takotwist.client.twisted.carriers import sentence_of

TLS = TlsError([("SSL routines", "", "certificate verify failed")])


class TroubleTests(SynchronousTestCase):
    """`trouble` of a link, and `sentence_of`."""

    def test_sentences(self) -> None:
        """Lists of failures and of tuples become one sentence."""
        self.assertEqual(sentence_of(TLS), "TLS: certificate verify failed")
        wrapped = ResponseNeverReceived([Failure(TLS)])
        self.assertEqual(sentence_of(wrapped), "TLS: certificate verify failed")
        self.assertIn("no such host", sentence_of(error.DNSLookupError("no such host")))
        self.assertEqual(sentence_of(error.ConnectionRefusedError(111)), "Connection refused")
        self.assertIn("no way", sentence_of(error.ConnectError(string="no way")))
        self.assertEqual(sentence_of(KeyError()), "KeyError")

    def test_while_it_is_tried(self) -> None:
        """It stands from the end of one connection to the opening of another."""
        policy = Policy()
        link = Link(policy, Retries(policy, lambda: 0.5))
        self.assertIsNone(link.trouble)
        link.connecting(0)
        link.lost(CUT, 1)
        link.connecting(2)
        self.assertEqual(link.trouble, CUT.sentence)
        link.opened(3)
        self.assertIsNone(link.trouble)
        link.lost(Outcome(Action.BACKOFF, "http-502"), 4)
        self.assertEqual((link.state, link.trouble), (State.WAITING, "http-502"))
        link.connecting(5)
        link.opened(5)
        link.lost(Outcome(Action.NOW, "connection-expired", "connection expired"), 5)
        self.assertIsNone(link.trouble)
