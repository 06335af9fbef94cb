"""Streamed messages of a server in memory, over HTTP: who may do what, and what all are told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct
from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Grant, define_channel
from takotwist.adapters.memory import InMemoryReplayLog
from takotwist.adapters.memory.node import MemoryNode, MemoryStore
from takotwist.app.channel import Channel
from takotwist.core.durable_stream import WRITER, End, Producer
from takotwist.core.stream_change import Write
from takotwist.core.streamed_message import stream_of
from takotwist.core.topic import Topic
from takotwist.flow.publish import PublisherService
from takotwist.server.config import Config
from takotwist.server.config.listeners import Http
from takotwist.server.config.sections import Publish
from takotwist.server.config.streams import Streams
from takotwist.testing.memory_peer import HttpPeer
from takotwist.testing.world import World, WorldClock

KEY = "a-publish-key-of-32-characters-or"
ALLOWED = {"Authorization": f"Bearer {KEY}"}
PAGE = "https://app.example"
ROOM = {"type": "object", "properties": {"roomId": {"type": "string"}}, "required": ["roomId"]}


def open_channel(**more: Any) -> Channel[Any]:
    """Anybody may follow it."""
    return define_channel("chat", params=ROOM, **more)


def closed_channel(asked: list[str]) -> Channel[Any]:
    """Ann may do everything, Bob may follow."""
    channel = define_channel("chat", params=ROOM)

    @channel.verify(header="x-user")
    def verify(request: Any) -> Grant | bool:
        asked.append(request.operation)
        who = request.header.value
        if who == "ann" or (who == "bob" and request.operation != "cancel"):
            return Grant(subject=who, expires_at=1_763_700_100.0)
        return False

    return channel


class Here:
    """A server with a channel, and one message of it."""

    def __init__(self, channel: Channel[Any] | None = None, **more: Any) -> None:
        streams = {name: more.pop(name) for name in list(more) if name.startswith("message_")}
        config = Config(
            publish=Publish(keys=(KEY,)),
            http=Http(allowed_origins=(PAGE,)),
            streams=Streams(**streams),
        )
        self.world = World(channel or open_channel(), config=config, **more)

    @staticmethod
    def target(name: str = "b7c1", query: str = "") -> str:
        """An address."""
        return f"/channels/chat/streams/{name}?roomId=lobby{query}"

    def open(self, name: str = "b7c1", key: str = "k1", **said: object) -> HttpPeer:
        """Open a message."""
        headers = {**ALLOWED, "Idempotency-Key": key}
        body = {"type": "answer", **said}
        return self.world.request("PUT", self.target(name), headers, body)

    def write(
        self, seq: int, *values: object, epoch: int = 0, name: str = "b7c1", **more: str
    ) -> HttpPeer:
        """Append; `more` are further headers, with _ for -."""
        said = {"Producer-Id": "writer", "Producer-Epoch": str(epoch), "Producer-Seq": str(seq)}
        extra = {key.replace("_", "-"): text for key, text in more.items()}
        headers = {**ALLOWED, "Content-Type": "application/json", **said, **extra}
        body = list(values) if values else b""
        return self.world.request("POST", self.target(name), headers, body)

    def end(self, seq: int, *values: object, **more: Any) -> HttpPeer:
        """Append and end."""
        return self.write(seq, *values, Stream_Closed="true", **more)

    def read(self, query: str = "", headers: Mapping[str, str] | None = None) -> HttpPeer:
        """Read what there is, or what comes."""
        return self.world.get(self.target(query=query), headers)

    def cancel(self, headers: Mapping[str, str] = ALLOWED) -> HttpPeer:
        """Cancel it."""
        return self.world.request("DELETE", self.target(), headers)

    def history(self) -> list[Any]:
        """Data of the topic's messages."""
        answer = self.world.get("/channels/chat/history?roomId=lobby", private=True)
        return [one["data"] for one in answer.json["messages"]]  # type: ignore[index]


class StoryTests(SynchronousTestCase):
    """One message, from its opening to its end."""

    def test_written_and_read(self) -> None:
        """A reader has what is there, then what comes, then the end; history has one message."""
        here = Here()
        topic = here.world.subscribe("/channels/chat?roomId=lobby")
        opened = here.open(meta={"question": 7})
        self.assertEqual((opened.status, opened.json["epoch"]), (201, 0))  # type: ignore[index]
        here.write(0, "Hel", "lo")
        live = here.read("&offset=-1&live=sse")
        here.write(1, ", Ada")
        ended = here.end(2, ".")
        self.assertEqual((ended.status, ended.headers["stream-end"]), (200, "ended"))
        data = [json.loads(one) for one in data_of(live)]
        self.assertEqual(data, [["Hel", "lo"], [", Ada"], ["."]])
        self.assertTrue(live.ended)
        self.assertIn(b'"streamClosed":true,"streamEnd":"ended"', live.body)
        first, last = (one["data"] for one in topic.messages)
        stream = {"id": "b7c1", "state": "open"}
        self.assertEqual(first, {"stream": stream, "text": "", "meta": {"question": 7}})
        stream = {"id": "b7c1", "state": "ended", "opened": topic.messages[0]["id"]}
        self.assertEqual(last["stream"], stream)
        self.assertEqual((last["text"], last["meta"]), ("Hello, Ada.", {"question": 7}))
        self.assertEqual(here.history(), [last])

    def test_sent_again(self) -> None:
        """Each request without an answer counts once, and is told the same."""
        here = Here()
        topic = here.world.subscribe("/channels/chat?roomId=lobby")
        self.assertEqual([here.open().status for _ in range(2)], [201, 200])
        for number in range(3):
            answers = [here.write(number, f"{number} ").json for _ in range(2)]
            self.assertEqual(answers, [{}, {"repeated": True}])
        for expected in ({}, {"repeated": True}):
            self.assertEqual(here.end(3, "end").json, expected)
        self.assertEqual(len(topic.messages), 2)
        self.assertEqual(here.read().json, ["0 ", "1 ", "2 ", "end"])
        self.assertEqual(here.history()[0]["text"], "0 1 2 end")

    def test_values(self) -> None:
        """Of a stream of values the final message has a list."""
        here = Here()
        here.open(of="values")
        here.write(0, {"a": 1}, [2], None)
        here.end(1)
        self.assertEqual(here.history()[0]["items"], [{"a": 1}, [2], None])
        self.assertNotIn("text", here.history()[0])

    def test_second_writer(self) -> None:
        """Takes it over where it says so; the first one's words are refused."""
        here = Here()
        here.open()
        here.write(0, "one ")
        self.assertEqual(told(here.open(key="k2")), (409, "stream-different"))
        taken = here.open(key="k2", resume=True)
        self.assertEqual((taken.status, taken.json["epoch"], taken.json["size"]), (200, 1, 6))  # type: ignore[index]
        self.assertEqual(told(here.write(1, "no")), (403, "stream-taken"))
        self.assertEqual(told(here.write(1, Stream_Renew="true")), (403, "stream-taken"))
        here.write(0, "two", epoch=1)
        here.end(1, epoch=1)
        self.assertEqual(here.history()[0]["text"], "one two")
        self.assertEqual(told(here.open(key="k3", resume=True)), (409, "stream-ended"))

    def test_cancelled(self) -> None:
        """At once for readers and writer; what was written stays."""
        here = Here()
        here.open()
        here.write(0, "He")
        live = here.read("&offset=-1&live=sse")
        poll = here.read("&offset=now&live=long-poll")
        self.assertEqual(here.cancel().headers["stream-end"], "cancelled")
        self.assertEqual((live.ended, poll.status), (True, 204))
        self.assertEqual(poll.headers["stream-end"], "cancelled")
        late = here.end(1, "llo")
        self.assertEqual(told(late), (409, "stream-ended"))
        self.assertEqual(late.headers["stream-end"], "cancelled")
        self.assertEqual(here.history()[0]["stream"]["state"], "cancelled")
        self.assertEqual(here.history()[0]["text"], "He")
        self.assertEqual(here.cancel().headers["stream-end"], "cancelled")

    def test_failed(self) -> None:
        """With a sentence for people."""
        here = Here()
        here.open()
        here.end(0, "He", Stream_End="failed", Stream_Error="No%20more%20%E2%82%AC.")
        stream = here.history()[0]["stream"]
        self.assertEqual((stream["state"], stream["reason"]), ("failed", "failed"))
        self.assertEqual(stream["error"], "No more €.")
        self.assertEqual(here.read().headers["stream-end-reason"], "failed")

    def test_listed(self) -> None:
        """For who comes in the middle: what is open in this topic."""
        here = Here()
        for name in ("b", "a"):
            here.open(name, f"k {name}", meta={"of": name})
        here.world.advance(1)
        listed = here.world.get("/channels/chat/streams?roomId=lobby").json
        self.assertEqual([one["id"] for one in listed["streams"]], ["b", "a"])  # type: ignore[index]
        self.assertEqual(listed["streams"][0]["meta"], {"of": "b"})  # type: ignore[index]
        here.end(0, name="b")
        other = here.world.get("/channels/chat/streams?roomId=attic").json
        self.assertEqual(other, {"streams": []})
        listed = here.world.get("/channels/chat/streams?roomId=lobby").json
        self.assertEqual([one["id"] for one in listed["streams"]], ["a"])  # type: ignore[index]

    def test_browser_comes_back(self) -> None:
        """An EventSource goes on at its last id, and is stopped after the end."""
        here = Here()
        here.open()
        here.write(0, "one")
        first = here.read("&offset=-1&live=sse")
        last = [one for one in first.body.decode().split("\n") if one.startswith("id: ")][-1][4:]
        here.write(1, "two")
        again = here.read("&offset=-1&live=sse", {"Last-Event-ID": last})
        self.assertEqual([json.loads(one) for one in data_of(again)], [["two"]])
        here.end(2)
        place = here.read().headers["stream-next-offset"]
        over = here.read("&offset=-1&live=sse", {"Last-Event-ID": place})
        self.assertEqual((over.status, over.headers["stream-end"]), (204, "ended"))
        bad = here.read("&offset=-1&live=sse", {"Last-Event-ID": "x"})
        self.assertEqual(told(bad), (400, "cursor-invalid"))

    def test_kept_for_a_while(self) -> None:
        """Then it is gone for good, from the log too, and one of its id replaces nothing."""
        here = Here(message_kept_seconds=60.0)
        here.open()
        here.end(0, "one")
        here.world.advance(59)
        self.assertEqual(here.read().json, ["one"])
        here.world.advance(200)
        self.assertEqual(told(here.read()), (404, "not-found"))
        here.open(key="k2")
        here.end(0, "two")
        self.assertEqual([one["text"] for one in here.history()], ["one", "two"])


class RightsTests(SynchronousTestCase):
    """Who may."""

    def test_app_decides(self) -> None:
        """Reading is asked as a subscription, cancelling as itself; a key needs no asking."""
        asked: list[str] = []
        here = Here(closed_channel(asked))
        self.assertEqual(here.open().status, 201)
        self.assertEqual(asked, [])
        bob = {"X-User": "bob"}
        self.assertEqual(here.read(headers=bob).status, 200)
        self.assertEqual(told(here.cancel(bob)), (403, "verify-rejected"))
        listed = here.world.get("/channels/chat/streams?roomId=lobby", bob)
        self.assertEqual((listed.status, asked), (200, ["subscribe", "cancel", "subscribe"]))
        self.assertEqual(told(here.read(headers={"X-User": "eve"})), (403, "verify-rejected"))
        self.assertEqual(told(here.read()), (401, "credentials-missing"))
        self.assertEqual(told(here.cancel({})), (401, "credentials-missing"))
        self.assertEqual(here.cancel({"X-User": "ann"}).status, 204)

    def test_grant_that_ends(self) -> None:
        """Ends the reading, as it ends a subscription."""
        here = Here(closed_channel([]), message_lease_seconds=600.0)
        here.open()
        live = here.read("&offset=-1&live=sse", {"X-User": "bob"})
        here.world.advance(40)
        self.assertFalse(live.ended)
        here.world.advance(61)
        self.assertTrue(live.ended)

    def test_public(self) -> None:
        """Everybody reads; only a key writes and cancels."""
        here = Here()
        headers = {"Idempotency-Key": "k"}
        for method in ("PUT", "POST", "DELETE"):
            peer = here.world.request(method, here.target(), headers, {"type": "answer"})
            self.assertEqual(told(peer), (401, "credentials-missing"), method)
        here.open()
        self.assertEqual(here.read().json, [])
        self.assertEqual(here.world.request("DELETE", here.target(), private=True).status, 204)

    def test_pages(self) -> None:
        """One of an allowed origin may read and cancel, and see the protocol's fields."""
        here = Here()
        wanted = {"Origin": PAGE, "Access-Control-Request-Method": "DELETE"}
        preflight = here.world.request("OPTIONS", here.target(), wanted)
        self.assertIn("DELETE", preflight.headers["access-control-allow-methods"])
        here.open()
        answer = here.read(headers={"Origin": PAGE})
        self.assertEqual(answer.headers["access-control-allow-origin"], PAGE)
        self.assertIn("Stream-End", answer.headers["access-control-expose-headers"])
        other = here.read(headers={"Origin": "https://evil.example"})
        self.assertEqual(told(other), (403, "origin-rejected"))


class BadInputTests(SynchronousTestCase):
    """What cannot be done."""

    def test_refused(self) -> None:
        """Says what is wrong, and stores nothing."""
        here = Here()
        here.open()
        for peer, expected in (
            (here.write(1, "x"), (409, "stream-gap")),
            (here.write(0, 1), (400, "body-invalid")),
            (here.write(0), (400, "body-invalid")),
            (here.write(0, "x", Producer_Id="me"), (400, "body-invalid")),
            (here.write(0, "x", Producer_Seq="-1"), (400, "body-invalid")),
            (here.write(0, "x", Content_Type="text/plain"), (400, "body-invalid")),
            (here.end(0, Stream_End="cancelled"), (400, "body-invalid")),
            (here.end(0, Stream_Error="x"), (400, "body-invalid")),
            (here.end(0, Stream_End="failed", Stream_Error="x" * 201), (400, "body-invalid")),
            (here.end(0, Stream_End="failed", Stream_Error="%ff"), (400, "body-invalid")),
            (here.write(0, "x", name="other"), (404, "not-found")),
            (here.write(0, "x", name="a%20b"), (404, "not-found")),
            (here.write(0, "x", name="a/b"), (404, "not-found")),
            (here.write(0, "x", name=".."), (404, "not-found")),
            (here.open("b", key=""), (400, "body-invalid")),
            (here.open("b", type="tako.x"), (400, "body-invalid")),
            (here.open("b", of="bytes"), (400, "body-invalid")),
            (here.open("b", meta="x" * 4096), (413, "message-too-large")),
            (here.read("&offset=5"), (400, "params-invalid")),
            (here.read("&offset=9000000000000000"), (400, "cursor-invalid")),
            (here.read("&offset=0000000000000001"), (410, "replay-too-old")),
            (here.world.request("PATCH", here.target()), (405, "method-not-allowed")),
        ):
            self.assertEqual(told(peer), expected, peer.body)
        self.assertEqual(here.read().json, [])
        self.assertEqual(len(here.history()), 1)

    def test_number_that_is_missing(self) -> None:
        """Is named."""
        here = Here()
        here.open()
        self.assertEqual(here.write(4, "x").headers["producer-expected-seq"], "0")

    def test_too_large(self) -> None:
        """What fits may still come, and the end."""
        here = Here(message_bytes=1024)
        here.open()
        here.write(0, "x" * 1000)
        self.assertEqual(told(here.write(1, "y" * 100)), (413, "message-too-large"))
        self.assertEqual(here.write(1, "z").status, 200)
        self.assertEqual(here.end(2).status, 200)
        self.assertEqual(here.history()[0]["text"], "x" * 1000 + "z")

    def test_too_many(self) -> None:
        """Of one topic; one that ends makes room."""
        here = Here(message_open=2)
        for name in "ab":
            here.open(name, name)
        self.assertEqual(told(here.open("c", "c")), (503, "overloaded"))
        self.assertEqual(here.open("a", "a").status, 200)
        here.end(0, name="a")
        self.assertEqual(here.open("c", "c").status, 201)

    def test_declared_messages(self) -> None:
        """The type must be among them, and both messages fit."""

        class Answer(Struct):
            stream: dict[str, str]
            text: Annotated[str, Meta(max_length=3)]

        here = Here(open_channel(messages={"answer": Answer, "msg": str}))
        self.assertEqual(told(here.open(type="other")), (400, "body-invalid"))
        self.assertEqual(told(here.open(type="msg")), (400, "body-invalid"))
        self.assertEqual(here.open().status, 201)

    def test_unknown(self) -> None:
        """No such channel, no such param."""
        world = Here().world
        self.assertEqual(told(world.get("/channels/other/streams/a")), (404, "channel-unknown"))
        self.assertEqual(told(world.get("/channels/chat/streams/a?x=1")), (400, "params-invalid"))
        self.assertEqual(told(world.get("/channels/chat/streams/")), (404, "not-found"))


class GoneTests(SynchronousTestCase):
    """Writers and servers that go."""

    def test_writer_gone(self) -> None:
        """Its message ends as failed, once, after its lease; one that says it is there goes on."""
        here = Here()
        topic = here.world.subscribe("/channels/chat?roomId=lobby")
        here.open()
        here.write(0, "He")
        for _ in range(5):
            here.world.advance(10)
            self.assertEqual(here.write(0, Stream_Renew="true").status, 200)
        live = here.read("&offset=-1&live=sse")
        here.world.advance(14)
        self.assertFalse(live.ended)
        here.world.advance(3)
        self.assertTrue(live.ended)
        self.assertIn(b'"streamEnd":"failed","streamEndReason":"writer-gone"', live.body)
        here.world.advance(100)
        [_, last] = [one["data"] for one in topic.messages]
        self.assertEqual(last["stream"]["reason"], "writer-gone")
        self.assertEqual(last["text"], "He")
        late = here.write(1, "llo")
        self.assertEqual(late.headers["stream-end-reason"], "writer-gone")

    def test_too_long(self) -> None:
        """However often its writer is heard."""
        here = Here(message_seconds=60.0)
        here.open()
        for _ in range(12):
            here.world.advance(6)
            here.write(0, Stream_Renew="true")
        self.assertEqual(here.history()[0]["stream"]["reason"], "too-long")

    def test_server_gone(self) -> None:
        """The next one gives the writer its lease anew, and ends what nobody writes any more."""
        clock = WorldClock()
        clock.rightNow = 1_763_700_000.0
        log = InMemoryReplayLog(clock)
        first = Here(log=log, clock=clock)
        for name in "ab":
            first.open(name, name)
            first.write(0, "one ", name=name)
        first.world.parts.streamed.messages.stop()
        clock.advance(3600 - 100)
        second = Here(log=log, clock=clock)
        second.world.advance(10)
        self.assertEqual(second.write(1, "two", name="a").status, 200)
        second.world.advance(10)
        [open_now] = second.world.get("/channels/chat/streams?roomId=lobby").json["streams"]  # type: ignore[index]
        self.assertEqual(open_now["id"], "a")
        second.end(2, name="a")
        states = {one["stream"]["id"]: one["stream"]["state"] for one in second.history()}
        self.assertEqual(states, {"a": "ended", "b": "failed"})

    def test_ended_without_a_final_message(self) -> None:
        """A server that went in between: the next one stores it."""
        clock = WorldClock()
        clock.rightNow = 1_763_700_000.0
        log = InMemoryReplayLog(clock)
        first = Here(log=log, clock=clock)
        first.open()
        messages = first.world.parts.streamed.messages
        messages.stop()
        producer = Producer(WRITER, 0, 0)
        end = Write(b'["all of it"]', "application/json", True, producer, how=End("ended"))
        stream = stream_of(Topic.of("chat", {"roomId": "lobby"}), "b7c1")
        self.successResultOf(messages.streams.change(stream, end))
        self.assertEqual(first.history()[0]["stream"]["state"], "open")
        second = Here(log=log, clock=clock)
        topic = second.world.subscribe("/channels/chat?roomId=lobby")
        second.world.advance(60)
        [last] = [one["data"] for one in topic.messages]
        self.assertEqual((last["stream"]["state"], last["text"]), ("ended", "all of it"))
        self.assertEqual(second.history(), [last])

    def test_ended_before_its_opening_message(self) -> None:
        """By a page that knew its id: the final message is the last one all the same."""
        here = Here()
        messages = here.world.parts.streamed.messages
        publish, cancelled = PublisherService.publish, list[bool]()

        def cancelling(service: PublisherService, topic: Topic, *more: Any, **named: Any) -> Any:
            if topic.channel == "chat" and not cancelled:
                cancelled.append(True)
                self.successResultOf(ensureDeferred(messages.cancel(topic, "b7c1")))
            return publish(service, topic, *more, **named)

        self.patch(PublisherService, "publish", cancelling)
        self.assertEqual(here.open().status, 201)
        self.assertEqual(told(here.write(0, "x")), (409, "stream-ended"))
        self.assertEqual([one["stream"]["state"] for one in here.history()], ["cancelled"])
        self.assertEqual(len(messages.open_messages), 0)

    def test_nothing_stays(self) -> None:
        """Of what has ended."""
        here = Here()
        for name in "abc":
            here.open(name, name)
            here.end(0, "x", name=name)
        self.assertEqual(len(here.world.parts.streamed.messages.open_messages), 0)


class NodeTests(SynchronousTestCase):
    """Two nodes that share a store."""

    def setUp(self) -> None:
        clock = WorldClock()
        clock.rightNow = 1_763_700_000.0
        log = InMemoryReplayLog(clock)
        self.successResultOf(log.start())
        store = MemoryStore(log)
        self.one, self.two = (
            Here(log=MemoryNode(store, name), clock=clock) for name in ("one", "two")
        )

    def test_written_by_both(self) -> None:
        """Opened here, written there, read on both, ended there: once."""
        topics = [
            one.world.subscribe("/channels/chat?roomId=lobby") for one in (self.one, self.two)
        ]
        self.assertEqual(self.one.open().status, 201)
        self.assertEqual(self.two.open().status, 200)
        live = [one.read("&offset=-1&live=sse") for one in (self.one, self.two)]
        for number in range(6):
            here = (self.one, self.two)[number % 2]
            self.assertEqual(here.write(number, f"{number} ").json, {})
        self.assertEqual(self.two.end(6).status, 200)
        self.assertEqual(self.one.end(6).json, {"repeated": True})
        for peer in live:
            text = "".join(word for one in data_of(peer) for word in json.loads(one))
            self.assertEqual((text, peer.ended), ("0 1 2 3 4 5 ", True))
        for topic in topics:
            states = [one["data"]["stream"]["state"] for one in topic.messages]
            self.assertEqual(states, ["open", "ended"])

    def test_found_by_both(self) -> None:
        """A writer that has gone is said once."""
        topic = self.two.world.subscribe("/channels/chat?roomId=lobby")
        self.one.open()
        self.one.world.advance(60)
        states = [one["data"]["stream"]["state"] for one in topic.messages]
        self.assertEqual(states, ["open", "failed"])

    def test_listed_by_both(self) -> None:
        """What another node has opened."""
        self.one.open()
        for here in (self.one, self.two):
            listed = here.world.get("/channels/chat/streams?roomId=lobby").json
            self.assertEqual([one["id"] for one in listed["streams"]], ["b7c1"])  # type: ignore[index]
        self.two.cancel()
        self.assertEqual(told(self.one.write(0, "x")), (409, "stream-ended"))
        listed = self.one.world.get("/channels/chat/streams?roomId=lobby").json
        self.assertEqual(listed, {"streams": []})


def told(peer: HttpPeer) -> tuple[int, str]:
    """Status and code."""
    said: Any = peer.json
    return peer.status, said["code"]


def data_of(peer: HttpPeer) -> list[str]:
    """Of the data events of an event stream."""
    blocks = [one for one in peer.body.decode().split("\n\n") if "event: data\n" in one]
    return [one.partition("data:")[2] for one in blocks]
