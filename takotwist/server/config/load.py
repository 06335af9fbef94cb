"""Loading: from file, environment and flags to one checked `Config`.

    flags > environment > file > defaults

Each source is read under dotted keys, and only here; whether a value fits its key is decided
once for all of them.  Rule: every problem is found before any is reported, and a value that is
overridden is still checked, because it would hold as soon as the other one is gone.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from takotwist.core.channel import Defined
from takotwist.errors import ConfigError
from takotwist.server.config.channel import read_channel
from takotwist.server.config.check import check
from takotwist.server.config.config import KEYS, SECTIONS, Config
from takotwist.server.config.derive import derive
from takotwist.server.config.kind import Unfit
from takotwist.server.config.lifecycle import LifecycleDefaults
from takotwist.server.config.problems import Collected, did_you_mean
from takotwist.server.config.setting import Values
from takotwist.server.config.text_file import decode_text
from takotwist.server.config.toml_lines import line_of

#: Variables of ours that are no configuration of the server: where a `Publisher` in another
#: process publishes, and the name of the file.
#: `TAKO_WORKER` tells code of the app which worker it is in.
#: `TAKO_DEV_STARTED_OVER` is a note of `tako dev` to itself.
OTHER_VARIABLES = frozenset(
    {
        "TAKO_CONFIG",
        "TAKO_DEV_STARTED_OVER",
        "TAKO_PUBLISH_KEY",
        "TAKO_PUBLISH_URL",
        "TAKO_WORKER",
    }
)

#: What Kubernetes sets in every container beside a service that is called tako-something.
_KUBERNETES = re.compile(r"TAKO(_\w+)?_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)\w*)?)")

_TOML_LINE = re.compile(r" \(at line (\d+), column \d+\)$")

#: flag -> the key that it sets; `None` where it sets none of its own.
FLAGS: Mapping[str, str | None] = {
    "config": None,
    "listen": "http.listen",
    "tls": None,
    "tls-listen": "tls.listen",
    "certificate": "tls.certificate",
    "key": "tls.key",
    "state-dir": "state_dir",
    "app-url": "app.url",
    "channels": "app.channels",
    "log-format": "log.format",
    "workers": "server.workers",
}


@attrs.frozen(slots=True)
class Said:
    """One value, as TOML would have it.

    :ivar source: the file, variable or flag, for people.
    :ivar folder: what a relative path in it is relative to.
    """

    value: object = attrs.field(repr=False)
    source: str
    folder: Path


def read_file(path: Path, problems: Collected) -> dict[str, Said]:
    """The keys of a TOML file; its channels come as ``channels.NAME``, a table each."""
    source = str(path)
    try:
        text = decode_text(path.read_bytes())
    except OSError as failure:
        problems.add(f"cannot be read: {failure.strerror}", source=source)
        return {}
    except ValueError as failure:
        problems.add(f"is no TOML: it {failure}", source=source)
        return {}
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as failure:
        # "what (at line 3, column 5)": the place goes where that of every other problem is.
        what, line = str(failure), _TOML_LINE.search(str(failure))
        if line is not None:
            what, source = what[: line.start()], f"{source}:{line[1]}"
        problems.add(f"is no TOML: {what}", source=source)
        return {}
    said: dict[str, Said] = {}
    for name, value in document.items():
        if name in KEYS:
            said[name] = Said(value, source, path.parent)
        elif name not in SECTIONS and name != "channels":
            known = [*SECTIONS, *KEYS, "channels"]
            problems.add(f"is unknown{did_you_mean(name, known)}", key=name, source=source)
        elif not isinstance(value, dict):
            problems.add(f"must be a table: [{name}]", key=name, source=source)
        else:
            for key, one in value.items():
                said[f"{name}.{key}"] = Said(one, source, path.parent)
    for dotted in [key for key in said if key not in KEYS and not key.startswith("channels.")]:
        del said[dotted]
        section, _, name = dotted.partition(".")
        own = [key.name for key in KEYS.values() if key.section == section]
        problems.add(
            f"is unknown{did_you_mean(name, own) or _elsewhere(name)}", key=dotted, source=source
        )
    return said


def _elsewhere(name: str) -> str:
    places = [key.dotted for key in KEYS.values() if key.name == name]
    return f" (did you mean {places[0]!r}?)" if places else ""


def read_environment(environ: Mapping[str, str], cwd: Path, problems: Collected) -> dict[str, Said]:
    """The keys that ``TAKO_<SECTION>_<KEY>`` variables set.  An empty one counts as not set.

    A name that is near to none of ours is somebody else's, and left alone.
    """
    known = {key.environment: key for key in KEYS.values()}
    sections = tuple(f"TAKO_{name.upper()}_" for name in SECTIONS)
    said: dict[str, Said] = {}
    for variable, text in environ.items():
        if not variable.startswith("TAKO_") or variable in OTHER_VARIABLES or not text:
            continue
        source = f"environment {variable}"
        if variable in known:
            key = known[variable]
            said[key.dotted] = Said(key.setting.kind.from_text(text), source, cwd)
        elif variable.startswith("TAKO_CHANNELS_"):
            problems.add("channels are defined in the file or in Python only", source=source)
        elif not _KUBERNETES.fullmatch(variable):
            hint = did_you_mean(variable, known)
            if variable.startswith(sections) or hint:
                problems.add(f"is unknown{hint}", source=source)
    return said


def read_flags(flags: Mapping[str, object], cwd: Path, problems: Collected) -> dict[str, Said]:
    """The keys that flags set.  `None`, empty and false count as not given."""
    said: dict[str, Said] = {}
    for name, value in flags.items():
        flag = name.replace("_", "-")
        if flag not in FLAGS:
            problems.add(f"is unknown{did_you_mean(flag, FLAGS)}", source=f"--{flag}")
        elif (dotted := FLAGS[flag]) is not None and value not in (None, "", (), [], False):
            kind = KEYS[dotted].setting.kind
            typed = kind.from_text(value) if isinstance(value, str) else value
            said[dotted] = Said(typed, f"--{flag}", cwd)
    return said


#: Read where no file is named, if it is there.
DEFAULT_FILE = "tako.toml"


def load_config(
    flags: Mapping[str, object],
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
    values: Values = {}
    sources: dict[str, str] = {}
    layers = (
        in_file,
        read_environment(environ, cwd, problems),
        read_flags(flags, cwd, problems),
    )
    for layer in layers:
        _read(layer, values, sources, problems)
    if running is not None:
        _check_whole(
            running,
            file,
            values.get("publish.keys_file"),
            values.get("tokens.secrets_file"),
            problems,
        )
    folder = cwd if file is None else file.parent
    warnings = derive(values, sources, flags, environ, folder, problems)
    lifecycle = LifecycleDefaults(**_said_of("lifecycle", values))
    sections: dict[str, Any] = {
        name: section(**_said_of(name, values)) for name, section in SECTIONS.items()
    }
    decides = sections["tokens"].decides
    channels = _channels(tables, values.get("app.url"), decides, lifecycle, problems)
    config = Config(
        **_said_of("", values),
        **sections,
        channels=channels,
        file=file,
        folder=folder,
        sources=sources,
    )
    warnings += check(config, problems)
    problems.raise_if_any(lambda problem: _line(problem, file))
    return attrs.evolve(config, warnings=tuple(warnings))


def _line(problem: ConfigError, file: Path | None) -> int | None:
    """Line of a problem in the file."""
    if problem.key is None or file is None or problem.source != str(file):
        return None
    try:
        return line_of(decode_text(file.read_bytes()), problem.key)
    except (OSError, ValueError):
        return None


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
    running: Config,
    file: Path | None,
    keys_file: Path | None,
    secrets_file: Path | None,
    problems: Collected,
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
        (secrets_file, running.tokens.secrets_file, bool(running.tokens.secrets)),
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


def _said_of(section: str, values: Mapping[str, object]) -> dict[str, Any]:
    """Name -> value of what is said in one section."""
    return {
        key.name: values[dotted]
        for dotted, key in KEYS.items()
        if key.section == section and dotted in values
    }


def _read(
    layer: Mapping[str, Said],
    values: dict[str, object],
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
    by_token: Callable[[str], bool],
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
            by_token=by_token,
            default=default,
        )
        for key, reason in wrong:
            problems.add(reason, key=key, source=said.source)
        if defined is not None:
            channels.append(defined)
    return tuple(channels)
