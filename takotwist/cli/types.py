"""``tako types``: the channels' params and messages as types of another language."""

from __future__ import annotations

from pathlib import Path

import click

from takotwist.app.discovery import discover
from takotwist.cli.configured import config_option, configured
from takotwist.codecs.python_stub import python_stub
from takotwist.codecs.typescript import typescript
from takotwist.errors import DefinitionError

_WRITERS = {"ts": typescript, "py": python_stub}


@click.command("types")
@config_option
@click.option("--lang", type=click.Choice(sorted(_WRITERS)), default="ts", show_default=True)
@click.option("-o", "--output", metavar="FILE", help="Write there.  [default: print]")
def command(config: str | None, lang: str, output: str | None) -> None:
    """Write types for the params and messages of all channels.

    Reads the definitions in Python and in the configuration file. Run it again when they change;
    with the same channels it writes the same text.

    \b
    Examples:
      tako types -o web/src/channels.d.ts
      tako types --lang py -o worker/channel_types.py
    """
    checked = configured(config=config)
    try:
        found = discover(checked.app.channels).defined if checked.app.channels else ()
    except DefinitionError as bad:
        raise click.ClickException(str(bad)) from None
    defined = sorted((*found, *checked.channels), key=lambda one: one.definition.name)
    text = _WRITERS[lang](one.definition for one in defined)
    if output is None:
        click.echo(text, nl=False)
    else:
        Path(output).write_text(text, encoding="utf-8")
        click.echo(f"{output}: {len(defined)} channels.", err=True)
