"""Results of functions: checked, encoded, and their live objects taken out."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Coroutine
from datetime import UTC, datetime
from typing import Any, Optional
from uuid import UUID, uuid4

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist.live import BroadcastChannel, Channel, UsageError
from takotwist.live.functions.results import (
    Found,
    Returned,
    WrongResult,
    answer_json,
    take_apart,
)


class Item(msgspec.Struct):
    """One of a result."""

    name: str
    count: int = 0


def returned(kind: Any) -> Returned | None:
    """The check of a function with this return annotation."""

    def function() -> Any:
        return None

    function.__annotations__["return"] = kind
    return Returned.of(function)


class ReturnedTests(SynchronousTestCase):
    """Return annotations."""

    def check(self, kind: Any, value: Any) -> str | None:
        """Why `value` is none of `kind`; `None` where it is one."""
        check = returned(kind)
        assert check is not None
        try:
            take_apart(value, check)
        except WrongResult as wrong:
            return str(wrong)
        return None

    def test_nothing_to_check(self) -> None:
        """No annotation, and what could be anything."""

        def bare():  # type: ignore[no-untyped-def]
            return 1

        self.assertIsNone(Returned.of(bare))
        self.assertIsNone(returned(Any))
        self.assertIsNone(returned(Deferred[Any]))

    def test_waited_for(self) -> None:
        """What a plain function returns to be waited for is checked when it is there."""
        for kind in (Deferred[int], Awaitable[int], Coroutine[Any, Any, int], int):
            self.assertEqual(returned(kind), returned(int), kind)

    def test_fits(self) -> None:
        """As it is, or in the form that JSON has for it."""
        for kind, value in (
            (int, 1),
            (Optional[int], None),  # noqa: UP045
            (list[Item], [Item("a")]),
            (list[Item], [{"name": "a", "count": 2}]),
            (datetime, datetime(2026, 1, 2, tzinfo=UTC)),
            (dict[str, bytes], {"a": b"x"}),
        ):
            self.assertIsNone(self.check(kind, value), kind)

    def test_place(self) -> None:
        """A misfit names the field and the reason, and nothing of the value."""
        for kind, value, words in (
            (int, "secret", "result: Expected `int`, got `str`"),
            (list[Item], [Item("a"), {"name": 5}], "result[1].name: Expected `str`, got `int`"),
            (dict[str, int], {"a": "secret"}, "result[...]: Expected `int`, got `str`"),
        ):
            said = self.check(kind, value)
            self.assertEqual(said, words)
            self.assertNotIn("secret", said or "")

    def test_live_objects(self) -> None:
        """One stands where it is declared, and where it is not it is a misfit."""
        self.assertIsNone(self.check(BroadcastChannel, BroadcastChannel(key="k")))
        said = self.check(list[int], [BroadcastChannel(key="k")])
        self.assertIn("result[0]", said or "")
        said = self.check(BroadcastChannel, {"id": "k"})
        self.assertEqual(said, "result: Expected `BroadcastChannel`, got `dict`")


class TakeApartTests(SynchronousTestCase):
    """Encoding, with live objects taken out."""

    def test_places(self) -> None:
        """`null` stands where each was, and its path says where that is."""
        channel: Channel[Any, Any] = Channel()
        member: BroadcastChannel[Any] = BroadcastChannel(key="k")
        encoded, found = take_apart({"a": [1, channel.client], "b": (member,)})
        self.assertEqual(json.loads(encoded.data), {"a": [1, None], "b": [None]})
        self.assertEqual(found, [Found(("a", 1), channel), Found(("b", 0), member)])

    def test_alone(self) -> None:
        """One that is the whole result has the empty path."""
        channel: Channel[Any, Any] = Channel()
        encoded, found = take_apart(channel.client)
        self.assertEqual((encoded.data, found), (b"null", [Found((), channel)]))

    def test_the_channel_itself(self) -> None:
        """The server's end is no result, wherever it stands."""
        channel: Channel[Any, Any] = Channel()
        for result in (channel, [channel], {"a": channel}):
            error = self.assertRaises(UsageError, take_apart, result)
            self.assertIn("channel.client", str(error))

    def test_twice(self) -> None:
        """One client has one end: an object that stands twice is refused."""
        channel: Channel[Any, Any] = Channel()
        error = self.assertRaises(UsageError, take_apart, [channel.client, {"a": channel.client}])
        self.assertIn("stands twice in the result", str(error))

    def test_marks(self) -> None:
        """Dates and bytes are marked beside the data, and live objects do not move them."""
        channel: Channel[Any, Any] = Channel()
        when = datetime(2026, 1, 2, tzinfo=UTC)
        encoded, [found] = take_apart([channel.client, when, {"raw": b"x"}])
        self.assertEqual(json.loads(encoded.data), [None, "2026-01-02T00:00:00Z", {"raw": "eA=="}])
        self.assertEqual(
            json.loads(encoded.values),
            [{"path": [1], "kind": "date"}, {"path": [2, "raw"], "kind": "bytes"}],
        )
        self.assertEqual(found.path, (0,))

    def test_nothing_is_mistaken_for_one(self) -> None:
        """A UUID of the app's own is a text, also one beside a live object."""
        own = uuid4()
        encoded, found = take_apart([own, str(own)])
        self.assertEqual((json.loads(encoded.data), found), ([str(own), str(own)], []))
        member: BroadcastChannel[Any] = BroadcastChannel(key="k")
        encoded, found = take_apart([own, member])
        self.assertEqual(json.loads(encoded.data), [str(own), None])
        self.assertEqual([one.path for one in found], [(1,)])

    def test_no_form(self) -> None:
        """What JSON has no form for is refused with its place."""
        for result, place in (
            ({"a": [1, object()]}, "result.a[1]: "),
            ([math.nan], "result[0]: "),
            ({"n": 2**60}, "result.n: JavaScript would round"),
        ):
            with self.assertRaises((TypeError, ValueError)) as caught:
                take_apart(result)
            self.assertTrue(str(caught.exception).startswith(place), caught.exception)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.text(max_size=3) | st.uuids(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text(max_size=3), inner, max_size=3)
            ),
            max_leaves=8,
        ),
        st.integers(0, 2),
    )
    def test_all_of_them_are_found(self, plain: Any, count: int) -> None:
        """However deep: as many are found as stand in it, each path leads to a `null`, and the
        rest is as it was."""
        members: list[BroadcastChannel[Any]] = [BroadcastChannel(key="k") for _ in range(count)]
        result = {"plain": plain, "deep": [{"one": one} for one in members]}
        encoded, found = take_apart(result)
        data = json.loads(encoded.data)
        self.assertEqual([one.one for one in found], members)
        for one in found:
            at = data
            for key in one.path:
                at = at[key]
            self.assertIsNone(at)
        texts = json.loads(json.dumps(plain, default=_text))
        self.assertEqual(data["plain"], texts)


def _text(value: Any) -> str:
    assert isinstance(value, UUID)
    return str(value)


class AnswerTests(SynchronousTestCase):
    """The body of an answer."""

    def body(self, result: Any) -> Any:
        """The body for `result`."""
        return json.loads(answer_json(*take_apart(result)))

    def test_plain(self) -> None:
        """Nothing beside the result where there is nothing to say."""
        self.assertEqual(self.body([1]), {"result": [1]})
        self.assertEqual(self.body(None), {"result": None})

    def test_values(self) -> None:
        """Marks stand beside it."""
        self.assertEqual(
            self.body(b"x"), {"result": "eA==", "values": [{"path": [], "kind": "bytes"}]}
        )

    def test_live(self) -> None:
        """Each live object with its id and kind; what is not usual about it is said."""
        channel: Channel[Any, Any] = Channel(overflow="drop-oldest")
        body = self.body({"a": channel.client})
        [live] = body["live"]
        self.assertEqual(
            live,
            {
                "path": ["a"],
                "id": channel.id,
                "kind": "channel",
                "ack": channel.ack,
                "overflow": "drop-oldest",
            },
        )
        [live] = self.body(BroadcastChannel(key="k"))["live"]
        self.assertEqual(set(live), {"path", "id", "kind", "ack"})
