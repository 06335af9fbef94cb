"""``tako log``: the replay log as a file that is backed up, moved and checked.

Rule: each command ends with what follows for the cursors that clients hold.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from takotwist.adapters.sqlite.errors import Trouble
from takotwist.adapters.sqlite.file import StoreFile, this_boot
from takotwist.adapters.sqlite.transfer import Contents, back_up, move_out, take_in, verify
from takotwist.cli.configured import config_option, configured
from takotwist.cli.progress import progress
from takotwist.core.counted import counted
from takotwist.core.retention import Watched
from takotwist.errors import ConfigError
from takotwist.server.config import Config
from takotwist.server.state_folder import make_folder
from takotwist.server.state_lock import lock_log, sign_lock

_file = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))


@click.group("log")
def command() -> None:
    """Back up, move or check the replay log.

    Beside the log's file is a small one, its witness, that says what was given out. By it the
    server knows an older or another file when one is put in its place, and then takes every
    cursor from before for too old: no client misses messages without being told. So the file alone
    cannot be moved without loss; export and import do that.

    \b
    Examples:
      tako log backup replay-backup.sqlite      while the server runs
      tako log export replay-export.sqlite      stopped, on the old machine
      tako log import replay-export.sqlite      stopped, on the new machine
      tako log verify
    """


@command.command("backup")
@_file
@config_option
def backup(file: Path, config: str | None) -> None:
    """Copy the log into FILE, while the server runs or not.

    The copy is whole, in one file that only you can read. When it is imported, every cursor is
    too old, unless nothing was published since.
    """
    path = _file_of(configured(config=config))
    _must_not_exist(file)
    with _said(path), progress(f"copying {path} to {file}"):
        contents = back_up(str(path), str(file))
    click.echo(f"{file}: {_described(contents)}.")


@command.command("export")
@_file
@config_option
def export(file: Path, config: str | None) -> None:
    """Move the log out of a stopped server into FILE, without loss.

    Import FILE once, on the new machine or here again: then every cursor is good. The log is gone
    from here, so that no server goes on with the same messages. One that is started here begins a
    new log, and tells clients that their cursors are too old.
    """
    checked = configured(config=config)
    path = _file_of(checked)
    _must_not_exist(file)
    with _alone(checked), _said(path):
        store = StoreFile(str(path), checked.replay.durability, time.time, Watched())
        with progress(f"moving {path} to {file}"):
            contents = move_out(store, str(file))
    for notice in store.notices:
        click.echo(f"{path} {notice}.", err=True)
    click.echo(f"{file}: {_described(contents)}. Imported once, every cursor is good.")


@command.command("import")
@_file
@click.option("--replace", is_flag=True, help="Remove the log that is there.")
@config_option
def import_(file: Path, replace: bool, config: str | None) -> None:
    """Have a stopped server go on with the log in FILE.

    FILE stays as it is. After an export every cursor is good. After a backup, or where clients
    have cursors of this server's own that FILE does not know, every older cursor is too old.
    """
    checked = configured(config=config)
    path = _file_of(checked)
    with _alone(checked), _said(file):
        if path.exists() and not replace:
            raise click.ClickException(
                f"{path} is there already. Say --replace to have it removed, or export it first."
            )
        with progress(f"copying {file} to {path}"):
            now = int(time.time() * 1_000_000)
            contents, doubt = take_in(str(file), str(path), this_boot(), now)
    click.echo(f"{path}: {_described(contents)}.")
    if doubt is None:
        click.echo("Every cursor is good. Do not import this file a second time.")
    else:
        click.echo(
            f"Every cursor from before is too old; those clients load their state anew. {file}"
            f" {doubt.value}."
        )


@command.command("verify")
@click.argument(
    "file", type=click.Path(dir_okay=False, path_type=Path, exists=True), required=False
)
@config_option
def check(file: Path | None, config: str | None) -> None:
    """Look through the log, while the server runs or not, or through FILE.

    Ends with 1 where something is wrong.
    """
    path = file or _file_of(configured(config=config))
    with _said(path), progress(f"looking through {path}"):
        found = verify(str(path), this_boot(), in_place=file is None)
    click.echo(f"{path}: {_described(found.contents)}.")
    for line in found.wrong:
        click.echo(f"  wrong: {line}")
    if found.doubt is not None:
        click.echo(
            f"  wrong: it {found.doubt.value}. A server that starts with it takes every cursor"
            " from before for too old."
        )
    if found.moved:
        click.echo("  An export, not imported yet: imported once, every cursor is good.")
    if found.wrong or found.doubt is not None:
        raise SystemExit(1)
    click.echo("  Sound.")


def _file_of(config: Config) -> Path:
    if config.replay.url is not None:
        raise click.ClickException(
            "The replay log is in PostgreSQL (replay.url): pg_dump and its kind back it up."
        )
    return config.replay.path


def _described(contents: Contents) -> str:
    stats = contents.stats
    newest = datetime.fromtimestamp(contents.head / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return (
        f"{counted(stats.messages, 'message')} of {counted(stats.topics, 'topic')},"
        f" {counted(stats.bytes, 'byte')}, ids up to {contents.head} ({newest} UTC)"
    )


def _must_not_exist(file: Path) -> None:
    if os.path.lexists(file):
        raise click.ClickException(f"{file} is there already.")


@contextmanager
def _alone(config: Config) -> Iterator[None]:
    """While no server runs with this log, and none can start."""
    path = config.replay.path
    try:
        make_folder(path.parent)
        lock = lock_log(path)
    except ConfigError as bad:
        raise click.ClickException(str(bad)) from None
    with lock:
        sign_lock(lock)
        yield


@contextmanager
def _said(path: Path) -> Iterator[None]:
    try:
        yield
    except Trouble as trouble:
        problem, advice = trouble.kind.value
        raise click.ClickException(f"{path}: {problem} ({trouble.detail}). {advice}") from None
