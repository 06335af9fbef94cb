"""Signatures against vectors of Pusher's documentation and of its libraries."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.facades.pusher.signatures import (
    Unsigned,
    check_request,
    is_signed,
    of_channel,
    of_user,
    sign,
)

#: The key, secret and socket of Pusher's own documentation.
KEY, SECRET, SOCKET = "278d425bdf160c739803", "7ad3773142a6692b25b8", "1234.1234"

_BODY = b'{"name":"foo","channels":["project-3"],"data":"{\\"some\\":\\"data\\"}"}'
_QUERY = (
    b"auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0"
    b"&body_md5=ec365a775a4cd0599faeb73354201b6f"
    b"&auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"
)


class VectorTests(SynchronousTestCase):
    """What the documentation gives, letter for letter."""

    def test_private(self) -> None:
        auth = f"{KEY}:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"
        self.assertTrue(is_signed(KEY, SECRET, auth, of_channel(SOCKET, "private-foobar")))

    def test_presence(self) -> None:
        data = '{"user_id":10,"user_info":{"name":"Mr. Channels"}}'
        auth = f"{KEY}:31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80"
        text = of_channel("1234.1234", "presence-foobar", data)
        self.assertTrue(is_signed(KEY, SECRET, auth, text))

    def test_user(self) -> None:
        data = '{"id":"12345"}'
        auth = f"{KEY}:{sign(SECRET, '1234.1234::user::' + data)}"
        self.assertEqual(of_user("1234.1234", data), '1234.1234::user::{"id":"12345"}')
        self.assertTrue(is_signed(KEY, SECRET, auth, of_user("1234.1234", data)))

    def test_request(self) -> None:
        check_request(SECRET, b"POST", b"/apps/3/events", _QUERY, _BODY, 1353088179)


class RefusedTests(SynchronousTestCase):
    """Each part of a request that is not what was signed."""

    def refused(
        self,
        why: str,
        *,
        path: bytes = b"/apps/3/events",
        query: bytes = _QUERY,
        body: bytes = _BODY,
        now: float = 1353088179,
        method: bytes = b"POST",
    ) -> None:
        refusal = self.assertRaises(Unsigned, check_request, SECRET, method, path, query, body, now)
        self.assertIn(why, str(refusal))

    def test_time(self) -> None:
        check_request(SECRET, b"POST", b"/apps/3/events", _QUERY, _BODY, 1353088179 + 600)
        self.refused("auth_timestamp", now=1353088179 + 601)
        self.refused("auth_timestamp", now=1353088179 - 601)
        self.refused("auth_timestamp", query=_QUERY.replace(b"1353088179", b"x"))

    def test_body(self) -> None:
        self.refused("body_md5", body=_BODY + b" ")
        self.refused("body_md5", query=_QUERY.replace(b"body_md5", b"bodymd5"))

    def test_signature(self) -> None:
        self.refused("auth_signature", query=_QUERY.replace(b"da4548", b"da4549"))
        self.refused("auth_signature", path=b"/apps/4/events")
        self.refused("auth_signature", method=b"PUT")
        self.refused("auth_signature", query=_QUERY + b"&info=user_count")
        self.refused("auth_signature", query=_QUERY.partition(b"&auth_signature")[0])

    def test_version(self) -> None:
        self.refused("auth_version", query=_QUERY.replace(b"version=1.0", b"version=2.0"))


class SpellingTests(SynchronousTestCase):
    """Libraries send values percent-encoded or not, and sign them as they are."""

    def test_both(self) -> None:
        plain = "auth_key=k&auth_timestamp=1000&auth_version=1.0&info=user_count,cache"
        signature = sign("s", f"GET\n/apps/1/channels\n{plain}")
        for spelled in (plain, plain.replace(",", "%2C")):
            query = f"{spelled}&auth_signature={signature}".encode()
            check_request("s", b"GET", b"/apps/1/channels", query, b"", 1000)

    def test_order(self) -> None:
        """The Python library has the signature in the middle of the query."""
        plain = "auth_key=k&auth_timestamp=1000&auth_version=1.0"
        signature = sign("s", f"GET\n/apps/1/channels\n{plain}")
        query = f"auth_key=k&auth_signature={signature}&auth_version=1.0&auth_timestamp=1000"
        check_request("s", b"GET", b"/apps/1/channels", query.encode(), b"", 1000)
