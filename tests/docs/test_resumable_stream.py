"""The page of resumable-stream: our calls beside the package's own, and the page's server."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.node_packages import give_packages
from tests.docs.page import DOCS, one
from tests.docs.running import Running, eventually
from tests.sockets.server_process import free_port

PAGE = "howto/resumable-stream.md"
PROGRAMS = Path(__file__).with_name("resumable")

WHOLE = "".join(f"wörd {number}, " for number in range(40))


class ResumableTests(SynchronousTestCase):
    timeout = 120

    def setUp(self) -> None:
        self.running = Running(DOCS / PAGE)
        self.addCleanup(self.running.close)
        folder = self.running.folder
        give_packages(folder, "resumable")
        for program in PROGRAMS.iterdir():
            shutil.copy(program, folder)
        self.tako = self.running.serve(one(PAGE, "serve").text)

    def test_same(self) -> None:
        """Each call answers what the package's does."""
        said = self.running.run(
            'exec node same.mjs http://localhost:8080/streams/same "$(cat publish-keys)"'
        )
        theirs, ours = json.loads(said)
        self.assertEqual(ours, theirs)
        self.assertEqual(
            ours,
            {
                "none": [None, "undefined"],
                "during": True,
                "read": ["one zwö three", "one zwö three", "zwö three", " three"],
                "made": 1,
                "done": ["null", "null", "DONE"],
                "anew": "one zwö three",
            },
        )

    def start(self, port: int) -> None:
        """One of the page's servers."""
        text = (self.running.folder / "story.mjs").read_text()
        name = f"story{port}.mjs"
        self.running.write(name, self.running.ours(text).replace("3000", str(port)))
        self.running.start(f"exec node {name}", f"{name}.log", errors_too=True)

        def listens() -> bool:
            try:
                socket.create_connection(("127.0.0.1", port), 5).close()
            except OSError:
                return False
            return True

        eventually(listens, "it listens")

    def test_other_server(self) -> None:
        """Another process reads along, and the server of streams dies: each has exactly the text;
        of several that come at once one makes the stream."""
        ports = [free_port(), free_port()]
        for port in ports:
            self.start(port)
        for number, port in enumerate(ports * 2):
            self.running.start(f"exec curl -sN http://127.0.0.1:{port}/story", f"read{number}")
        names = [f"read{number}" for number in range(4)]
        for name in names:
            eventually(lambda name=name: "wörd 20, " in self.running.said(name), "words")
        self.running.kill(self.tako)
        self.running.serve("tako serve")
        late = f"exec curl -sN 'http://127.0.0.1:{ports[1]}/story?resumeAt={len('wörd 0, ')}'"
        self.running.start(late, "late")
        self.running.write("go", "")
        for name in names:
            eventually(lambda name=name: self.running.said(name) == WHOLE, f"all of {name}")
        eventually(lambda: self.running.said("late") == WHOLE[len("wörd 0, ") :], "the rest")
        self.assertEqual(self.running.said("made"), "made\n")
        done = f"curl -s http://127.0.0.1:{ports[0]}/story"
        eventually(lambda: self.running.run(done) == "The story is told.", "it is done")
