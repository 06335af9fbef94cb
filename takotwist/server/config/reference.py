"""Printed reference of all keys: for a terminal, for the documentation, or as a file to begin with.

Rule: nothing is written here about any one key; all of it is in the
declarations.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import fill, wrap

from takotwist.server.config.channel import CHANNEL_KEYS
from takotwist.server.config.config import KEYS, SECTIONS
from takotwist.server.config.pusher import APP_KEYS, MAP_KEYS
from takotwist.server.config.setting import Key
from takotwist.server.config.webhooks import ENDPOINT_KEYS

#: Tables of tables: the section, the sentence under its name, its keys.
_TABLES = (
    ("pusher.apps.NAME", "One app of the Pusher protocol, one table each.", APP_KEYS),
    (
        "pusher.map",
        "A rule for names of Pusher channels: [[pusher.map]].",
        MAP_KEYS,
    ),
    ("webhooks.endpoints.NAME", "One endpoint of webhooks, one table each.", ENDPOINT_KEYS),
    ("channels.NAME", "A channel without any code, one table each.", CHANNEL_KEYS),
)
_IN_TABLES = frozenset(name for name, _, _ in _TABLES)


def toml_value(value: object) -> str:
    """`value` as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(toml_value(one) for one in value)}]"
    if isinstance(value, dict):
        pairs = ", ".join(f"{name} = {toml_value(one)}" for name, one in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def default_text(key: Key) -> str:
    """The default, in words where it depends on something."""
    if key.setting.derived:
        return key.setting.derived
    if key.default is None:
        return "not set"
    return toml_value(key.default)


def _sections() -> Iterator[tuple[str, str, list[Key]]]:
    """Section name, its sentence, its keys."""
    yield "", "At the top of the file.", [key for key in KEYS.values() if not key.section]
    for name, section in SECTIONS.items():
        sentence = (section.__doc__ or "").split("\n\n")[0]
        yield name, sentence, [key for key in KEYS.values() if key.section == name]
    for name, sentence, tables in _TABLES:
        yield name, sentence, list(tables.values())


def _allowed(key: Key) -> str:
    """The kind, its bounds and its unit in words."""
    unit = f" ({key.setting.unit})" if key.setting.unit else ""
    return f"{key.setting.kind.allowed}{unit}"


def _facts(key: Key) -> list[tuple[str, str]]:
    facts = [("type", _allowed(key)), ("default", default_text(key))]
    if key.section not in _IN_TABLES:
        facts.append(("environment", key.environment))
    facts.append(("change", "on SIGHUP" if key.setting.live else "at a restart"))
    return facts


def as_text() -> str:
    """The reference for a terminal."""
    lines = [
        fill(
            "Flags win over the environment, which wins over the file. Relative paths are"
            " relative to the file's folder. In the environment, a list has commas between its"
            " items.",
            88,
        ),
        "",
    ]
    for name, sentence, keys in _sections():
        lines += [f"[{name}]  {sentence}" if name else sentence, ""]
        for key in keys:
            lines.append(f"  {key.name}")
            lines += wrap(
                key.setting.meaning, 84, initial_indent="      ", subsequent_indent="      "
            )
            for label, fact in _facts(key):
                lines += wrap(
                    f"{label + ':':<13}{fact}",
                    84,
                    initial_indent="      ",
                    subsequent_indent=" " * 19,
                )
            lines.append("")
    return "\n".join(lines)


def as_markdown() -> str:
    """The reference for the documentation."""
    lines: list[str] = []
    for name, sentence, keys in _sections():
        lines += [f"## `[{name}]`" if name else "## Top of the file", "", sentence, ""]
        for key in keys:
            lines += [f"### `{key.name}`", "", key.setting.meaning, ""]
            for label, fact in _facts(key):
                shown = (
                    f"`{fact}`" if label == "environment" or fact.startswith(("[", '"')) else fact
                )
                lines.append(f"- {label}: {shown}")
            lines.append("")
    return "\n".join(lines)


def as_toml() -> str:
    """A configuration file in which every key stands, commented out, with its default."""
    lines: list[str] = []
    for name, sentence, keys in _sections():
        header = f"# [{name}]" if name in _IN_TABLES else f"[{name}]"
        lines += [f"# {sentence}", *([header] if name else []), ""]
        for key in keys:
            lines += wrap(key.setting.meaning, 88, initial_indent="# ", subsequent_indent="# ")
            lines += wrap(
                f"{_allowed(key)}; default: {default_text(key)}",
                88,
                initial_indent="# ",
                subsequent_indent="# ",
            )
            lines += [f"#{key.name} = {_example(key)}", ""]
    return "\n".join(lines)


def _example(key: Key) -> str:
    """The default as a value, or an empty one of the kind where there is none to show."""
    if key.default is None or isinstance(key.default, Path) or key.setting.derived:
        return '""' if key.default in (None, Path()) else toml_value(key.default)
    return toml_value(key.default)
