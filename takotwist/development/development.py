"""A server under development: what a changed file does to it.

    change -> effect -> read again, or check in another process and start over -> say how it went

Rule: what runs goes on running until what comes in its place is known to be right.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs
from twisted.internet.defer import ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.utils import getProcessOutputAndValue
from twisted.logger import Logger

from takotwist.development.browser import Browsers
from takotwist.development.changes import Effect, Project
from takotwist.development.problem import Problem
from takotwist.development.typescript import types_of, write_types
from takotwist.errors import TakoError
from takotwist.interfaces import IReactor
from takotwist.live.functions.function import Function
from takotwist.server.config import Config, needs_restart
from takotwist.server.service import TakoService

#: Seconds after a change at which the registry of an app elsewhere is read again: it is started
#: over by its own server, which takes its time.
REGISTRY_SECONDS = (0.3, 1.0, 2.0, 4.0)

log = Logger()


@attrs.define(slots=True, eq=False)
class Development:
    """Reaction to changed files.

    :ivar config_again: reads the configuration; see `Options.config_again`.
    :ivar check: the command that checks everything in a process of its own.
    :ivar start_over: has the process begin anew, with these variables in its environment.
    :ivar say: a line for the terminal; `wrong`: true for a problem.
    :ivar commands: starts the commands that have ended; those that run too, where it is told so.
    """

    service: TakoService
    browsers: Browsers
    config_again: Callable[[], Config]
    check: Sequence[str]
    start_over: Callable[[], object]
    say: Callable[[str, bool], object]
    reactor: IReactor
    commands: Callable[[bool], object] = lambda over: None
    _pending: set[Path] = attrs.field(factory=set, init=False)
    _checking: bool = attrs.field(default=False, init=False)
    _app_silent: bool = attrs.field(default=False, init=False)

    @property
    def config(self) -> Config:
        """The configuration that runs."""
        return self.service.config

    @property
    def functions(self) -> Mapping[str, Function[..., object]]:
        """The functions that pages may call."""
        return self.service.functions

    def changed(self, files: frozenset[Path]) -> None:
        """Take up a change."""
        project = Project.of(self.config, sys.modules)
        effect = project.effect(files)
        code = any(one.suffix == ".py" for one in files)
        wrong = self.browsers.problem is not None and not self._app_silent
        if wrong and (code or effect >= Effect.DEFINITIONS):
            # What is missing may have come in a file that nobody has read yet.
            files |= self._pending
            effect = max(project.effect(files), Effect.DEFINITIONS)
        if code:
            # A reloader may wait for a change of a file that it does not know: Django's does where
            # a file cannot be decoded, since the error does not name it.
            self.commands(self._app_silent)
            if self.config.app.url is not None:
                self._read_registry()
        if effect is Effect.PAGES:
            self.browsers.pages_changed()
        elif effect is not Effect.NOTHING:
            self._pending |= files
            self._take_up(effect, project)

    def begin(self) -> None:
        """Begin, once the server is ready."""
        self._write_types()

    def _take_up(self, effect: Effect, project: Project) -> None:
        before = self.reactor.seconds()
        try:
            config = self.config_again()
            keys = [*needs_restart(self.config, config), *_own_keys(self.config, config)]
            if keys or effect is Effect.PROCESS:
                self._check(f"{', '.join(keys)} has changed" if keys else self._named(project))
                return
            self.service.reload(config)
        except TakoError as bad:
            self._wrong(str(bad))
        except BaseException as failure:
            # Ctrl-C comes by the reactor, so even a KeyboardInterrupt is of the code that was read.
            log.failure("taking up a change failed")
            self._wrong(f"{type(failure).__name__}: {failure}")
        else:
            took = self.reactor.seconds() - before
            self._well(f"{self._named(project)}: taken up in {took * 1000:.0f} ms")

    def _named(self, project: Project) -> str:
        """The changed files that matter, for people."""
        names = sorted(
            str(one.relative_to(self.config.folder.resolve()))
            if one.is_relative_to(self.config.folder.resolve())
            else str(one)
            for one in self._pending
            if project.effect([one]) > Effect.PAGES
        )
        return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") or "changed"

    def _check(self, what: str) -> None:
        if not self._checking:
            self._checking = True
            ensureDeferred(self._checked(what)).addErrback(
                lambda failure: log.failure("checking a change failed", failure)
            )

    async def _checked(self, what: str) -> None:
        taken = set(self._pending)
        try:
            program, *arguments = self.check
            _, errors, code = await getProcessOutputAndValue(
                program, arguments, os.environ, str(Path.cwd()), self.reactor
            )
        finally:
            self._checking = False
        if self._pending - taken:
            self._check(what)
        elif code:
            self._wrong(errors.decode("utf-8", "replace").strip() or f"the check ended with {code}")
        else:
            self.say(f"{what}: starting over", False)
            if isinstance(self.config.app.pages, str):
                self.browsers.generation += 1
            self.start_over()

    def _wrong(self, text: str) -> None:
        problem = Problem.of(text)
        self.browsers.wrong(problem)
        self.say(problem.shown(self.config.folder.resolve()), True)
        self.say("What ran before goes on.", True)

    def _well(self, text: str) -> None:
        self._pending.clear()
        self.browsers.well()
        self.say(text, False)
        self._write_types()

    def _write_types(self) -> None:
        file = self.config.dev.types
        if file is None:
            return
        try:
            if write_types(file, types_of(self.service.definitions.registry, self.functions)):
                self.say(f"{file}: written", False)
        except (OSError, TakoError) as failure:
            self.say(f"{file}: not written: {failure}", True)

    def _read_registry(self) -> None:
        async def read(last: bool) -> None:
            self._app_answered(await self.service.definitions.read_elsewhere(), last)
            self._write_types()

        def soon(last: bool) -> None:
            if self.service.running:
                ensureDeferred(read(last)).addErrback(
                    lambda failure: log.failure("reading the registry failed", failure)
                )

        clock: IReactorTime = self.reactor
        for seconds in REGISTRY_SECONDS:
            clock.callLater(seconds, soon, seconds == REGISTRY_SECONDS[-1])

    def _app_answered(self, answered: bool, last: bool) -> None:
        """Say once that the app has no answer since a save, and once that it has one again.

        :param last: true where the app has had its time to start over.
        """
        if answered and self._app_silent:
            self._app_silent = False
            self.browsers.well()
            self.say("The app answers again.", False)
        elif not answered and last and not self._app_silent:
            text = (
                f"the app at {self.config.app.url} does not say its channels since the last"
                " change; its own lines in the terminal say why, and the next save starts its"
                " command over"
            )
            self._app_silent = True
            self.browsers.wrong(Problem.of(text))
            self.say(text, True)


def _own_keys(running: Config, wanted: Config) -> list[str]:
    """Keys of our own section that differ and are read once, when the process begins."""
    return [
        f"dev.{name}"
        for name in ("run", "pages_url")
        if getattr(running.dev, name) != getattr(wanted.dev, name)
    ]
