from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from takotwist.streams.websocket.handshake import (
    check_handshake,
    choose_subprotocol,
    is_upgrade,
    offered_subprotocols,
)

GOOD = {
    "Upgrade": ["websocket"],
    "Connection": ["Upgrade"],
    "Sec-WebSocket-Version": ["13"],
    "Sec-WebSocket-Key": ["dGhlIHNhbXBsZSBub25jZQ=="],
}


def _headers(**changed: list[str] | None) -> Headers:
    fields: dict[str, list[str] | None] = {**GOOD}
    fields.update({name.replace("_", "-"): value for name, value in changed.items()})
    return Headers({name: value for name, value in fields.items() if value is not None})


class HandshakeTests(SynchronousTestCase):
    """What is wrong with a handshake, by its status (RFC 6455, section 4.4; RFC 9110, 15.5.22)."""

    def _status(
        self, headers: Headers, method: bytes = b"GET", version: bytes = b"HTTP/1.1"
    ) -> int:
        bad = check_handshake(method, version, headers)
        return 101 if bad is None else bad.status

    def test_good(self) -> None:
        """Names and tokens in any case, among others, on repeated lines."""
        self.assertEqual(self._status(_headers()), 101)
        self.assertEqual(
            self._status(
                _headers(Connection=["keep-alive", "foo, UPGRADE"], Upgrade=["h2c, WebSocket"])
            ),
            101,
        )

    def test_method(self) -> None:
        """405 for anything but GET, which it names."""
        bad = check_handshake(b"POST", b"HTTP/1.1", _headers())
        assert bad is not None
        self.assertEqual((bad.status, bad.headers), (405, (("Allow", "GET"),)))

    def test_plain_get(self) -> None:
        """426 for a request that asks for no upgrade, with what it could upgrade to."""
        for upgrade in (None, ["h2c"], ["websockets"]):
            headers = _headers(Upgrade=upgrade)
            self.assertFalse(is_upgrade(headers))
            bad = check_handshake(b"GET", b"HTTP/1.1", headers)
            assert bad is not None
            self.assertEqual(bad.status, 426)
            self.assertEqual(dict(bad.headers)["Upgrade"], "websocket")
            self.assertEqual(dict(bad.headers)["Sec-WebSocket-Version"], "13")

    def test_http_versions(self) -> None:
        """426 over HTTP/1.0 and HTTP/2, and there without the headers that HTTP/2 forbids."""
        for version in (b"HTTP/1.0", b"HTTP/2"):
            bad = check_handshake(b"GET", version, _headers())
            assert bad is not None
            self.assertEqual((bad.status, bad.headers), (426, ()))

    def test_protocol_version(self) -> None:
        """426 for another version, with the one that is spoken."""
        for value in (["12"], ["8"], None, ["13", "13"], ["x"]):
            bad = check_handshake(b"GET", b"HTTP/1.1", _headers(Sec_WebSocket_Version=value))
            assert bad is not None
            self.assertEqual((bad.status, bad.headers), (426, (("Sec-WebSocket-Version", "13"),)))

    def test_connection(self) -> None:
        """400 where Connection does not name the upgrade."""
        self.assertEqual(self._status(_headers(Connection=["keep-alive"])), 400)
        self.assertEqual(self._status(_headers(Connection=None)), 400)

    def test_key(self) -> None:
        """400 for a key that is missing, twice there, or not 16 bytes in base64."""
        good = GOOD["Sec-WebSocket-Key"][0]
        for value in (None, ["abc"], [good, good], [good[:-2]], ["!" * 24], ["A" * 24]):
            self.assertEqual(self._status(_headers(Sec_WebSocket_Key=value)), 400, value)


class SubprotocolTests(SynchronousTestCase):
    """W2: the server's order decides."""

    def test_order(self) -> None:
        """The client offers v1 before v2, the server lists v2 before v1: it is v2."""
        self.assertEqual(choose_subprotocol(["v2", "v1"], ["v1", "v2"]), "v2")

    def test_none(self) -> None:
        """Without overlap there is none; names are compared exactly."""
        self.assertIsNone(choose_subprotocol(["v2"], ["v1", "V2"]))
        self.assertIsNone(choose_subprotocol([], ["v1"]))

    def test_repeated_lines(self) -> None:
        """Repeated header lines are one list."""
        headers = Headers({"Sec-WebSocket-Protocol": ["a, b", "c"]})
        self.assertEqual(offered_subprotocols(headers), ["a", "b", "c"])
