"""From file, environment and flags to one checked `Config`.

    flags > environment > file > defaults

Rule: every problem is found before any is reported, and a value that is
overridden is still checked: it would hold as soon as the other one is gone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from takotwist.core.channel import Defined
from takotwist.server.config.channel import read_channel
from takotwist.server.config.check import check
from takotwist.server.config.config import KEYS, SECTIONS, Config
from takotwist.server.config.derive import derive
from takotwist.server.config.kind import Unfit
from takotwist.server.config.lifecycle import LifecycleDefaults
from takotwist.server.config.problems import Collected
from takotwist.server.config.source import Said, read_environment, read_file, read_flags

#: Read where no file is named, if it is there.
DEFAULT_FILE = "tako.toml"


def load_config(
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    cwd: str | Path,
    running: Config | None = None,
) -> Config:
    """Read the configuration.

    :param flags: flag name -> value, as `takotwist.server.options.Options` has them;
        `None`, empty and false count as not given.
    :param environ: the environment.
    :param cwd: what relative paths in flags and environment are relative to, and where
        ``tako.toml`` is looked for.
    :param running: what holds now, where it is read again.
    :raises ConfigProblems: a `ConfigError` with all that is wrong, one line each.
    """
    cwd = Path(cwd).absolute()
    problems = Collected()
    file = _file(flags, environ, cwd, problems)
    in_file = {} if file is None else read_file(file, problems)
    tables = {
        dotted: in_file.pop(dotted) for dotted in [*in_file] if dotted.startswith("channels.")
    }
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    layers = (
        in_file,
        read_environment(environ, cwd, problems),
        read_flags(flags, cwd, problems),
    )
    for layer in layers:
        _read(layer, values, sources, problems)
    if running is not None:
        _check_whole(running, file, values.get("publish.keys_file"), problems)
    folder = cwd if file is None else file.parent
    warnings = derive(values, sources, flags, environ, folder, problems)
    lifecycle = LifecycleDefaults(**_said_of("lifecycle", values))
    channels = _channels(tables, values.get("app.url"), lifecycle, problems)
    sections: dict[str, Any] = {
        name: section(**_said_of(name, values)) for name, section in SECTIONS.items()
    }
    config = Config(
        **_said_of("", values),
        **sections,
        channels=channels,
        file=file,
        folder=folder,
        sources=sources,
    )
    warnings += check(config, problems)
    problems.raise_if_any()
    return attrs.evolve(config, warnings=tuple(warnings))


def _file(
    flags: Mapping[str, Any], environ: Mapping[str, str], cwd: Path, problems: Collected
) -> Path | None:
    """The file to read: the one that is named, else ``tako.toml`` if it is there."""
    for source, named in (
        ("--config", flags.get("config")),
        ("environment TAKO_CONFIG", environ.get("TAKO_CONFIG")),
    ):
        if named:
            file = cwd / Path(named).expanduser()
            if os.path.isfile(file):
                return file
            problems.add(f"names {file}, which is no file", source=source)
            return None
    file = cwd / DEFAULT_FILE
    return file if file.exists() else None


def _check_whole(
    running: Config, file: Path | None, keys_file: Path | None, problems: Collected
) -> None:
    """Files that were read before are not taken up while they are empty, or gone.

    Editors empty a file before they write it, or put another in its place; whoever is told of
    a change in that moment would drop all that was said in it.
    """
    said = bool(running.channels) or str(running.file) in running.sources.values()
    if said and file is None:
        problems.add("is gone; what it said before stays", source=str(running.file))
    for now, before, said_something in (
        (file, running.file, said),
        (keys_file, running.publish.keys_file, bool(running.publish.keys)),
    ):
        if said_something and now is not None and now == before and _is_blank(now):
            problems.add(
                "is empty; what it said before stays. To have it say nothing, write a comment",
                source=str(now),
            )


def _is_blank(file: Path) -> bool:
    try:
        return not file.read_bytes().strip()
    except OSError:
        # Whoever reads it for what it says finds this too.
        return False


def _said_of(section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Name -> value of what is said in one section."""
    return {
        key.name: values[dotted]
        for dotted, key in KEYS.items()
        if key.section == section and dotted in values
    }


def _read(
    layer: Mapping[str, Said],
    values: dict[str, Any],
    sources: dict[str, str],
    problems: Collected,
) -> None:
    """Add what one source says to `values`; later sources win."""
    for dotted, said in layer.items():
        declared = KEYS[dotted].setting
        try:
            values[dotted] = declared.kind.read(said.value, said.folder)
        except Unfit as unfit:
            for sentence in unfit.sentences(secret=declared.secret):
                problems.add(sentence, key=dotted, source=said.source)
        else:
            sources[dotted] = said.source


def _channels(
    tables: Mapping[str, Said],
    app_url: str | None,
    lifecycle: LifecycleDefaults,
    problems: Collected,
) -> tuple[Defined, ...]:
    default = lifecycle.lifecycle()
    channels = []
    for dotted, said in tables.items():
        defined, wrong = read_channel(
            dotted.removeprefix("channels."),
            said.value,
            place=said.source,
            folder=said.folder,
            app_url=app_url,
            default=default,
        )
        for key, reason in wrong:
            problems.add(reason, key=key, source=said.source)
        if defined is not None:
            channels.append(defined)
    return tuple(channels)
