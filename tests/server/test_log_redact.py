"""Credentials do not get into the log, wherever they come from."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

import takotwist
from takotwist.server.log import GONE, Redactor

ROOT = Path(takotwist.__file__).parent

#: Of every kind of letters, of a few, and of small ones alone.
TOKENS = ("q3Zx-9_kLm.Pw~s+/=", "change-me", "abcdef0123456789", "correcthorsebattery")

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
    "'HTTP_COOKIE': 'sid=@'",
    "HTTP_AUTHORIZATION=Bearer @",
    "HTTP_X_TAKO_INTERNAL_TOKEN=@",
    "cookies={'sid': '@'}",
    "<SimpleCookie: sid='@'>",
    r"{\"token\":\"@\"}",
    r'{"body":"{\"auth\": \"Bearer @\"}"}',
    "/x?state=%7B%22token%22%3A%22@%22%7D",
    "/chat?auth=Bearer%20@",
    "curl -H 'Authorization: Bearer @' http://a",
    "TAKO_PUBLISH_KEY=@",
    "x-api-key: @",
)


def constants_of(tree: ast.Module) -> dict[str, str]:
    """Texts that a module gives a name."""
    named: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            for target in node.targets:
                if isinstance(target, ast.Name) and isinstance(node.value.value, str):
                    named[target.id] = node.value.value
    return named


def docstrings_of(tree: ast.Module) -> set[int]:
    """Nodes that are docstrings, or parts of an f-string."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            found.add(id(node.value))
        elif isinstance(node, ast.JoinedStr):
            found |= {id(value) for value in node.values}
    return found


def text_of(node: ast.AST, names: dict[str, str]) -> str | None:
    """The text of a literal with at least two words, its holes filled."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value if " " in node.value else None
    if not isinstance(node, ast.JoinedStr):
        return None
    parts: list[str] = []
    for value in node.values:
        if isinstance(value, ast.Constant):
            parts.append(str(value.value))
        elif isinstance(value, ast.FormattedValue) and isinstance(value.value, ast.Name):
            parts.append(names.get(value.value.id, "{x}"))
        else:
            parts.append("{x}")
    text = "".join(parts)
    return text if " " in text else None


class RedactTests(SynchronousTestCase):
    """What is taken out, and what is left."""

    def test_every_place(self) -> None:
        """A token goes, in every form in which headers, URLs and frames are shown."""
        for place, token in itertools.product(PLACES, TOKENS):
            text = Redactor().text(place.replace("@", token))
            self.assertNotIn(token, text, place)
            self.assertNotIn(token[:8], text, place)
            self.assertIn(GONE, text, place)

    def test_every_template(self) -> None:
        """No sentence of ours loses a word: each that is logged, and every other text in our
        code that may come into one."""
        logged = 0
        for path in sorted(ROOT.rglob("*.py")):
            tree = ast.parse(path.read_text())
            names = constants_of(tree)
            skipped = docstrings_of(tree)
            for node in ast.walk(tree):
                text = None if id(node) in skipped else text_of(node, names)
                if text is not None:
                    self.assertEqual(Redactor().text(text), text, f"{path}:{node.lineno}")
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    kinds = ("debug", "info", "warn", "warning", "error", "critical", "failure")
                    first = text_of(node.args[0], names) if node.args else None
                    logged += node.func.attr in kinds and first is not None
        self.assertGreater(logged, 40)

    def test_sentences_about_credentials(self) -> None:
        """A line that says what to do about a credential says it to the end."""
        for text in (
            "/channels/authorize answered 403 without our X-Tako-Internal-Token: either something"
            " between strips it, or the token there is another",
            "tako.toml: app.token: must be text",
            "there is no token: set it to what the server's [app] token says",
            "Publishing needs 'Authorization: Bearer <publish key>'.",
            "use basic authentication, or a bearer token",
            "{'auth': False, 'token': None}",
            '{"auth":false,"token":null}',
        ):
            self.assertEqual(Redactor().text(text), text)

    def test_values_in_sentences(self) -> None:
        """A value goes out of a sentence that goes on behind it."""
        for text in (
            "token=correcthorse was refused by the app",
            "Authorization: Bearer correcthorse",
            "header Authorization: bearer correcthorse",
            "token: 'correcthorse' was refused",
            "cannot reach http://user:correcthorse@host/ today",
            # As urlsplit reads it: the last one ends the password.
            "cannot reach http://user:p@correcthorse@host/ today",
        ):
            self.assertNotIn("correcthorse", Redactor().text(text), text)

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
