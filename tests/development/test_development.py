"""What a changed file does to a server, with a stand-in for the server and a clock."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.channel import Registry
from takotwist.development import development
from takotwist.development.browser import Browsers
from takotwist.development.development import REGISTRY_SECONDS, Development
from takotwist.errors import DefinitionError
from takotwist.server.config import App, Config, Dev, Http


class Service:
    """Stands for `TakoService`: what it is asked, and what goes wrong."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.functions: dict[str, Any] = {}
        self.running = True
        self.reloaded = self.read = 0
        self.answers = True
        self.wrong: BaseException | None = None
        self.definitions = self
        self.registry = Registry()

    def reload(self, config: Config) -> None:
        self.reloaded += 1
        if self.wrong is not None:
            raise self.wrong
        self.config = config

    def read_elsewhere(self) -> Deferred[bool]:
        self.read += 1
        return succeed(self.answers)


class DevelopmentTests(SynchronousTestCase):
    """A project with a channel, a module beside it, and pages."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        (self.folder / "channels").mkdir(parents=True)
        module = ModuleType("rules_of_a_test")
        module.__file__ = str(self.folder / "rules.py")
        sys.modules["rules_of_a_test"] = module
        self.addCleanup(sys.modules.pop, "rules_of_a_test")
        self.clock = Clock()
        self.said: list[tuple[str, bool]] = []
        self.wanted = Config(folder=self.folder, app=App(channels=self.folder / "channels"))
        self.service: Any = Service(self.wanted)
        self.browsers = Browsers()
        self.checks: list[Deferred[tuple[bytes, bytes, int]]] = []
        self.over = 0
        self.commands: list[bool] = []
        self.patch(development, "getProcessOutputAndValue", self._check)
        self.development = Development(
            self.service,
            self.browsers,
            lambda: self.wanted,
            ["tako", "dev", "--check"],
            self._count("over"),
            lambda text, wrong: self.said.append((text, wrong)),
            self.clock,
            self.commands.append,
        )

    def _count(self, name: str) -> Callable[[], None]:
        return lambda: setattr(self, name, getattr(self, name) + 1)

    def _check(self, program: str, arguments: list[str], *_: Any) -> Deferred[Any]:
        self.assertEqual([program, *arguments], ["tako", "dev", "--check"])
        self.checks.append(Deferred())
        return self.checks[-1]

    def change(self, *names: str) -> None:
        """Files are saved."""
        self.development.changed(frozenset(self.folder / name for name in names))

    def test_definition(self) -> None:
        """It is read again, and the terminal says which file and how long that took."""
        self.change("channels/chat.py")
        self.assertEqual(self.service.reloaded, 1)
        self.assertEqual(self.said, [("channels/chat.py: taken up in 0 ms", False)])
        self.assertEqual((self.checks, self.over), ([], 0))

    def test_nothing(self) -> None:
        """A file that nobody has read means nothing, and says nothing."""
        self.change("notes.odt", "state.bin")
        self.assertEqual((self.service.reloaded, self.said, self.commands), (0, [], []))

    def test_pages(self) -> None:
        """Pages are loaded anew, and nothing else happens."""
        self.change("pages/chat.css")
        self.assertEqual((self.browsers.generation, self.service.reloaded), (1, 0))

    def test_wrong_and_well(self) -> None:
        """A problem stands until a save is right, also one of a file that nobody had read."""
        self.service.wrong = DefinitionError("NameError: x", place="/nowhere/chat.py:3")
        self.change("channels/chat.py")
        assert self.browsers.problem is not None
        self.assertEqual(self.browsers.problem.line, 3)
        self.assertEqual(
            self.said,
            [("/nowhere/chat.py:3: NameError: x", True), ("What ran before goes on.", True)],
        )
        self.change("pages/chat.css")
        self.assertEqual(self.service.reloaded, 1)
        self.service.wrong = None
        self.change("helper_that_was_missing.py")
        self.assertIsNone(self.browsers.problem)
        self.assertEqual(self.service.reloaded, 2)

    def test_failure_of_ours(self) -> None:
        """What nobody thought of is said too, with its trace in the log, and ends nothing."""
        for odd in (ValueError, KeyboardInterrupt):
            self.service.wrong = odd("odd")
            self.change("channels/chat.py")
            assert self.browsers.problem is not None
            self.assertEqual(self.browsers.problem.text, f"{odd.__name__}: odd")
            self.assertEqual(len(self.flushLoggedErrors(odd)), 1)

    def test_module(self) -> None:
        """Another module is checked first, and then the process starts over."""
        self.change("rules.py")
        self.assertEqual((len(self.checks), self.over), (1, 0))
        self.checks[0].callback((b"", b"", 0))
        self.assertEqual((self.over, self.service.reloaded), (1, 0))
        self.assertEqual(self.said, [("rules.py: starting over", False)])

    def test_wrong_module(self) -> None:
        """What the check has found is said, and the process stays."""
        self.change("rules.py")
        self.checks[0].callback((b"", f"{self.folder}/rules.py:1: SyntaxError: x\n".encode(), 1))
        self.assertEqual(self.over, 0)
        self.assertEqual(self.said[0], ("rules.py:1: SyntaxError: x", True))
        self.change("rules.py")
        self.checks[1].callback((b"", b"", 0))
        self.assertEqual(self.over, 1)

    def test_changed_while_it_is_checked(self) -> None:
        """A save during a check has another one follow; what counts is the last."""
        self.change("rules.py")
        self.change("rules.py", "channels/chat.py")
        self.assertEqual(len(self.checks), 1)
        self.checks[0].callback((b"", b"", 0))
        self.assertEqual((len(self.checks), self.over), (2, 0))
        self.checks[1].callback((b"", b"", 0))
        self.assertEqual(self.over, 1)

    def test_check_that_says_nothing(self) -> None:
        """One that was killed is no success."""
        self.change("rules.py")
        self.checks[0].callback((b"", b"", -9))
        self.assertEqual(self.said[0], ("the check ended with -9", True))
        self.assertEqual(self.over, 0)

    def test_keys_that_need_a_start(self) -> None:
        """A key that is read once, or one of our own, has the process start over."""
        file = self.folder / "tako.toml"
        self.service.config = Config(folder=self.folder, file=file)
        for wanted, said in (
            (Config(folder=self.folder, http=Http(listen=("tcp:1",))), "http.listen has changed"),
            (Config(folder=self.folder, dev=Dev(run=("x",))), "dev.run has changed"),
        ):
            self.wanted = wanted
            self.change("tako.toml")
            self.checks.pop().callback((b"", b"", 0))
            self.assertEqual(self.said.pop(), (f"{said}: starting over", False))
        self.assertEqual((self.over, self.service.reloaded), (2, 0))

    def test_app_elsewhere(self) -> None:
        """Its registry is read again a few times, while its own server starts it over."""
        self.wanted = Config(
            folder=self.folder, app=App(url="http://127.0.0.1:1", name="a", token="t")
        )
        self.service.config = self.wanted
        self.change("main.py")
        self.assertEqual((self.service.read, self.commands), (0, [False]))
        self.clock.advance(REGISTRY_SECONDS[0])
        self.assertEqual(self.service.read, 1)
        self.clock.pump([1.0] * 10)
        self.assertEqual(self.service.read, len(REGISTRY_SECONDS))
        self.change("main.py")
        self.service.running = False
        self.clock.pump([1.0] * 10)
        self.assertEqual(self.service.read, len(REGISTRY_SECONDS))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_app_elsewhere_that_a_save_broke(self) -> None:
        """Its channels are never said to be taken up; its silence is said, and the end of that."""
        self.wanted = Config(
            folder=self.folder, app=App(url="http://127.0.0.1:1", name="a", token="t")
        )
        self.service.config = self.wanted
        self.service.answers = False
        for _ in range(2):
            self.change("channels/chat.py")
            self.clock.pump([1.0] * 10)
        # The first one leaves it to the app's own reloader, which may stand still.
        self.assertEqual(self.commands, [False, True])
        [(said, wrong)] = self.said
        self.assertIn("the app at http://127.0.0.1:1 does not say its channels", said)
        assert self.browsers.problem is not None
        self.assertEqual((self.browsers.problem.text, wrong), (said, True))
        self.service.answers = True
        self.change("channels/chat.py")
        self.clock.pump([1.0] * 10)
        self.assertIsNone(self.browsers.problem)
        self.change("channels/chat.py")
        self.assertEqual(self.commands[2:], [True, False])
        self.assertEqual(self.said[1:], [("The app answers again.", False)])
        self.assertEqual(self.service.reloaded, 0)

    def test_types(self) -> None:
        """They are written at the start and after each change; what hinders it is said."""
        file = self.folder / "src" / "takotwist.d.ts"
        self.wanted = Config(folder=self.folder, dev=Dev(types=file))
        self.service.config = self.wanted
        self.development.begin()
        self.assertTrue(file.exists())
        file.unlink()
        file.parent.rmdir()
        file.parent.write_text("in the way")
        self.change("channels/chat.py")
        self.assertIn("not written", self.said[-1][0])
        self.assertTrue(self.said[-1][1])
