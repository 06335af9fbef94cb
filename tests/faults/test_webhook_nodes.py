"""The node that tells an app what happens is killed: another goes on, on both engines."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.lanes import lane_of
from tests.sockets.nodes import Nodes, Postgres, Workers
from tests.sockets.server_process import wait_until
from tests.sockets.test_webhooks import SECRET, Receiver

#: Seconds in which what must happen has happened: a node is silent for 16 before it is dead.
LATE = 90.0

#: Topics of readers, which are spread over both nodes.
TOPICS = 8

#: Its hooks write down what they are told, and wait until they may go on.
CHANNELS = """
import os
import time
from pathlib import Path

from takotwist import Grant, Presence, define_channel

FOLDER = Path({folder!r})

number = {{"type": "object", "properties": {{"n": {{"type": "integer"}}}}}}
news = define_channel("news", params=number)
room = define_channel("room", presence=Presence(grace=1))


@room.verify(header="authorization")
def verify(request):
    return Grant(subject=request.header.value)


def write(*said):
    with (FOLDER / "told").open("a") as file:
        file.write(" ".join(map(str, said)) + "\\n")


@room.on_join
def joined(event):
    write("try", event.id, event.member.subject, os.getpid())
    while not (FOLDER / "go").exists():
        time.sleep(0.02)
    write("told", event.id, event.member.subject)
"""

CONFIG = """
[webhooks.endpoints.app]
url = "{url}"
secret = "{secret}"
private = true
events = ["topic.occupied", "topic.vacated"]
"""


class Story:
    """One cluster, its app, and who reads what."""

    def __init__(self, test: SynchronousTestCase, kind: Callable[..., Nodes]) -> None:
        self.app = Receiver()
        test.addCleanup(self.app.close)
        self.app.status = 500
        self.folder = Path(test.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        channels = {"rooms.py": CHANNELS.format(folder=str(self.folder))}
        self.nodes = kind(CONFIG.format(url=self.app.url, secret=SECRET), channels)
        test.addCleanup(self.nodes.close)
        self.readers: list[tuple[str, socket.socket]] = []
        test.addCleanup(self.hang_up)

    def read(self, number: int, topic: str, who: str = "") -> None:
        """Follow a topic at a node."""
        reader = socket.create_connection(("127.0.0.1", self.nodes.port(number)), 30)
        self.readers.append((topic, reader))
        head = f"GET /channels/{topic} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {who}\r\n\r\n"
        reader.sendall(head.encode())
        answer = reader.recv(4096)
        assert answer.startswith(b"HTTP/1.1 200"), answer

    def members(self) -> set[str]:
        """Who is in the room, as the log has it."""
        url = f"http://127.0.0.1:{self.nodes.port(0)}/channels/room/presence"
        answer = httpx.get(url, headers={"Authorization": "eve"}, timeout=30)
        return {member["subject"] for member in answer.raise_for_status().json()["members"]}

    def hang_up(self) -> None:
        """All of them."""
        for _, reader in self.readers:
            reader.close()

    def hooks(self, kind: str) -> list[list[str]]:
        """Lines that hooks have written."""
        file = self.folder / "told"
        lines = file.read_text().splitlines() if file.exists() else []
        return [words[1:] for words in map(str.split, lines) if words[0] == kind]

    def posted(self, kind: str) -> dict[str, set[str]]:
        """What was posted: topics, and under which ids."""
        found: dict[str, set[str]] = {}
        for head, body in list(self.app.got):
            event: Any = json.loads(body)
            if event["type"] == f"topic.{kind}":
                found.setdefault(event["data"]["topic"], set()).add(head["webhook-id"])
        return found

    def until(self, true: Callable[[], Any], what: str) -> Any:
        """Wait."""
        try:
            return wait_until(true, what, LATE)
        except AssertionError as late:
            logs = "\n".join(server.log for server in self.nodes.servers)
            raise AssertionError(f"{self.nodes.name}: {late}\n{logs}") from None

    def lost(self) -> set[str]:
        """Topics that nobody reads any more."""
        return {topic for topic, reader in self.readers if _is_cut(reader)}


def _is_cut(reader: socket.socket) -> bool:
    reader.setblocking(False)
    try:
        while reader.recv(65536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


class KilledTests(SynchronousTestCase):
    """Both engines at once, because most of it is waiting."""

    def test_killed(self) -> None:
        """What was not told is told by another, in order, under the same ids; and what only the
        dead node had is vacated, once."""
        stories = [Story(self, kind) for kind in (Workers, Postgres)]
        for story in stories:
            story.nodes.start()
        for story in stories:
            story.read(0, "room", "ann")
            for number in range(TOPICS):
                story.read(number, f"news?n={number}")
        lanes = len({lane_of(topic) for topic, _ in stories[0].readers})
        tried = []
        for story in stories:
            [id, who, pid] = story.until(lambda s=story: s.hooks("try"), "a hook is called")[0]
            self.assertEqual(who, "ann")
            # One of each lane: the others wait for it.
            story.until(lambda s=story: len(s.posted("occupied")) == lanes, "all is tried")
            story.read(1, "room", "bob")
            # Else the node may be killed that was about to store it, and nobody else knows of it.
            story.until(lambda s=story: s.members() == {"ann", "bob"}, "both are stored")
            tried.append((id, int(pid), story.posted("occupied")))
        for story, (_, pid, _) in zip(stories, tried, strict=True):
            # It has the lease, by which it also posts.
            story.nodes.kill(pid)
            story.app.status = 200
            (story.folder / "go").touch()
        for story, (id, _, occupied) in zip(stories, tried, strict=True):
            story.until(lambda s=story: len(s.hooks("told")) >= 2, "hooks are called")
            told = story.hooks("told")
            self.assertEqual(told[0], [id, "ann"])
            self.assertEqual([who for _, who in told], ["ann", "bob"])
            gone = {f"news?n={number}" for number in range(TOPICS)} & story.lost()
            self.assertTrue(gone, "none was at the node that was killed")
            story.until(lambda s=story, g=gone: g <= s.posted("vacated").keys(), "it is vacated")
            # The same events as before, and no other.
            now, vacated = story.posted("occupied"), story.posted("vacated")
            self.assertEqual({topic: now[topic] for topic in occupied}, occupied)
            self.assertEqual({topic for topic in vacated if topic != "room"}, gone)
            self.assertEqual({len(ids) for ids in [*now.values(), *vacated.values()]}, {1})
            for server in story.nodes.servers:
                server.assert_clean()
