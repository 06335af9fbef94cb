"""Whatever a caller gives to a publisher, what comes out is documented and holds no secret."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Publisher
from takotwist.app.http_address import request_bytes
from takotwist.app.http_exchange import Deadline
from takotwist.app.publisher_twisted import DeferredPublisher
from takotwist.codecs.http_answer import HttpAnswer
from takotwist.errors import BodyInvalid, ChannelUnknown, ConfigError, ParamsInvalid

SECRET = "tk-Pa55w0rd"

#: Text that libraries refuse each in its own way.
ODD = st.text(st.sampled_from("aé\U0001f355\ud83d\0\r\n\t :/@?#[]%&=+\x7f\u2028"), max_size=6)
KEYS = st.tuples(ODD, ODD).map(lambda around: f"{around[0]}{SECRET}{around[1]}")
URLS = st.one_of(
    ODD,
    KEYS,
    st.tuples(
        st.sampled_from(["http://", "https://", "unix:", "ftp://", "unix://", "HTTP:"]),
        st.one_of(ODD, KEYS.map(lambda key: f"user:{key}@host"), st.just("host:99999")),
        ODD,
    ).map("".join),
)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        ODD,
        st.binary(max_size=2),
        st.sampled_from([object(), {1}, 1j, Ellipsis, float, range(2), ConfigError]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(st.one_of(ODD, st.integers(), st.none()), inner, max_size=2),
        st.tuples(inner, inner),
    ),
    max_leaves=5,
)


STORED = HttpAnswer(200, {}, b'[{"id":"1","channel":"c","type":"t","data":1}]')


class TestErrors(SynchronousTestCase):
    def no_secret(self, error: BaseException) -> None:
        text = "".join(traceback.format_exception(error)) + str(error) + repr(error)
        self.assertNotIn(SECRET, text)

    @given(URLS, KEYS)
    def test_construction(self, url: str, key: str) -> None:
        """An address or key that cannot be used is a ConfigError that repeats neither."""
        try:
            publisher = Publisher(url, key)
        except ConfigError as wrong:
            self.no_secret(wrong)
        else:
            self.assertNotIn(SECRET, repr(publisher))
            if publisher.address.unix_path is None:
                self.assertNotIn(SECRET, publisher.address.server)
            request_bytes(publisher.address, "POST", "/", publisher._authorization, b"")

    def test_key_of_a_file(self) -> None:
        """White space around a key, such as the line end of a secret's file, is no part of it."""
        for key in (f"{SECRET}\n", f"{SECRET}\r\n", f" {SECRET}\t"):
            publisher = Publisher("http://a", key)
            self.assertEqual(publisher._authorization, {"Authorization": f"Bearer {SECRET}"})

    def test_key_in_the_wrong_place(self) -> None:
        """A key given as the address, or in it, is not shown."""
        for url in (SECRET, f"http://user:{SECRET}@host", f"http://host:{SECRET}", f"x://{SECRET}"):
            self.no_secret(self.assertRaises(ConfigError, Publisher, url))

    @given(
        st.one_of(ODD, st.none(), st.just("chat")),
        st.one_of(VALUES, st.dictionaries(ODD, VALUES, max_size=2)),
        st.one_of(ODD, st.just("msg"), st.just("tako.x"), st.none()),
        VALUES,
        st.one_of(st.none(), ODD, st.just(5)),
    )
    def test_publish(self, channel: Any, params: Any, type: Any, data: Any, key: Any) -> None:
        """Whatever is published is sent, or refused by a documented error that names it."""
        publisher = Publisher("http://host", SECRET)

        def exchange(
            method: str, target: str, headers: Mapping[str, str], body: bytes, deadline: Deadline
        ) -> HttpAnswer:
            # What a real one does before it connects.
            sent = request_bytes(publisher.address, method, target, headers, body)
            self.assertEqual(sent.partition(b"\r\n")[0].count(b" "), 2)
            return STORED

        publisher._exchange = exchange
        for publish in (
            lambda: publisher.publish(channel, params, type, data, idempotency_key=key),
            lambda: publisher.publish_many(channel, params, [(type, data)], idempotency_key=key),
        ):
            try:
                publish()
            except (ParamsInvalid, BodyInvalid, ChannelUnknown) as refused:
                self.no_secret(refused)

    def test_each_way(self) -> None:
        """On a loop and on a reactor the same is refused, before anything is sent."""
        publisher = Publisher("http://host", SECRET)
        deferred = DeferredPublisher(Clock(), publisher)
        for arguments, error in (
            (("chat", {"roomId": "cut \ud83d"}, "msg", 1), ParamsInvalid),
            (("chat", None, "msg", {"a": [{"b": b"x"}]}), BodyInvalid),
            (("ch\ud83d", None, "msg", 1), ChannelUnknown),
            (("chat", None, "tako.x", 1), BodyInvalid),
        ):
            with self.assertRaises(error) as refused:
                asyncio.run(publisher.publish_async(*arguments))  # type: ignore[arg-type]
            failure = self.failureResultOf(deferred.publish(*arguments), error)  # type: ignore[arg-type]
            self.assertEqual(str(failure.value), str(refused.exception))
            with self.assertRaises(error):
                publisher.publish(*arguments)  # type: ignore[arg-type]

    def test_places(self) -> None:
        """What JSON cannot say is refused with its place."""
        publisher = Publisher("http://host", SECRET)
        ring: list[Any] = []
        ring.append(ring)
        for params, data, key, said in (
            (
                {"roomId": "cut \ud83d"},
                1,
                None,
                "param 'roomId': half of a surrogate pair is no text",
            ),
            ({"n": [1, None]}, 1, None, "param 'n'[1]: None is nothing to send"),
            ({"n": {1}}, 1, None, "param 'n': JSON has no form for set"),
            ({1: "a"}, 1, None, "params: the name 1 is no text"),
            ({}, {"a": [{"b": "\udc00"}]}, None, "'msg'.a[0].b: half of a surrogate pair"),
            ({}, [{"b": float("inf")}], None, "'msg'[0].b: NaN and Infinity have no JSON form"),
            ({}, {"a": b"x"}, None, "'msg'.a: JSON has no form for bytes"),
            ({}, {"a": object()}, None, "'msg'.a: "),
            ({}, ring, None, "nested deeper than 200 levels, or holds itself"),
            ({}, 1, "order-\U0001f355", "idempotency_key must be"),
            ({}, 1, "two\nlines", "idempotency_key must be"),
        ):
            with self.assertRaises((ParamsInvalid, BodyInvalid)) as refused:
                publisher.publish("chat", params, "msg", data, idempotency_key=key)  # type: ignore[arg-type]
            self.assertIn(said, str(refused.exception))
        with self.assertRaises(BodyInvalid) as wrong:
            publisher.publish_many("chat", None, [("msg", 1), ("msg",)])  # type: ignore[list-item]
        self.assertIn("messages[1] must be a pair", str(wrong.exception))
