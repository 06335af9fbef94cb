"""``tako init``: a project of one's own, that runs.

Rule: nothing is overwritten, and where one file cannot be written none is.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import click

#: Folders of templates, each with the folder of the project that it is put into: a page without a
#: bundler, and the same with a login.
_PAGE = (("all", ""), ("page", ""), ("style", "pages"))
_OPEN = (*_PAGE, ("open", ""))
_LOGIN = (*_PAGE, ("login", ""), ("secret", ""))

#: name -> what it is, and the folders that make it; a later one wins.
TEMPLATES: Mapping[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "plain": ("a channel and a page; no login", (*_OPEN, ("plain", ""))),
    "fastapi": (
        "the channel in a FastAPI app, with a login",
        (*_LOGIN, ("people", ""), ("fastapi", "")),
    ),
    "django": (
        "the channel in a Django project, by its sessions",
        (*_LOGIN, ("django", "")),
    ),
    "flask": (
        "the channel in a Flask app, with a login",
        (*_LOGIN, ("people", ""), ("flask", "")),
    ),
    "klein": (
        "the page and a login in the server's own process (Twisted)",
        (*_LOGIN, ("people", ""), ("klein", "")),
    ),
    "react": (
        "a page in React and TypeScript, by Vite",
        (("all", ""), ("open", ""), ("style", "src"), ("react", "")),
    ),
}

#: Names that a tool of the package would take for its own, and what they are called there.
_STORED_AS = {"gitignore": ".gitignore"}

_PLACEHOLDER = re.compile(r"\{\{([a-z-]+)\}\}")


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path), default=".")
@click.option(
    "-t",
    "--template",
    type=click.Choice(list(TEMPLATES)),
    help="What it begins with.  [default: asked for in a terminal, else plain]",
)
def command(folder: Path, template: str | None) -> None:
    """Make a project that runs, in FOLDER or here.

    It is a chat: a channel, a page, tests of the channel, the configuration and a README.
    Nothing that is there is overwritten.

    \b
    Templates:
      plain     a channel and a page; no login
      fastapi   the channel in a FastAPI app, with a login
      django    the channel in a Django project, by its sessions
      flask     the channel in a Flask app, with a login
      klein     the page and a login in the server's own process (Twisted)
      react     a page in React and TypeScript, by Vite

    \b
    Examples:
      tako init chat
      tako init shop --template fastapi
    """
    if template is None:
        template = _asked() if sys.stdin.isatty() and sys.stdout.isatty() else "plain"
    made = dict(project_files(template, folder.absolute().name or "chat"))
    there = [name for name in made if os.path.lexists(folder / name)]
    if there:
        raise click.ClickException(
            f"{', '.join(there[:5])}{', ...' if len(there) > 5 else ''} in {folder} would be"
            " overwritten: choose another folder, or move it away"
        )
    try:
        _write(folder, made)
    except OSError as failure:
        raise click.ClickException(
            f"{failure.filename or folder} cannot be written: {failure.strerror}"
        ) from None
    for name in sorted(made):
        click.echo(f"  {folder / name}")
    click.echo(f"\n{_next(folder, template)}")


def project_files(template: str, name: str) -> Iterator[tuple[str, str]]:
    """The files of a project: their paths and texts; a later part wins over an earlier one.

    :param name: the project's.
    """
    values = _values(name)
    root = Path(str(files("takotwist") / "templates"))
    found: dict[str, str] = {}
    for part, into in TEMPLATES[template][1]:
        for file in sorted((root / part).rglob("*")):
            if file.is_dir() or "__pycache__" in file.parts:
                continue
            place = PurePosixPath(into, file.relative_to(root / part))
            place = place.with_name(_STORED_AS.get(place.name, place.name))
            text = file.read_text("utf-8")
            found[str(place)] = _PLACEHOLDER.sub(lambda one: values[one[1]], text)
    yield from found.items()


def _values(name: str) -> Mapping[str, str]:
    """The values of the placeholders ``{{...}}``."""
    safe = re.sub(r"[^\w .-]", "", name).strip() or "chat"
    package = re.sub(r"[^a-z0-9-]+", "-", safe.lower()).strip("-") or "chat"
    checkout = _checkout()
    return {
        "project": safe,
        "package": package,
        "takotwist": f"takotwist[dev] @ {checkout.as_uri()}" if checkout else "takotwist[dev]",
        "takotwist-js": f"file:{checkout / 'clients/js'}" if checkout else "^0.1.0",
    }


def _checkout() -> Path | None:
    """The checkout that this was installed from, which a project is then installed with too.

    By pip's own note (PEP 610); one that came from an index has none.
    """
    try:
        note = distribution("takotwist").read_text("direct_url.json")
    except PackageNotFoundError:
        note = None
    parts = urlsplit(json.loads(note)["url"]) if note else None
    if parts is None or parts.scheme != "file":
        return None
    folder = Path(unquote(parts.path))
    return folder if (folder / "setup.cfg").is_file() else None


def _asked() -> str:
    for name, (what, _) in TEMPLATES.items():
        click.echo(f"  {name:<8}  {what}")
    chosen: str = click.prompt(
        "Template", type=click.Choice(list(TEMPLATES)), default="plain", show_choices=False
    )
    return chosen


def _write(folder: Path, made: Mapping[str, str]) -> None:
    """Write all files, or none.

    :raises OSError: one cannot be written.
    """
    written: list[Path] = []
    try:
        for name, text in made.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("x", encoding="utf-8") as stream:
                written.append(file)
                stream.write(text)
    except OSError:
        for file in written:
            file.unlink(missing_ok=True)
        raise


def _build_client(checkout: Path | None) -> list[str]:
    """The commands that build the JavaScript package of a checkout that has only its source."""
    client = checkout / "clients/js" if checkout else None
    if client is None or (client / "dist/react.js").exists():
        return []
    return [f"(cd {shlex.quote(str(client))} && npm ci && npm run build)"]


def _next(folder: Path, template: str) -> str:
    """The commands to type next."""
    lines = [] if folder.absolute() == Path.cwd() else [f"cd {shlex.quote(str(folder))}"]
    active = _active_environment()
    if active is None:
        lines += ["python3 -m venv .venv && . .venv/bin/activate"]
    lines += ["pip install -r requirements.txt"]
    if template == "react":
        lines += [*_build_client(_checkout()), "npm install"]
    lines += ["tako dev"]
    now = "Now" if active is None else f"Now, in the environment that is active ({active})"
    return f"{now}:\n\n" + "".join(f"    {line}\n" for line in lines)


def _active_environment() -> Path | None:
    """The virtual environment that the shell has activated, if it has, and that is there."""
    said = os.environ.get("VIRTUAL_ENV")
    return Path(said) if said and Path(said, "pyvenv.cfg").is_file() else None
