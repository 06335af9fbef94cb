"""What streamed messages promise on any replay log, as tests."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import ensureDeferred

from takotwist.core.channel import ChannelDefinition, Defined, Registry
from takotwist.core.durable_stream import WRITER, About, End, Producer
from takotwist.core.params import Params
from takotwist.core.stream_change import Decision, Result, Write
from takotwist.core.streamed_message import stream_of
from takotwist.core.topic import Topic
from takotwist.errors import StreamEnded, StreamGap, StreamTaken
from takotwist.flow.publish import at_once
from takotwist.flow.streamed_messages import Opened, StreamedMessages
from takotwist.server.compose_messages import compose_messages
from takotwist.server.compose_sentences import compose_sentences
from takotwist.server.config import Config
from takotwist.server.reloadable import Reloadable
from tests.contracts.replay_log import ReplayLogContract

_ROOM = {"type": "object", "properties": {"roomId": {"type": "string"}}, "required": ["roomId"]}
_CHAT = ChannelDefinition(name="chat", params=Params.of(_ROOM))

TOPIC = Topic.of("chat", {"roomId": "lobby"})


class StreamedMessagesContract(ReplayLogContract):
    """The tests."""

    def server(self) -> StreamedMessages:
        """The streamed messages of a server on the log as it is now."""
        config, reactor = Config(), self.clock
        registry = Registry.of([Defined(_CHAT, "here", True)])
        nobody: Any = None
        clock: Any = reactor
        sentences = compose_sentences(
            config,
            Reloadable.of(config),
            registry,
            nobody,
            self.log,
            None,
            at_once,
            reactor=clock,
            wall=reactor.seconds,
        )
        self.successResultOf(self.log.start(sentences.follower))
        composed = compose_messages(
            config.streams, sentences, wall=reactor.seconds, random=lambda: 0.5
        )
        return composed.messages

    def later(self, seconds: float) -> None:
        """Have time pass, for the store too."""
        self.clock.rightNow += seconds

    def open(self, messages: StreamedMessages, key: str = "k1", *, resume: bool = False) -> Opened:
        """Open it."""
        asked = messages.authorizing.bind(_CHAT, {"roomId": "lobby"})
        about = About("chat", {"roomId": "lobby"}, "b7c1", "answer", key)
        opening = ensureDeferred(messages.open(asked, about, resume=resume))
        opened: Opened = self.successResultOf(opening)
        return opened

    def write_soon(
        self, messages: StreamedMessages, seq: int, *words: str, epoch: int = 0, end: str = ""
    ) -> Any:
        """Append, or end."""
        body = json.dumps(words).encode() if words else b""
        producer, how = Producer(WRITER, epoch, seq), End(end) if end else None
        write = Write(body, "application/json", bool(end), producer, how=how)
        return ensureDeferred(messages.write(TOPIC, "b7c1", write))

    def write(self, messages: StreamedMessages, seq: int, *words: str, **more: Any) -> Decision:
        """The same, when it is stored."""
        decision: Decision = self.successResultOf(self.write_soon(messages, seq, *words, **more))
        return decision

    def topic(self) -> list[Any]:
        """Data of the topic's messages."""
        return [json.loads(one.data) for one in self.read(TOPIC).messages]

    def test_streamed_message(self) -> None:
        """The final message takes the place of the opening one, and has all of the text."""
        messages = self.server()
        self.assertEqual(self.open(messages).epoch, 0)
        self.assertEqual(self.topic()[0]["stream"], {"id": "b7c1", "state": "open"})
        for number in range(20):
            self.assertIs(self.write(messages, number, f"{number} ").result, Result.APPENDED)
            self.assertIs(self.write(messages, number, f"{number} ").result, Result.REPEATED)
        self.write(messages, 20, end="ended")
        [last] = self.topic()
        self.assertEqual(last["text"], "".join(f"{number} " for number in range(20)))
        self.assertEqual(last["stream"]["state"], "ended")
        self.assertEqual(len(messages.open_messages), 0)

    def test_streamed_at_once(self) -> None:
        """Requests that wait together are stored in their order."""
        messages = self.server()
        self.open(messages)
        waiting = [self.write_soon(messages, number, f"{number} ") for number in range(30)]
        waiting.append(self.write_soon(messages, 30, end="ended"))
        for one in waiting:
            self.successResultOf(one)
        self.assertEqual(self.topic()[0]["text"], "".join(f"{number} " for number in range(30)))

    def test_streamed_over_a_restart(self) -> None:
        """What was acknowledged is there, and its numbers; the writer goes on."""
        messages = self.server()
        self.open(messages)
        self.write(messages, 0, "one ")
        messages.stop()
        self.restart()
        messages = self.server()
        messages.start()
        self.assertIs(self.write(messages, 0, "one ").result, Result.REPEATED)
        self.failureResultOf(self.write_soon(messages, 2, "no"), StreamGap)
        self.write(messages, 1, "two", end="ended")
        self.assertEqual([one["text"] for one in self.topic()], ["one two"])
        messages.stop()

    def test_streamed_by_two(self) -> None:
        """Who takes it over locks the first one out, whatever server each has asked."""
        messages = self.server()
        self.open(messages)
        self.write(messages, 0, "one ")
        self.assertEqual(self.open(messages, "k2", resume=True).epoch, 1)
        self.failureResultOf(self.write_soon(messages, 1, "no"), StreamTaken)
        self.write(messages, 0, "two", epoch=1, end="ended")
        self.failureResultOf(self.write_soon(messages, 1, "no", epoch=1), StreamEnded)
        self.assertEqual([one["text"] for one in self.topic()], ["one two"])

    def test_streamed_by_nobody(self) -> None:
        """After a restart one whose writer has gone is found, and ends once."""
        messages = self.server()
        self.open(messages)
        self.write(messages, 0, "one ")
        messages.stop()
        self.restart()
        messages = self.server()
        one = messages.open_messages.found(TOPIC, "b7c1")
        self.later(14)
        left = self.successResultOf(ensureDeferred(messages.look_after(one)))
        self.assertGreater(left, 0)
        self.later(2)
        for _ in range(2):
            self.successResultOf(ensureDeferred(messages.look_after(one)))
        [last] = self.topic()
        self.assertEqual((last["stream"]["reason"], last["text"]), ("writer-gone", "one "))
        messages.stop()

    def test_open_ones_are_found(self) -> None:
        """A server that starts knows which are open, and not those that have ended."""
        messages = self.server()
        self.open(messages)
        messages.stop()
        self.restart()
        messages = self.server()
        messages.start()
        found = self._found(messages)
        self.assertEqual([one.about.id for one in found], ["b7c1"])
        self.write(messages, 0, end="ended")
        messages.stop()
        self.restart()
        messages = self.server()
        messages.start()
        self.assertEqual(self._found(messages), [])
        self.assertIsNotNone(
            self.successResultOf(ensureDeferred(messages.streams.look(stream_of(TOPIC, "b7c1"))))
        )
        messages.stop()

    def _found(self, messages: StreamedMessages) -> list[Opened]:
        # Whatever is under way, such as following, comes before the answer.
        for _ in range(3):
            self.read(TOPIC)
        found: list[Opened] = self.successResultOf(ensureDeferred(messages.open_in(TOPIC)))
        return found
