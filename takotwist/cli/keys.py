"""``tako keys``: making publish keys.

Rule: a key goes to standard output or into a file that only its owner reads,
never into a log.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

import click

#: Shows what a key is for, to people and to scanners that look for leaked ones.
PREFIX = "tako_pk_"

#: Of randomness; 43 characters.
KEY_BYTES = 32


def new_key() -> str:
    """A publish key that nobody guesses."""
    return PREFIX + secrets.token_urlsafe(KEY_BYTES)


@click.group("keys")
def command() -> None:
    """Make publish keys.

    Who has one may publish to every channel, so it stays on servers.
    """


@command.command("new")
@click.option(
    "--append",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also add it to a keys_file, which is made for its owner only (mode 600).",
)
@click.option("--note", metavar="TEXT", help="A comment before it in the file, such as who has it.")
def new(append: Path | None, note: str | None) -> None:
    """Make one key and print it.

    \b
    Examples:
      tako keys new
      tako keys new --append /etc/tako/publish-keys --note "billing service"
    """
    key = new_key()
    if append is not None:
        try:
            add_to_file(append, key, note)
        except OSError as failure:
            raise click.ClickException(f"{append}: {failure.strerror}") from None
        click.echo(f"Added to {append}. A running server takes it up on SIGHUP.", err=True)
    click.echo(key)


def add_to_file(path: Path, key: str, note: str | None = None) -> None:
    """Add a key to a keys file.

    :param note: goes before it as a comment, on one line.
    :raises OSError: the file cannot be written.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "rb+", buffering=0) as stream:
        status = os.fstat(descriptor)
        if status.st_mode & (stat.S_IROTH | stat.S_IWOTH):
            click.echo(f"{path} may be read by everybody on this machine: chmod 600", err=True)
        text = f"{key}\n"
        if note:
            text = f"# {' '.join(note.split())}\n{text}"
        if status.st_size:
            stream.seek(-1, os.SEEK_END)
            if stream.read(1) != b"\n":
                text = "\n" + text
        stream.write(text.encode("utf-8"))
