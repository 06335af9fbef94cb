"""The section of ``tako dev``, which the server in production passes over."""

from __future__ import annotations

import shlex
from pathlib import Path

import attrs

from takotwist.server.config.kind import Kind, Listed, Location
from takotwist.server.config.setting import setting
from takotwist.server.config.web_kind import HttpUrl


@attrs.frozen(slots=True)
class CommandLine(Kind):
    """A command and its arguments, quoted as in a shell; nothing else of a shell is in it."""

    word = "command"

    @property
    def allowed(self) -> str:
        return 'a command line, such as "npm run dev"'

    def read(self, value: object, folder: Path) -> str:
        try:
            if isinstance(value, str) and shlex.split(value):
                return value
        except ValueError:
            pass
        raise self.refuse(value)


@attrs.frozen(kw_only=True)
class Dev:
    """Settings of `tako dev`; nothing else reads them."""

    run: tuple[str, ...] = setting(
        Listed(CommandLine()),
        (),
        "Commands that it starts beside the server and ends with it, such as the app's own server."
        " They get TAKO_APP_TOKEN and TAKO_PUBLISH_URL.",
        live=True,
    )
    pages_url: str | None = setting(
        HttpUrl(),
        None,
        "The development server that every other path is passed on to, as a proxy does in"
        " production.",
        derived="app.url where there are no app.pages",
        live=True,
    )
    types: Path | None = setting(
        Location(),
        None,
        "The file that it keeps written with the TypeScript types of what is defined.",
        live=True,
    )
