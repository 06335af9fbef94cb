"""``tako config-doc``: every key, from its declaration."""

from __future__ import annotations

import click

from takotwist.server.config.reference import as_markdown, as_text, as_toml

_FORMATS = {"text": as_text, "markdown": as_markdown, "toml": as_toml}


@click.command("config-doc")
@click.option(
    "--format",
    "form",
    type=click.Choice(list(_FORMATS)),
    default="text",
    show_default=True,
    help="For a terminal, for a page, or as a file to begin with.",
)
def command(form: str) -> None:
    """Explain every key of the configuration.

    Each key has its meaning, what it may be, its default, its name in the environment, and
    whether SIGHUP changes it in a running server.

    \b
    Examples:
      tako config-doc | less
      tako config-doc --format toml > tako.toml
    """
    click.echo(_FORMATS[form](), nl=False)
