"""What a changed file means."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from twisted.trial.unittest import SynchronousTestCase

from takotwist import define_channel
from takotwist.development.changes import Effect, Project
from takotwist.server.config import App, Config


class ProjectTests(SynchronousTestCase):
    """A project with definitions, a module beside them, and pages."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.channels = self.folder / "channels"
        self.channels.mkdir(parents=True)
        self.web = self.module("web", self.folder / "web.py")
        self.loaded = {
            "web": self.web,
            "channels.chat": self.module("channels.chat", self.channels / "chat.py"),
            "twisted": __import__("twisted"),
            "frozen": ModuleType("frozen"),
        }

    def module(self, name: str, file: Path) -> ModuleType:
        """A module that was read from a file."""
        file.touch()
        made = ModuleType(name)
        made.__file__ = str(file)
        return made

    def effect(self, *names: str, channels: Path | str | None = None) -> Effect:
        """What these files need, from the project's folder on."""
        config = Config(
            app=App(channels=channels or self.channels, token_file=self.folder / "token"),
            file=self.folder / "tako.toml",
            folder=self.folder,
        )
        return Project.of(config, self.loaded).effect([self.folder / name for name in names])

    def test_each(self) -> None:
        """Definitions and configuration are read again, other modules start over, pages reload."""
        for name, effect in {
            "channels/chat.py": Effect.DEFINITIONS,
            "channels/new.py": Effect.DEFINITIONS,
            "functions/first.py": Effect.DEFINITIONS,
            "tako.toml": Effect.DEFINITIONS,
            "token": Effect.DEFINITIONS,
            "web.py": Effect.PROCESS,
            "script.py": Effect.NOTHING,
            "channels/deeper/x.py": Effect.NOTHING,
            "pages/chat.css": Effect.PAGES,
            "notes.odt": Effect.NOTHING,
        }.items():
            self.assertEqual(self.effect(name), effect, name)

    def test_together(self) -> None:
        """Several changes need what the greatest of them needs; none needs nothing."""
        self.assertEqual(
            self.effect("pages/chat.css", "web.py", "channels/chat.py"), Effect.PROCESS
        )
        self.assertEqual(self.effect(), Effect.NOTHING)

    def test_held_definition(self) -> None:
        """Where another module holds a channel, it would go on with the old one."""
        vars(self.web)["chat"] = define_channel("chat")
        self.assertEqual(self.effect("channels/chat.py"), Effect.PROCESS)

    def test_folder(self) -> None:
        """A folder of definitions that comes or goes has them read again; another one does not."""
        self.assertEqual(self.effect("channels"), Effect.DEFINITIONS)
        self.assertEqual(self.effect("functions"), Effect.DEFINITIONS)
        self.assertEqual(self.effect("pages"), Effect.NOTHING)

    def test_dotted(self) -> None:
        """Definitions by a dotted name are in the folder of its package, or in its file."""
        package = self.module("app.live", self.folder / "package.py")
        live = self.folder / "live"
        live.mkdir()
        package.__path__ = [str(live)]
        self.loaded["app.live"] = package
        self.assertEqual(self.effect("live/chat.py", channels="app.live"), Effect.DEFINITIONS)
        self.assertEqual(self.effect("web.py", channels="web"), Effect.DEFINITIONS)
        self.assertEqual(self.effect("web.py", channels="not.loaded"), Effect.PROCESS)
