"""Payloads of messages: by type and by class, read and written as they were declared."""

from __future__ import annotations

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from takotwist.app.payloads import Payloads
from takotwist.errors import BodyInvalid, DefinitionError


class Text(msgspec.Struct):
    text: str


class PayloadTests(SynchronousTestCase):
    """Payloads."""

    def test_declared(self) -> None:
        """Come and go as their class, and an error names type and path."""
        payloads = Payloads.of("chat", {"msg": Text})
        self.assertEqual(payloads.type_of(Text("hi")), "msg")
        self.assertEqual(payloads.write("msg", Text("hi")), b'{"text":"hi"}')
        self.assertEqual(payloads.read("msg", b'{"text":"hi"}'), Text("hi"))
        with self.assertRaisesRegex(BodyInvalid, "text"):
            payloads.read("msg", b'{"text":1}')
        with self.assertRaisesRegex(BodyInvalid, "'other' is none of this channel's types"):
            payloads.write("other", {})
        with self.assertRaisesRegex(DefinitionError, "already"):
            payloads.add("msg", Text)

    def test_anything(self) -> None:
        """Without a declaration."""
        payloads = Payloads.of("chat", {})
        self.assertEqual(payloads.read("msg", payloads.write("msg", [1])), [1])
        with self.assertRaisesRegex(BodyInvalid, "say the type"):
            payloads.type_of(Text("hi"))

    def test_one_class_of_two(self) -> None:
        """Does not say which."""
        payloads = Payloads.of("chat", {"a": Text, "b": Text})
        with self.assertRaisesRegex(BodyInvalid, "a, b: say which one"):
            payloads.type_of(Text("hi"))
