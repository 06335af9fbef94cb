"""Guests listen, members speak: the app is asked before a client's first frame is handled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Context, Grant, Reject, define_channel
from takotwist.adapters.authorize_http import HttpAuthorizer
from takotwist.app import wsgi
from takotwist.core.authorization import REFUSED_SECONDS
from takotwist.flow.back_pressure import MAX_FRAMES_QUEUED
from takotwist.testing.memory_socket import MemorySocket
from takotwist.testing.world import World
from tests.adapters.app_in_memory import TOKEN, client_of, wsgi_agent

ROOM = {"type": "object", "properties": {"roomId": {"type": "string"}}}
TOPIC = {"channel": "chat", "params": {"roomId": "a"}}


def held(socket: MemorySocket) -> bool:
    """Whether the server reads nothing from this client just now."""
    return socket._transport.producerState == "paused"


class Transport:
    """One client on one transport."""

    def __init__(self, world: World, token: str, act: Callable[[Callable[[], Any]], Any]) -> None:
        self.act, self.token = act, token
        self.socket: MemorySocket = act(lambda: self.open(world))

    def open(self, world: World) -> MemorySocket:
        """Connect, and follow the topic."""
        header = {"Authorization": f"Bearer {self.token}"}
        return world.connect("/channels/chat?roomId=a", header, subprotocol="tako.v1")

    def frame(self, ref: object) -> dict[str, Any]:
        """A frame to publish."""
        return {"type": "msg", "data": ref, "ref": ref}

    def speak(self, ref: object) -> None:
        """Publish."""
        self.act(lambda: self.socket.say(self.frame(ref)))

    def authenticate(self, token: str) -> None:
        """Bring new credentials."""
        frame = {"type": "tako.auth", "token": f"Bearer {token}"}
        self.act(lambda: self.socket.say(frame))

    def outcomes(self) -> list[Any]:
        """What was answered: "ack", or the code of an error."""
        return [one.get("code", one["op"]) for one in self.socket.ops if one.get("ref") is not None]


class Plain(Transport):
    """Without a subprotocol, nothing is answered."""

    def open(self, world: World) -> MemorySocket:
        return world.connect("/channels/chat?roomId=a", {"Authorization": f"Bearer {self.token}"})


class Mux(Transport):
    """On a connection with many topics, following this one."""

    def open(self, world: World) -> MemorySocket:
        socket = world.connect("/_tako/connect", subprotocol="tako.v1")
        socket.say({"op": "subscribe", "auth": f"Bearer {self.token}", **TOPIC})
        return socket

    def frame(self, ref: object) -> dict[str, Any]:
        return {"op": "publish", **super().frame(ref), **TOPIC}

    def authenticate(self, token: str) -> None:
        self.act(lambda: self.socket.say({"op": "auth", "auth": f"Bearer {token}", **TOPIC}))


class MuxWithoutFollowing(Mux):
    """On a connection with many topics, publishing only."""

    def open(self, world: World) -> MemorySocket:
        return world.connect("/_tako/connect", subprotocol="tako.v1")

    def frame(self, ref: object) -> dict[str, Any]:
        return {**super().frame(ref), "auth": f"Bearer {self.token}"}


class Case(SynchronousTestCase):
    """A world whose app is asked in one way."""

    transports: ClassVar[tuple[type[Transport], ...]] = (Plain, Transport, Mux, MuxWithoutFollowing)

    def setUp(self) -> None:
        #: What the app says to `publish`, by token; what it says to all else is yes.
        self.says: dict[str, Any] = {"member": True, "guest": False}
        self.asked: list[tuple[str, str]] = []
        self.handled: list[Context[Any]] = []
        self.world = self.make()
        logger = logging.getLogger("takotwist.app")
        logger.disabled = True
        self.addCleanup(setattr, logger, "disabled", False)

    def decide(self, request: Any) -> Any:
        """The rule of the app."""
        self.asked.append((request.header.value, request.operation))
        if request.operation != "publish":
            return Grant(subject=request.header.value)
        answer = self.says[request.header.value]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def channel(self, verify: Callable[..., Any]) -> Any:
        chat = define_channel("chat", params=ROOM)
        chat.verify(header="authorization")(verify)

        async def handle(data: Any, context: Context[Any]) -> Any:
            self.handled.append(context)
            return {"by": context.subject, "said": data}

        chat.on("msg")(handle)
        return chat

    def make(self) -> World:
        return World(self.channel(lambda request: self.decide(request)))

    def act(self, doing: Callable[[], Any]) -> Any:
        """Do something, and let all that follows from it happen."""
        return doing()

    def client(self, kind: type[Transport], token: str) -> Transport:
        self.handled.clear()
        client = kind(self.world, token, self.act)
        self.asked.clear()
        return client

    def stored(self) -> list[Any]:
        answer = self.world.get("/channels/chat/history?roomId=a", private=True)
        return [message["data"] for message in answer.json["messages"]]


class RuleTests(Case):
    """Every transport, the app's function called as it is."""

    def test_members_speak(self) -> None:
        """The app is asked once, when the first frame comes, and the handler knows for what."""
        self.says["member"] = Grant(subject="member")
        for kind in self.transports:
            client = self.client(kind, "member")
            self.assertEqual(self.asked, [], "who only listens costs nothing")
            for number in range(3):
                client.speak(number)
            self.assertEqual(self.asked, [("member", "publish")], kind)
            self.assertEqual([context.operation for context in self.handled], ["publish"] * 3)
            self.assertEqual(self.stored()[-3:], [{"by": "member", "said": n} for n in range(3)])

    def test_guests_listen(self) -> None:
        """Refused is `verify-rejected`; no handler runs, and the connection goes on."""
        for kind in self.transports:
            before = self.stored()
            client = self.client(kind, "guest")
            client.speak(1)
            self.assertEqual(client.outcomes(), [] if kind is Plain else ["verify-rejected"])
            self.assertEqual((self.handled, self.stored()), ([], before), kind)
            self.assertIsNone(client.socket.close_reason)
            message = self.world.publish("/channels/chat?roomId=a", "news", 1)
            if kind is not MuxWithoutFollowing:
                self.assertEqual(client.socket.messages[-1]["id"], message["id"])

    def test_answers(self) -> None:
        """Whatever a verify may return or raise means for a frame what it means for a connect."""
        answers = (
            (True, "ack"),
            ({"ok": True}, "ack"),
            (Grant(subject="speaker"), "ack"),
            (None, "verify-rejected"),
            (Reject("not today"), "verify-rejected"),
            (ZeroDivisionError(), "auth-unavailable"),
            ("yes", "auth-unavailable"),
        )
        for kind in (Transport, Mux, MuxWithoutFollowing):
            for answer, outcome in answers:
                self.says["some"] = answer
                client = self.client(kind, "some")
                client.speak(1)
                self.assertEqual(client.outcomes(), [outcome], (kind, answer))
                self.assertEqual(len(self.handled), outcome == "ack")
                self.assertIsNone(client.socket.close_reason)

    def test_subject(self) -> None:
        """Who speaks is whom the answer names; where it names none, who connected."""
        for answer, subject in ((True, "some"), (Grant(), "some"), (Grant(subject="x"), "x")):
            self.says["some"] = answer
            self.client(Transport, "some").speak(1)
            self.assertEqual(self.handled[0].subject, subject)

    def test_told_why(self) -> None:
        """The sentence of a `Reject` reaches the sender."""
        self.says["some"] = Reject("Members only.")
        client = self.client(Transport, "some")
        client.speak(1)
        self.assertEqual(client.socket.ops[-1]["error"], "Members only.")

    def test_logged_once(self) -> None:
        """In the plain dialect the log has the only word of it; many frames are one line."""
        lines: list[str] = []

        def note(event: Any) -> None:
            if "may not publish" in (event.get("log_format") or ""):
                lines.append(f"{event['subject']} {event['topic']}")

        globalLogPublisher.addObserver(note)
        self.addCleanup(globalLogPublisher.removeObserver, note)
        client = self.client(Plain, "guest")
        for number in range(20):
            client.speak(number)
        self.assertEqual(lines, ["guest chat?roomId=a"])
        self.assertEqual(self.asked, [("guest", "publish")])

    def test_refusal_is_kept_for_a_while(self) -> None:
        """A guest's frames are one question in ten seconds; who may speak by then, does."""
        for kind in (Transport, Mux, MuxWithoutFollowing):
            self.says["guest"] = False
            client = self.client(kind, "guest")
            client.speak(1)
            self.says["guest"] = True
            self.world.advance(REFUSED_SECONDS - 1)
            client.speak(2)
            self.assertEqual(len(self.asked), 1)
            self.world.advance(2)
            client.speak(3)
            self.assertEqual(len(self.asked), 2)
            self.assertEqual(client.outcomes()[-3:], ["verify-rejected"] * 2 + ["ack"])

    def test_refusal_is_of_these_credentials(self) -> None:
        """On a connection with many topics another frame may present others, and so may the
        connection."""
        socket = self.world.connect("/_tako/connect", subprotocol="tako.v1")
        frame = {"op": "publish", "type": "msg", "data": 1, **TOPIC}
        for ref, auth in enumerate(("guest", "member", "guest")):
            self.act(lambda ref=ref, auth=auth: socket.say({**frame, "ref": ref, "auth": auth}))
        socket = self.world.connect("/_tako/connect", subprotocol="tako.v1")
        for ref, auth in enumerate(("guest", "member")):
            socket.say({"type": "tako.auth", "token": auth})
            self.act(lambda ref=ref: socket.say({**frame, "ref": ref}))
        self.assertEqual(
            [one.get("code", one["op"]) for one in socket.ops[1:]], ["verify-rejected", "ack"]
        )

    def test_failure_is_not_kept(self) -> None:
        """An app that could not be asked is asked for the next frame."""
        self.says["member"] = ZeroDivisionError()
        client = self.client(Transport, "member")
        client.speak(1)
        self.says["member"] = True
        client.speak(2)
        self.assertEqual(client.outcomes(), ["auth-unavailable", "ack"])

    def test_new_credentials(self) -> None:
        """With new credentials the app is asked anew, in both directions."""
        for kind in (Transport, Mux):
            client = self.client(kind, "guest")
            client.speak(1)
            client.authenticate("member")
            client.speak(2)
            client.authenticate("guest")
            client.speak(3)
            answers = [one for one in client.outcomes() if one != "ack" or kind is Transport]
            self.assertEqual(answers.count("verify-rejected"), 2, answers)
            self.assertEqual([context.subject for context in self.handled], ["member"])

    def test_expired(self) -> None:
        """When a grant to publish ends the app is asked again, and the connection stays."""
        for kind in (Transport, Mux, MuxWithoutFollowing):
            self.says["member"] = Grant(expires_at=self.world.clock.seconds() + 30)
            client = self.client(kind, "member")
            client.speak(1)
            self.world.advance(29)
            client.speak(2)
            self.assertEqual(len(self.asked), 1)
            self.says["member"] = False
            self.world.advance(2)
            client.speak(3)
            self.assertEqual(len(self.asked), 2)
            self.assertEqual(client.outcomes()[-3:], ["ack", "ack", "verify-rejected"])
            self.assertIsNone(client.socket.close_reason)

    def test_lifecycle_of_the_topic(self) -> None:
        """An answer to publish changes nothing of how long the topic's messages are kept."""
        self.says["member"] = Grant(replay_window_ms=1)
        self.client(Transport, "member").speak(1)
        authorizing = self.world.parts.sessions.services.authorizing
        definition = authorizing.registry.get("chat").definition
        lifecycle = authorizing.lifecycle(definition)
        self.assertEqual(lifecycle.replay_window_ms, 600_000)

    def test_what_cannot_be_handled_is_not_asked_about(self) -> None:
        """A frame that no handler takes costs no question."""
        client = self.client(Transport, "guest")
        client.act(lambda: client.socket.say({"type": "other", "data": 1, "ref": 1}))
        self.assertEqual(self.asked, [])

    def test_public(self) -> None:
        """Nobody is asked about a public channel, nor on the private listener."""
        hall = define_channel("hall")
        hall.on("msg")(lambda data, context: data)
        world = World(hall)
        socket = world.connect("/channels/hall", subprotocol="tako.v1")
        socket.say({"type": "msg", "data": 1, "ref": 1})
        self.assertEqual(socket.ops[-1]["op"], "ack")
        private = self.world.connect("/channels/chat?roomId=a", subprotocol="tako.v1", private=True)
        private.say({"type": "msg", "data": 1, "ref": 1})
        self.assertEqual((private.ops[-1]["op"], self.asked), ("ack", []))


class ForwardedTests(Case):
    """A channel without a handler, whose frames are forwarded as they came."""

    def channel(self, verify: Callable[..., Any]) -> Any:
        chat = define_channel("chat", params=ROOM, forward_unhandled=True)
        chat.verify(header="authorization")(verify)
        return chat

    def test_asked(self) -> None:
        """The rule holds for them too."""
        for token, outcome in (("guest", "verify-rejected"), ("member", "ack")):
            client = self.client(Transport, token)
            client.speak(1)
            self.assertEqual(client.outcomes(), [outcome])
        self.assertEqual(self.stored(), [1])


class CoroutineTests(RuleTests):
    """The same, by a coroutine over Deferreds."""

    def make(self) -> World:
        async def verify(request: Any) -> Any:
            await succeed(None)
            return self.decide(request)

        return World(self.channel(verify))


class AsyncioTests(RuleTests):
    """The same, by a coroutine over asyncio."""

    def setUp(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.addCleanup(self.loop.close)
        super().setUp()

    def make(self) -> World:
        async def verify(request: Any) -> Any:
            await asyncio.sleep(0)
            return self.decide(request)

        return World(self.channel(verify))

    def act(self, doing: Callable[[], Any]) -> Any:
        async def done() -> Any:
            result = doing()
            for _ in range(10):
                await asyncio.sleep(0)
            return result

        return self.loop.run_until_complete(done())


class HttpTests(RuleTests):
    """The same, by an app elsewhere."""

    def make(self) -> World:
        chat = self.channel(lambda request: self.decide(request))
        self.agent = wsgi_agent(wsgi.internal_app(channels=[chat], token=TOKEN))
        authorizer = HttpAuthorizer(client_of(self.agent, Clock()))
        return World(chat, authorizer=authorizer)

    def act(self, doing: Callable[[], Any]) -> Any:
        result = doing()
        for _ in range(3):
            self.agent.flush()
        return result

    def test_told_why(self) -> None:
        """An app elsewhere has no word for why it refuses; the sentence is ours."""
        self.says["some"] = Reject("Members only.")
        client = self.client(Transport, "some")
        client.speak(1)
        self.assertEqual(client.socket.ops[-1]["code"], "verify-rejected")


class WaitingTests(SynchronousTestCase):
    """While the question is under way."""

    def setUp(self) -> None:
        self.questions: list[tuple[str, str, Deferred[Any]]] = []
        self.handled: list[Any] = []
        chat = define_channel("chat", params=ROOM)

        async def verify(request: Any) -> Any:
            if request.operation == "connect" and request.header.value != "slow":
                return Grant(subject=request.header.value)
            answer: Deferred[Any] = Deferred()
            self.questions.append((request.header.value, request.operation, answer))
            return await answer

        chat.verify(header="authorization")(verify)

        async def handle(data: Any, context: Context[Any]) -> Any:
            self.handled.append((context.subject, data))
            return data

        chat.on("msg")(handle)
        self.world = World(chat)

    def connect(self, token: str) -> MemorySocket:
        header = {"Authorization": f"Bearer {token}"}
        return self.world.connect("/channels/chat?roomId=a", header, subprotocol="tako.v1")

    def say(self, socket: MemorySocket, *numbers: int) -> None:
        for number in numbers:
            socket.say({"type": "msg", "data": number, "ref": number})

    def test_order(self) -> None:
        """Frames wait in the order in which they came."""
        socket = self.connect("ann")
        self.say(socket, 1, 2, 3)
        self.assertEqual((len(self.questions), self.handled), (1, []))
        self.questions[0][2].callback(True)
        self.assertEqual(self.handled, [("ann", 1), ("ann", 2), ("ann", 3)])

    def test_bounded(self) -> None:
        """What waits is bounded: beyond it the client is not read, and is again afterwards."""
        socket = self.connect("ann")
        self.say(socket, *range(MAX_FRAMES_QUEUED + 1))
        self.assertTrue(held(socket))
        self.questions[0][2].callback(True)
        self.assertFalse(held(socket))
        self.assertEqual(len(self.handled), MAX_FRAMES_QUEUED + 1)

    def test_coalesced(self) -> None:
        """Two tabs of one user that begin to speak at the same moment are one question."""
        sockets = [self.connect("ann"), self.connect("ann"), self.connect("bob")]
        for number, socket in enumerate(sockets):
            self.say(socket, number)
        self.assertEqual([who for who, _, _ in self.questions], ["ann", "bob"])
        self.questions[0][2].callback(True)
        self.assertEqual(self.handled, [("ann", 0), ("ann", 1)])

    def test_credentials_change_meanwhile(self) -> None:
        """The answer about the former credentials is not the answer about the new ones."""
        socket = self.connect("guest")
        self.say(socket, 1)
        socket.say({"type": "tako.auth", "token": "Bearer ann"})
        self.questions[0][2].callback(True)
        self.assertEqual(self.handled, [])
        self.questions[1][2].callback(True)
        self.assertEqual(self.handled, [("ann", 1)])

    def test_frames_behind_new_credentials(self) -> None:
        """A frame that was sent after new credentials is judged by them, however long they take."""
        socket = self.connect("guest")
        socket.say({"type": "tako.auth", "token": "Bearer slow"})
        self.say(socket, 1)
        self.assertEqual([operation for _, operation, _ in self.questions], ["connect"])
        self.questions[0][2].callback(Grant(subject="member"))
        self.questions[1][2].callback(True)
        self.assertEqual(self.handled, [("member", 1)])

    def test_credentials_twice_before_the_answer(self) -> None:
        """The newest credentials of two are those by which the connection begins."""
        socket = self.world.connect("/channels/chat?roomId=a", subprotocol="tako.v1")
        socket.say({"type": "tako.auth", "token": "Bearer slow"})
        socket.say({"type": "tako.auth", "token": "Bearer ann"})
        self.assertEqual([one["op"] for one in socket.ops], ["open"])
        self.say(socket, 1)
        self.questions[1][2].callback(True)
        self.assertEqual(self.handled, [("ann", 1)])

    def test_client_leaves(self) -> None:
        """The frame that is asked about is finished; what waited behind it is not."""
        socket = self.connect("ann")
        self.say(socket, 1, 2)
        socket.leave()
        self.questions[0][2].callback(True)
        self.assertEqual(self.handled, [("ann", 1)])
        self.assertEqual(len(self.world.parts.sessions), 0)


class LeavingTests(WaitingTests):
    """One topic of many is left while frames of it wait."""

    def follow(self) -> MemorySocket:
        socket = self.world.connect("/_tako/connect", subprotocol="tako.v1")
        socket.say({"op": "subscribe", "ref": "s", "auth": "Bearer ann", **TOPIC})
        return socket

    def publish(self, socket: MemorySocket, *numbers: int) -> None:
        for number in numbers:
            socket.say({"op": "publish", "ref": number, "type": "msg", "data": number, **TOPIC})

    def test_by_the_client(self) -> None:
        """What the client said before it left is handled and answered."""
        socket = self.follow()
        self.publish(socket, 1, 2)
        socket.say({"op": "unsubscribe", "ref": "u", **TOPIC})
        self.questions[0][2].callback(True)
        self.assertEqual(self.handled, [("ann", 1), ("ann", 2)])
        self.assertEqual([one["ref"] for one in socket.ops[-2:]], [1, 2])

    def test_again_and_again(self) -> None:
        """Leaving and coming again is no way around what may wait: the topic's next frame has its
        turn when the last one before has been handled."""
        socket = self.follow()
        for _ in range(40):
            self.publish(socket, *range(3))
            socket.say({"op": "unsubscribe", "ref": "u", **TOPIC})
            socket.say({"op": "subscribe", "ref": "s", "auth": "Bearer ann", **TOPIC})
        self.assertTrue(held(socket))
        (session,) = self.world.parts.sessions
        self.assertEqual((len(session.subscribed), len(self.questions)), (0, 1))
        while self.questions:
            self.questions.pop(0)[2].callback(True)
        self.assertFalse(held(socket))
        self.assertEqual(len(self.handled), 120)

    def test_by_the_server(self) -> None:
        """What waits is refused with the reason, and the connection is read again."""
        socket = self.follow()
        self.publish(socket, *range(MAX_FRAMES_QUEUED + 1))
        self.assertTrue(held(socket))
        (session,) = self.world.parts.sessions
        (subscribed,) = session.subscribed.values()
        subscribed.expired()
        self.assertFalse(held(socket))
        codes = {one.get("code") for one in socket.ops if isinstance(one.get("ref"), int)}
        self.assertEqual(codes, {"credentials-expired"})
