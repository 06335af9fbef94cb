"""What the file, the environment and the flags say, each under dotted keys.

Rule: a source is only read here.  Whether a value fits its key is decided once
for all of them, in `load`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from takotwist.server.config.config import KEYS, SECTIONS
from takotwist.server.config.problems import Collected, did_you_mean
from takotwist.server.config.text_file import decode_text

#: Variables of ours that are no configuration of the server: where a `Publisher` in another
#: process publishes, and the name of the file.
OTHER_VARIABLES = frozenset({"TAKO_CONFIG", "TAKO_PUBLISH_URL", "TAKO_PUBLISH_KEY"})

#: What Kubernetes sets in every container beside a service that is called tako-something.
_KUBERNETES = re.compile(r"TAKO(_\w+)?_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)\w*)?)")

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
}


@attrs.frozen(slots=True)
class Said:
    """One value, as TOML would have it.

    :ivar source: the file, variable or flag, for people.
    :ivar folder: what a relative path in it is relative to.
    """

    value: Any = attrs.field(repr=False)
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
        problems.add(f"is no TOML: {failure}", source=source)
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


def read_flags(flags: Mapping[str, Any], cwd: Path, problems: Collected) -> dict[str, Said]:
    """The keys that flags set.  `None`, empty and false count as not given."""
    said: dict[str, Said] = {}
    for name, value in flags.items():
        flag = name.replace("_", "-")
        if flag not in FLAGS:
            problems.add(f"is unknown{did_you_mean(flag, FLAGS)}", source=f"--{flag}")
        elif (dotted := FLAGS[flag]) is not None and value not in (None, "", (), [], False):
            said[dotted] = Said(value, f"--{flag}", cwd)
    return said
