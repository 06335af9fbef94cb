"""A channel that keeps the newest message of each key, through a whole server in memory."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Newest, define_channel
from takotwist.errors import BodyInvalid, TooManyKeys
from takotwist.testing.memory_socket import MemorySocket
from takotwist.testing.world import World
from takotwist.trampoline import started

PRICES = "/channels/prices"


class Price(msgspec.Struct):
    symbol: str
    price: int


class Gone(msgspec.Struct):
    symbol: str


def prices(**more: Any) -> Any:
    said = {"newest": Newest(key="symbol", max_keys=3), "replay_window": 60, **more}
    return define_channel("prices", messages={"price": Price, "gone": Gone}, **said)


class NewestCase(SynchronousTestCase):
    """A server with a channel of prices."""

    def setUp(self) -> None:
        self.channel = prices()
        self.world = World(self.channel, define_channel("news", forward_unhandled=True))

    def price(self, symbol: str, price: int) -> str:
        stored = self.world.publish(PRICES, "price", {"symbol": symbol, "price": price})
        return str(stored["id"])

    def delete(self, symbol: str) -> None:
        gone = {"type": "gone", "data": {"symbol": symbol}, "delete": True}
        self.assertEqual(self.post(gone).status, 200)

    def post(self, body: object, target: str = PRICES) -> Any:
        return self.world.request("POST", target, body=body, private=True)

    def state(self, cursor: str = "0") -> list[tuple[str, ...]]:
        """What a new reader is given: symbols with prices, and those that are gone."""
        reader = self.world.subscribe(f"{PRICES}?last_message_id={cursor}")
        self.assertEqual(reader.status, 200)
        return [tuple(map(str, one["data"].values())) for one in reader.messages]


class KeepingTests(NewestCase):
    """What is kept, and what ends it."""

    def test_newest_of_each(self) -> None:
        """A reader from the beginning gets the newest of each key, however old it is."""
        for symbol, price in [("A", 1), ("B", 2), ("A", 3), ("A", 4)]:
            self.price(symbol, price)
        self.world.advance(600)
        self.assertEqual(self.state(), [("B", "2"), ("A", "4")])

    def test_live(self) -> None:
        """Who is there gets each message, and who was away the newest of each at least."""
        reader = self.world.subscribe(PRICES)
        cursor = self.price("A", 1)
        for price in (2, 3):
            self.price("A", price)
        self.assertEqual([one["data"]["price"] for one in reader.messages], [1, 2, 3])
        self.assertEqual(self.state(cursor)[-1], ("A", "3"))
        # Nothing of it is in memory any more.
        self.world.advance(61)
        self.assertEqual(self.state(cursor), [("A", "3")])

    def test_deleted(self) -> None:
        """A key that is deleted is told of for the window; older cursors are too old then."""
        old = self.price("A", 1)
        self.price("B", 2)
        self.delete("A")
        self.assertEqual(self.state(), [("B", "2"), ("A",)])
        self.assertEqual(self.state(old), [("B", "2"), ("A",)])
        self.world.advance(120)
        self.assertEqual(self.state(), [("B", "2")])
        answer = self.world.subscribe(f"{PRICES}?last_message_id={old}")
        self.assertEqual((answer.status, answer.code), (410, "replay-too-old"))

    def test_one_for_all(self) -> None:
        """Without keys the newest message alone is kept."""
        world = World(define_channel("clock", newest=True))
        for tick in range(3):
            world.publish("/channels/clock", "tick", tick)
        reader = world.subscribe("/channels/clock?last_message_id=0")
        self.assertEqual([one["data"] for one in reader.messages], [2])

    def test_too_many(self) -> None:
        """One key too many is refused with a word of its own; those that are there go on, and
        one that is deleted makes room."""
        for symbol in "ABC":
            self.price(symbol, 1)
        body = {"type": "price", "data": {"symbol": "D", "price": 1}}
        answer = self.post(body)
        self.assertEqual((answer.status, answer.code), (409, "too-many-keys"))
        self.price("A", 2)
        # Again and again by the same connection's head, as publishers do.
        for status in (409, 409):
            self.assertEqual(self.post(body).status, status)
        self.delete("B")
        self.price("D", 1)
        self.assertEqual(self.state(), [("C", "1"), ("A", "2"), ("B",), ("D", "1")])


class SlowReaderTests(NewestCase):
    """A reader that stops reading, of a channel that conflates and of one that does not."""

    def read_again(self, *, conflate: bool) -> list[int]:
        world = World(prices(newest=Newest(key="symbol", conflate=conflate)))
        reader = world.subscribe(PRICES)
        reader.stop_reading()
        for price in range(50):
            for symbol in "AB":
                data = {"symbol": symbol, "price": price}
                world.publish(PRICES, "price", data)
        self.assertEqual(reader.messages, [])
        reader.read_on()
        self.assertFalse(reader.ended)
        ids = [int(one["id"]) for one in reader.messages]
        self.assertEqual(ids, sorted(set(ids)))
        self.assertEqual([one["data"]["price"] for one in reader.messages[-2:]], [49, 49])
        world.publish(PRICES, "price", {"symbol": "A", "price": 50})
        return [one["data"]["price"] for one in reader.messages]

    def test_conflates(self) -> None:
        """It has what is, and not what was, and then what follows."""
        self.assertLess(len(self.read_again(conflate=True)), 8)

    def test_does_not(self) -> None:
        """It has each that is in memory."""
        prices = self.read_again(conflate=False)
        self.assertEqual(sorted(prices), sorted([*range(50), *range(50), 50]))


class PublishingTests(NewestCase):
    """How a key is said."""

    def test_said(self) -> None:
        """A key beside the data stands for the field."""
        channel = define_channel("state", newest=True)
        world = World(channel)
        for data, key in [(1, "a"), (2, "b"), (3, "a")]:
            body = {"type": "set", "data": data, "key": key}
            world.request("POST", "/channels/state", body=body, private=True)
        bound = channel()
        self.successResultOf(started(bound.publish("set", 4, key="b")))
        self.successResultOf(started(bound.publish("set", 5, key="c")))
        self.successResultOf(started(bound.publish("unset", None, key="a", delete=True)))
        reader = world.subscribe("/channels/state?last_message_id=0")
        self.assertEqual([one["data"] for one in reader.messages], [4, 5, None])

    def test_typed(self) -> None:
        """An app publishes its own types, and their key is where the channel says."""
        bound = self.channel()
        self.successResultOf(started(bound.publish_many([Price("A", 1), Price("B", 2)])))
        self.successResultOf(started(bound.publish(Gone("A"), delete=True)))
        self.assertEqual(self.state(), [("B", "2"), ("A",)])
        for symbol in "CD":
            self.successResultOf(started(bound.publish(Price(symbol, 1))))
        self.failureResultOf(started(bound.publish(Price("E", 1))), TooManyKeys)

    def test_refused(self) -> None:
        """A key that cannot be, and a key where there are none, are named."""
        for body, target, word in [
            ({"type": "price", "data": {"symbol": "", "price": 1}}, PRICES, "key: must have 1"),
            ({"type": "x", "data": 1, "key": "a"}, "/channels/news", "key: the messages"),
            ({"type": "x", "data": 1, "delete": True}, "/channels/news", "key: the messages"),
            ({"type": "x", "data": 1, "key": 5}, "/channels/news", "key"),
        ]:
            answer = self.post(body, target)
            self.assertEqual((answer.status, answer.code), (400, "body-invalid"))
            self.assertIn(word, answer.json["error"])
        news = define_channel("news")
        World(news)
        self.failureResultOf(started(news().publish("x", 1, key="a")), BodyInvalid)

    def test_by_a_client(self) -> None:
        """What a client sends is kept by the key that the channel names."""
        world = World(prices(forward_unhandled=True))
        socket: MemorySocket = world.connect(PRICES, subprotocol="tako.v1")
        for price in (1, 2):
            data = {"symbol": "A", "price": price}
            socket.say({"ref": price, "type": "price", "data": data})
        reader = world.subscribe(f"{PRICES}?last_message_id=0")
        self.assertEqual([one["data"]["price"] for one in reader.messages], [2])
