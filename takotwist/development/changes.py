"""The meaning of a changed file: what of a running server has to be made anew.

Definitions are read again in the process, and no connection is dropped.  All other modules of an
app may hold what definitions made, timers and threads; a process that is started over has none of
that left from before, so that is what happens then.  (Reading every module anew in the process
was the alternative: a page that starts a loop as it is imported would then run it twice.)
Rule: a file that nobody has read means nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from pathlib import Path
from types import ModuleType

import attrs

from takotwist.app.channel import Channel
from takotwist.app.code_errors import is_of_app
from takotwist.live.functions.function import Function
from takotwist.server.config import Config
from takotwist.server.config.derive import CHANNELS_FOLDER, FUNCTIONS_FOLDER

#: What a browser would show otherwise after a change.
WEB = frozenset(
    f".{name}"
    for name in (
        *("html", "htm", "css", "js", "mjs", "json", "svg", "txt", "md"),
        *("png", "jpg", "jpeg", "webp", "avif", "ico", "woff2", "jinja", "jinja2", "j2"),
    )
)


class Effect(IntEnum):
    """Effects of a change, each including those before it."""

    NOTHING = 0
    PAGES = 1
    DEFINITIONS = 2
    PROCESS = 3


@attrs.frozen(slots=True)
class Project:
    """The files of an app, by what reads them.

    :ivar config: the configuration, and files that it names.
    :ivar definitions: folders, files and modules' folders that are read again in the process.
    :ivar modules: files of the app's other modules that are loaded.
    :ivar holds: true where one of those holds something that definitions made.
    """

    config: frozenset[Path]
    definitions: tuple[Path, ...]
    modules: frozenset[Path]
    holds: bool

    @classmethod
    def of(cls, config: Config, loaded: Mapping[str, ModuleType]) -> Project:
        """The project of a configuration.

        :param loaded: all modules by name, as `sys.modules`.
        """
        named = (config.file, config.app.token_file, config.publish.keys_file)
        # A folder that is looked for by default is one as soon as it is made; that of an app
        # elsewhere is read by the app.
        sources = [config.app.functions or config.folder / FUNCTIONS_FOLDER]
        if config.app.channels is not None or config.app.url is None:
            sources.append(config.app.channels or config.folder / CHANNELS_FOLDER)
        definitions = tuple(place for source in sources for place in _places(source, loaded))
        others = {
            Path(file).resolve(): module
            for module in tuple(loaded.values())
            if (file := getattr(module, "__file__", None)) and is_of_app(file)
        }
        root = config.folder.resolve()
        others = {
            file: one
            for file, one in others.items()
            if file.is_relative_to(root) and not _within(file, definitions)
        }
        return cls(
            config=frozenset(one.resolve() for one in named if one is not None),
            definitions=definitions,
            modules=frozenset(others),
            holds=any(
                isinstance(value, (Channel, Function))
                for module in others.values()
                for value in tuple(vars(module).values())
            ),
        )

    def effect(self, changed: Iterable[Path]) -> Effect:
        """The effect of the changed files together."""
        return max(map(self._effect, changed), default=Effect.NOTHING)

    def _effect(self, file: Path) -> Effect:
        if file in self.config:
            return Effect.DEFINITIONS
        if file.suffix == ".py":
            if _within(file, self.definitions):
                return Effect.PROCESS if self.holds else Effect.DEFINITIONS
            return Effect.PROCESS if file in self.modules else Effect.NOTHING
        if file in self.definitions:
            # The folder itself: it came, or went away.
            return Effect.PROCESS if self.holds else Effect.DEFINITIONS
        return Effect.PAGES if file.suffix in WEB else Effect.NOTHING


def _places(source: Path | str, loaded: Mapping[str, ModuleType]) -> list[Path]:
    """Folders and files of definitions; those of a dotted name once it is loaded."""
    if isinstance(source, Path) or Path(source).exists():
        return [Path(source).resolve()]
    module = loaded.get(source)
    folders = [Path(one).resolve() for one in getattr(module, "__path__", ())]
    file = getattr(module, "__file__", None)
    return folders or ([Path(file).resolve()] if file else [])


def _within(file: Path, places: Iterable[Path]) -> bool:
    return any(file == place or file.parent == place for place in places)
