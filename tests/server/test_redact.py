"""Credentials do not get into the log, wherever they come from."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.redact import GONE, Redactor

TOKEN = "q3Zx-9_kLm.Pw~s+/="

#: Text in which a credential may reach the log; ``@`` stands for it.
PLACES = (
    "Authorization: Bearer @",
    "authorization: @",
    "GET /chat HTTP/1.1\r\nAuthorization: Basic @\r\nHost: a",
    "Cookie: sid=@; theme=dark",
    'Cookie: a="x"; sid=@',
    "Set-Cookie: sid=@; HttpOnly",
    "X-Tako-Internal-Token: @",
    "Proxy-Authorization: Basic @",
    "Headers({b'authorization': [b'Bearer @'], b'host': [b'a']})",
    "{b'cookie': [b'a=b', b'sid=@']}",
    '{"cookie": ["a=b", "sid=@"]}',
    "[(b'Cookie', b'sid=@')]",
    "{'authorization': \"@\"}",
    "/chat?roomId=a&access_token=@&x=1",
    "/chat?access%5Ftoken=@",
    "/chat?ACCESS_TOKEN=@#here",
    '{"type":"tako.auth","token":"Bearer @","lastMessageId":"1"}',
    '{"op":"subscribe","auth":"Bearer @","channel":"chat"}',
    "{'token': '@'}",
    "token=@",
    "AuthRequest(header=Bearer @)",
    "password: @",
)


class RedactTests(SynchronousTestCase):
    """What is taken out, and what is left."""

    def test_every_place(self) -> None:
        """A token goes, in every form in which headers, URLs and frames are shown."""
        for place in PLACES:
            text = Redactor().text(place.replace("@", TOKEN))
            self.assertNotIn(TOKEN, text, place)
            self.assertNotIn(TOKEN[:8], text, place)
            self.assertIn(GONE, text, place)

    def test_password_in_a_url(self) -> None:
        """What stands before the host goes, the host stays."""
        self.assertEqual(
            Redactor().text("cannot reach http://user:pw@host/path"),
            f"cannot reach http://{GONE}@host/path",
        )

    def test_own_secrets_anywhere(self) -> None:
        """The server's token and keys are found without any sign that they are secrets."""
        redactor = Redactor(["s3cret value/+"])
        for text in ("got s3cret value/+!", "got s3cret%20value%2F%2B!"):
            self.assertEqual(redactor.text(text), f"got {GONE}!")

    def test_own_secrets_change(self) -> None:
        """After a reload the new ones are known."""
        redactor = Redactor(["old-secret"])
        redactor.know(["new-secret"])
        self.assertEqual(redactor.text("new-secret"), GONE)

    def test_publish_keys_are_known_by_their_form(self) -> None:
        """A key that is not even ours is not written."""
        self.assertEqual(Redactor().text("tako_pk_abcdefghijklmnop0123"), GONE)

    def test_jwt_is_known_by_its_form(self) -> None:
        """Three parts of base64 that begin as JSON does are a token."""
        self.assertEqual(
            Redactor().text("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0.c2lnbmF0dXJl"),
            f"got {GONE}",
        )

    def test_ordinary_text_stays(self) -> None:
        """Sentences about credentials, params and addresses are left as they are."""
        for text in (
            "listening at https://localhost:8443",
            "the authorization of chat took 5 ms",
            "no cookie and no authorization header",
            "/chat?roomId=lobby&last_event_id=1763700000123456",
            "app.token_file: names t, which cannot be read",
            "2026-11-21T09:04:05Z subject='ann' author: ben",
            "a key of the topic chat?roomId=a",
        ):
            self.assertEqual(Redactor(["abc"]).text(text), text)

    def test_fields_by_name(self) -> None:
        """A field that is called like a credential is not shown, whatever is in it."""
        redactor = Redactor()
        self.assertEqual(redactor.field("token", 5), GONE)
        self.assertEqual(redactor.field("Cookie", "x"), GONE)
        self.assertEqual(redactor.field("topic", "chat"), "chat")
        self.assertEqual(redactor.field("count", 5), 5)

    @given(st.text("ab :=\"'{}[],\n"), st.text("ab :=\"'{}[],\n"))
    def test_known_secret_never_survives(self, before: str, after: str) -> None:
        """Whatever stands around it."""
        text = Redactor(["0123-secret"]).text(f"{before}0123-secret{after}")
        self.assertNotIn("0123-secret", text)
