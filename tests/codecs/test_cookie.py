"""A cookie that an app has set is read as the app itself reads it."""

from __future__ import annotations

from http.cookies import SimpleCookie

from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response as StarletteResponse
from twisted.trial.unittest import SynchronousTestCase
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request as WerkzeugRequest
from werkzeug.wrappers import Response as WerkzeugResponse

from takotwist.codecs.cookie import header_text, read_cookies

VALUES = (
    "plain",
    "YWJj==",
    "a b",
    "a,b;c",
    'say "hi"',
    "back\\slash",
    "user@example.com/x",
    "café",
    '"',
    "{}[]<>?()",
    ".eJw:1tQ:abc-_",
)

if not settings.configured:
    settings.configure(USE_TZ=True)


def django(value: str) -> tuple[str, str]:
    """The line that a browser sends back to Django, and what Django reads there."""
    response = HttpResponse()
    response.set_cookie("sid", value)
    line = response.cookies["sid"].OutputString().partition("; Path")[0]
    environ = EnvironBuilder(headers={"Cookie": line}).get_environ()
    return line, WSGIRequest(environ).COOKIES["sid"]


def starlette(value: str) -> tuple[str, str]:
    """The same of Starlette."""
    response = StarletteResponse()
    response.set_cookie("sid", value)
    line = response.headers["set-cookie"].partition("; Path")[0]
    scope = {"type": "http", "headers": [(b"cookie", line.encode("latin-1"))]}
    return line, StarletteRequest(scope).cookies["sid"]


def werkzeug(value: str) -> tuple[str, str]:
    """The same of Werkzeug, and so of Flask."""
    response = WerkzeugResponse()
    response.set_cookie("sid", value)
    line = response.headers["set-cookie"].partition("; Path")[0]
    environ = EnvironBuilder(headers={"Cookie": line}).get_environ()
    return line, WerkzeugRequest(environ).cookies["sid"]


class CookieTests(SynchronousTestCase):
    def test_frameworks(self) -> None:
        """What Django, Starlette and Werkzeug have set is what they and `verify` are given."""
        for framework in (django, starlette, werkzeug):
            for value in VALUES:
                line, theirs = framework(value)
                self.assertEqual(theirs, value, framework)
                ours = read_cookies([line.encode("latin-1")])
                self.assertEqual(ours, {"sid": value}, (framework, line))

    def test_first_counts(self) -> None:
        """Of several with one name the first does, in one field or in several."""
        self.assertEqual(read_cookies([b"a=1; b=2; a=3"]), {"a": "1", "b": "2"})
        self.assertEqual(read_cookies([b"a=1", b"a=2; c=3"]), {"a": "1", "c": "3"})

    def test_odd(self) -> None:
        """What is no pair is passed over; a lone quote, and a quote inside, are what they are."""
        odd = b' x ; =v; a = 1 ;b="; c="1; d=1"2; e=; f="a\\"'
        expected = {"": "v", "a": "1", "b": '"', "c": '"1', "d": '1"2', "e": "", "f": "a\\"}
        self.assertEqual(read_cookies([odd]), expected)

    def test_text(self) -> None:
        """Bytes that are no UTF-8 become text that can be written as JSON."""
        self.assertEqual(header_text("é".encode()), "é")
        self.assertEqual(header_text(b"\xe9"), "é")

    @given(st.text(st.characters(max_codepoint=126, exclude_characters="\0"), max_size=30))
    def test_standard_library(self, value: str) -> None:
        """What `http.cookies` writes of any ASCII text is read as that text."""
        jar: SimpleCookie = SimpleCookie()
        jar["sid"] = value
        line = jar["sid"].OutputString().encode()
        self.assertEqual(read_cookies([line]), {"sid": value})
