"""What the documentation shows of live objects, in Python and TypeScript, run in Chromium.

| shown | Python | TypeScript, in ``live_examples/examples.ts`` |
|---|---|---|
| a clock | ``examples/live/functions/clock.py`` | ``clock`` |
| two-way echo | ``echo.py`` there | ``echo``, ``abort`` |
| types and answers | ``room.py`` there | ``room`` |
| answers, for all and for one send | ``live_examples/functions/acknowledged.py`` | ``status`` |
| bytes, and their answers | ``binary.py`` there | ``binary`` |
| back-pressure, and no waiting | ``binary.py`` there | ``backpressure``, ``slowly`` |
| the bus: publish, subscribe, receipt | ``lobby.py`` there | ``bus`` |
| chat | ``examples/live/functions/chat.py`` | ``chat`` |
| notifications | ``live_examples/functions/toasts.py`` | ``toasts`` |

Rule: the page's code is compiled against what ``tako types`` writes for the functions
that are called.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.browser.driven import Browser, Page
from tests.sockets.server_process import FAST, ServerProcess, wait_until

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).with_name("live_examples")
CLIENT = ROOT / "clients" / "js"
#: Of the environment that runs the tests, which need not be on the path.
TAKO = Path(sys.executable).with_name("tako")
PROGRAMS = CLIENT / "node_modules" / ".bin"

COMPILER = {
    "target": "ES2022",
    "module": "ESNext",
    "moduleResolution": "Bundler",
    "lib": ["ES2023", "DOM", "DOM.Iterable"],
    "strict": True,
    "skipLibCheck": True,
    "noEmit": True,
    "types": [],
    "paths": {"takotwist/live": [str(CLIENT / "src" / "live.ts")]},
}


class LiveExamplesCase(SynchronousTestCase):
    """A server with all the functions, and the page's code beside it."""

    def setUp(self) -> None:
        self.server = ServerProcess(f'{FAST}\n[app]\npages = "pages"\n', serve=True)
        self.addCleanup(self.server.close)
        folder = self.server.folder
        (folder / "pages").mkdir()
        for source in (ROOT / "examples" / "live" / "functions", HERE / "functions"):
            ours = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, folder / "functions", ignore=ours, dirs_exist_ok=True)

    def run_program(self, *command: str | Path) -> str:
        """What a program printed.  :raises AssertionError: it failed."""
        done = subprocess.run(
            [str(part) for part in command], cwd=self.server.folder, capture_output=True, text=True
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout


class TypesTests(LiveExamplesCase):
    """`tako types`, and the compiler of TypeScript."""

    def test_compiled(self) -> None:
        """A page that calls the functions as they are compiles under --strict; calls of what is
        not there, with what does not fit, or with answers of other types do not."""
        folder = self.server.folder
        self.run_program(TAKO, "types", "-o", "takotwist.d.ts")
        for name in ("examples.ts", "wrong.ts"):
            shutil.copy(HERE / name, folder)
        options = {"compilerOptions": COMPILER, "include": ["*.ts"]}
        (folder / "tsconfig.json").write_text(json.dumps(options))
        self.run_program(PROGRAMS / "tsc", "-p", folder)
        # The compiler was there: what is not declared is not known.
        (folder / "takotwist.d.ts").unlink()
        with self.assertRaisesRegex(AssertionError, r"wrong\.ts.*TS2578"):
            self.run_program(PROGRAMS / "tsc", "-p", folder)


class RunningTests(LiveExamplesCase):
    """The same code in Chromium."""

    def setUp(self) -> None:
        super().setUp()
        pages = self.server.folder / "pages"
        (pages / "index.html").write_text('<!doctype html><link rel="icon" href="data:,">')
        self.run_program(
            PROGRAMS / "esbuild",
            HERE / "examples.ts",
            "--bundle",
            "--format=esm",
            "--alias:takotwist/live=/_tako/live.js",
            "--external:/_tako/live.js",
            f"--outfile={pages / 'examples.js'}",
        )
        self.server.start()
        self.browser = Browser()
        self.addCleanup(self.browser.close)
        self.page = self.open()

    def open(self) -> Page:
        return self.browser.open(f"{self.server.url}/", apart=True)

    def example(self, call: str, page: Page | None = None) -> Any:
        """What an example gives."""
        return (page or self.page).run(
            f"import('/examples.js').then((examples) => examples.{call})"
        )

    def test_channels(self) -> None:
        """A clock, an echo, an end, and a room whose messages are answered."""
        clock = self.example("clock()")
        first, second, third = clock["times"]
        # A tick that a busy machine delays is followed by the next one all the sooner.
        self.assertTrue(first < second < third and third - first > 1.5e3, clock)
        self.assertEqual((clock["code"], clock["closed"]), (0, True))
        self.assertEqual(self.example("echo()"), ["echo: Hello!"])
        self.assertEqual(self.example("abort()"), ["abort", "channel-closed"])
        self.assertEqual(
            self.example("room()"),
            {"accepted": True, "texts": ["system: Joined general", "chat: echo: hi"]},
        )
        self.server.assert_clean()

    def test_answers(self) -> None:
        """What the server asks the page is answered: by the channel's way, or by one send's."""
        seen = repr({"seen": True})
        self.assertEqual(self.example("status('onStatus')"), ["OK", seen, "None"])
        self.assertEqual(self.example("status('onStatusOnce')"), ["OK", f"{seen} {seen}"])
        self.server.assert_clean()

    def test_binary(self) -> None:
        """Bytes both ways, with answers; a loop that awaits goes as fast as the other side."""
        self.assertEqual(
            self.example("binary()"),
            {
                "sizes": [3],
                "ack": {"processed": True, "size": 4},
                "nobody": "There is no listener.",
            },
        )
        pressed = self.example("backpressure()")
        self.assertEqual(pressed["sent"], 40)
        # The window's ten, and one more, may be under way.
        self.assertGreaterEqual(pressed["taken"], 29)
        self.assertEqual(self.example("slowly()"), list(range(60)))
        self.server.assert_clean()

    def test_broadcasts(self) -> None:
        """The server publishes to a key, and hears of it; two people chat."""
        found = self.example("bus()")
        receipt = found["receipt"]
        self.assertEqual((receipt["key"], receipt["seq"]), ("room:lobby", found["first"] + 1))
        self.assertEqual(
            found["heard"], [["from the page", found["first"]], ["Hello!", receipt["seq"]]]
        )
        self.assertEqual(found["server"], [[{"text": "Hello!"}, receipt["seq"]]])
        other = self.open()
        for page, user in ((self.page, "Alice"), (other, "Bob")):
            page.run(
                "import('/examples.js').then(async (examples) =>"
                f" void (window.chat = await examples.chat('{user}')))"
            )
            page.run("chat.say('here')")
            page.until("chat.lines.some((line) => line.endsWith('here'))")
        self.page.until("chat.lines.some((line) => line.endsWith('system: Bob joined'))")
        self.page.run("chat.say('Hello!')")
        self.page.run("chat.draw(new Uint8Array([1, 2]))")
        for page in (self.page, other):
            page.until("chat.binary.length === 2")
            last = page.run("chat.lines.at(-1)")
            self.assertRegex(last, r"^#\d+ Alice: Hello!$")
        self.assertEqual(self.page.run("chat.leave()"), 0)
        other.until("chat.lines.at(-1).endsWith('system: Alice left')")
        self.server.assert_clean()

    def test_notifications(self) -> None:
        """All tabs of a user show what is published to them."""
        tabs = [self.page, self.open()]
        for tab in tabs:
            tab.run(
                "import('/examples.js').then(async (examples) =>"
                " void (window.shown = await examples.toasts()))"
            )
        # Both visits are greeted; the second tab may miss what the first was told before it came.
        for tab in tabs:
            tab.until("shown.includes('hello') && shown.includes('world')")
        wait_until(lambda: len(self.page.run("shown")) == 4, "both greetings, twice each")
        self.server.assert_clean()
