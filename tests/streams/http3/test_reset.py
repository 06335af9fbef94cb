"""Clients of a server that was killed learn it from the next one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from aioquic.quic.connection import QuicConnection
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.http3.endpoint import ALIVE_SECONDS, RESETS_AT_ONCE
from takotwist.streams.http3.roster import SECONDS, Roster
from takotwist.streams.http3.stateless import LEAST_RESET, RESET, ResetTokens
from tests.streams.http3.resources import Recorder
from tests.streams.http3.wire import CLIENT, Client, Net

KEY = b"k" * 32


def tokens(quic: QuicConnection) -> set[bytes]:
    """Of all ids that a client has of its server: one of them in use, others to come."""
    known = [quic._peer_cid, *quic._peer_cid_available]
    return {one.stateless_reset_token for one in known}


def ping(client: Client) -> bytes:
    """A datagram of a connection that is there."""
    client.quic.send_ping(1)
    [(data, _)] = client.quic.datagrams_to_send(now=client.clock.seconds())
    return data


class TokenTests(SynchronousTestCase):
    """What a client is told, and what a reset says."""

    def test_told(self) -> None:
        """Each id that a client has comes with the token that the key makes of it."""
        client = Net(reset_key=KEY).client()
        known = [client.quic._peer_cid, *client.quic._peer_cid_available]
        self.assertGreater(len(known), 2)
        made = ResetTokens(KEY)
        for one in known:
            self.assertEqual(one.stateless_reset_token, made.token(one.cid))
        self.assertEqual(len(tokens(client.quic)), len(known))

    def test_keys(self) -> None:
        """Another key, or another id, makes another token."""
        made = {ResetTokens(key).token(one) for key in (KEY, b"x" * 32) for one in (b"1", b"2")}
        self.assertEqual(len(made), 4)

    def test_sizes(self) -> None:
        """A reset looks like a packet with a short header, and fits the room that there is."""
        for longest in range(60):
            reset = ResetTokens(KEY).reset(b"12345678", longest)
            if longest < LEAST_RESET:
                self.assertIsNone(reset)
                continue
            assert reset is not None
            self.assertEqual(len(reset), min(longest, RESET))
            self.assertEqual(reset[0] & 0xC0, 0x40)


class AnswerTests(SynchronousTestCase):
    """A server that knows nothing of a connection."""

    def test_after_a_restart(self) -> None:
        """A client's packet is answered by a reset that it can tell."""
        client = Net(Recorder(), reset_key=KEY).client()
        after = Net(Recorder(), reset_key=KEY)
        [reset] = after.inject(ping(client))
        self.assertIn(reset[-16:], tokens(client.quic))
        [other] = Net(reset_key=b"other" * 8).inject(ping(client))
        self.assertNotIn(other[-16:], tokens(client.quic))

    def test_no_loop(self) -> None:
        """An answer is smaller than its question, so two servers come to an end; no amplifier."""
        net, data, count = Net(reset_key=KEY), b"\x40" + os.urandom(99), 0
        while answer := net.inject(data):
            [smaller] = answer
            self.assertLess(len(smaller), len(data))
            data, count = smaller, count + 1
        self.assertEqual(count, RESET - LEAST_RESET + 1)

    def test_who_is_there(self) -> None:
        """A connection that is there is never reset, whatever its client sends."""
        net = Net(Recorder(), reset_key=KEY)
        client = net.client()
        data = ping(client)
        for answer in net.inject(data[:-1] + b"x") + net.inject(data):
            self.assertNotIn(answer[-16:], tokens(client.quic))
        stream = client.request()
        net.pump()
        self.assertEqual(client.status(stream), 200)

    def test_rate(self) -> None:
        """There are only so many at once."""
        net = Net(reset_key=KEY)
        protocol = net.server.protocol
        protocol._resets_left = 3.0
        answered = [bool(net.inject(b"\x40" + os.urandom(50))) for _ in range(5)]
        self.assertEqual(answered, [True] * 3 + [False] * 2)
        net.clock.advance(100)
        self.assertTrue(net.inject(b"\x40" + os.urandom(50)))
        self.assertLessEqual(protocol._resets_left, RESETS_AT_ONCE)


class RosterTests(SynchronousTestCase):
    """Those who were there are told without asking."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.now = 1000.0

    def roster(self, most: int = 3) -> Roster:
        return Roster(self.path, most, lambda: self.now)

    def net(self) -> Net:
        return Net(Recorder(), reset_key=KEY, roster=self.roster(1000))

    def told(self, net: Net) -> list[tuple[bytes, Any]]:
        net.server.farewell()
        net.clock.advance(0.1)
        told = list(net.wire.sent)
        net.wire.sent.clear()
        return told

    def test_killed(self) -> None:
        """Each client is told where it was, in a word that it can tell; nobody twice."""
        before = self.net()
        clients = [before.stranger(("192.0.2.7", 50_000 + n)) for n in range(120)]
        before.pump(0.1)
        gone = clients.pop()
        gone.quic.close()
        before.pump(5)
        told = self.told(self.net())
        self.assertEqual({address for _, address in told}, {one.address for one in clients})
        by_address = {one.address: one for one in clients}
        for data, address in told:
            self.assertIn(data[-16:], tokens(by_address[address].quic))
        self.assertEqual(len(told), len(clients))
        self.assertEqual(self.told(self.net()), [])

    def test_moved(self) -> None:
        """A client that has moved, or calls its connection otherwise, is told so."""
        before = self.net()
        client = before.client()
        client.quic.change_connection_id()
        before.pump()
        current = client.quic._peer_cid.stateless_reset_token
        [(data, address)] = self.told(self.net())
        self.assertEqual((data[-16:], address), (current, CLIENT))

    def test_stopped(self) -> None:
        """A server that stops has told them itself."""
        before = self.net()
        before.client()
        before.server.stop()
        before.pump(20)
        self.assertEqual(self.told(self.net()), [])

    def test_long_ago(self) -> None:
        """Who was there long ago has given up; a process that lives says so."""
        before = self.net()
        before.client()
        self.now += SECONDS + 1
        self.assertEqual(self.roster().left, [])
        before = self.net()
        before.client()
        before.server.farewell()
        self.now += SECONDS - 1
        before.clock.advance(ALIVE_SECONDS)
        self.now += SECONDS - 1
        self.assertEqual(len(self.roster().left), 1)
