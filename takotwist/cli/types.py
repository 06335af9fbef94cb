"""``tako types``: channels, and functions that pages may call, as types of another language."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from takotwist.cli.configured import config_option, configured
from takotwist.codecs.generate_python import python_stub
from takotwist.codecs.generate_typescript import typescript, typescript_functions
from takotwist.codecs.type_shapes import FunctionTypes
from takotwist.core.channel import ChannelDefinition
from takotwist.core.counted import counted
from takotwist.errors import DefinitionError
from takotwist.live.functions.result_types import function_types
from takotwist.server.app_code import read_channels, read_functions
from takotwist.server.config import Config


@click.command("types")
@config_option
@click.option("--lang", type=click.Choice(["py", "ts"]), default="ts", show_default=True)
@click.option("-o", "--output", metavar="FILE", help="Write there.  [default: print]")
def command(config: str | None, lang: str, output: str | None) -> None:
    """Write types for the params and messages of all channels, and for functions.

    Reads the definitions in Python and in the configuration file. Run it again when they change;
    with the same definitions it writes the same text.

    A page that includes the TypeScript has channel("chat", { params }), the hooks, and what is
    published and received checked by the compiler: names, params, types and data.

    TypeScript also has the functions that pages may call: what they take, what they give, and
    the live objects in it: call("onJoinChat", ["lobby"]) is checked too. Say what a function
    gives by its annotation:

    \b
      -> BroadcastChannel[Message]
      -> ClientEnd[Callable[[Question], Answer], Note]     of channel.client
      -> Joined          a TypedDict, dataclass or Struct with either inside

    \b
    Examples:
      tako types -o web/src/takotwist.d.ts
      tako types --lang py -o worker/channel_types.py
    """
    checked = configured(config=config)
    try:
        channels = _channels(checked)
        functions = _functions(checked) if lang == "ts" else []
    except DefinitionError as bad:
        raise click.ClickException(str(bad)) from None
    if lang == "ts":
        text = typescript(channels, lambda taken: typescript_functions(functions, taken))
    else:
        text = python_stub(channels)
    if output is None:
        click.echo(text, nl=False)
    else:
        try:
            Path(output).write_text(text, encoding="utf-8")
        except OSError as failure:
            raise click.ClickException(f"{output} cannot be written: {failure.strerror}") from None
        more = f", {counted(len(functions), 'function')}" if functions else ""
        click.echo(f"{output}: {counted(len(channels), 'channel')}{more}.", err=True)


def _channels(config: Config) -> Sequence[ChannelDefinition]:
    found = read_channels(config).defined
    defined = sorted((*found, *config.defined), key=lambda one: one.definition.name)
    return [one.definition for one in defined]


def _functions(config: Config) -> Sequence[FunctionTypes]:
    return function_types(one for _, one in sorted(read_functions(config).items()))
