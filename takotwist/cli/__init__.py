"""The `tako` command: a table of subcommands, each in a file of its own.

Rule: a subcommand's file is read when it is called and not before, so
``tako --help`` is quick, and no reactor is installed by asking for help.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version

import click
from click.shell_completion import CompletionItem

#: Name -> module of this package, whose `command` it is, and one sentence for the list.
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("init", "Make a project that runs."),
    "dev": ("dev", "Run the server while you write an app."),
    "serve": ("serve", "Run the server in the foreground."),
    "publish": ("publish", "Publish one message."),
    "tail": ("tail", "Follow a topic."),
    "types": ("types", "Write the channels as TypeScript or Python types."),
    "log": ("log", "Back up, move or check the replay log."),
    "channels": ("channels", "Show what is defined and who is connected."),
    "nodes": ("nodes", "Show the nodes of a running server."),
    "health": ("health", "Ask a running server how it is."),
    "check-config": ("check_config", "Check the configuration and show what would run."),
    "config-doc": ("config_doc", "Explain every key of the configuration."),
    "keys": ("keys", "Make publish keys."),
    "token": ("token", "Make tokens that let into channels, or revoke them."),
    "trust": ("trust", "Say how to trust the development certificate, or do it."),
}


class Subcommands(click.Group):
    """A group whose commands are found by `COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, its file read now."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"{__name__}.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names for a shell, out of the table: whoever presses a key waits for no file."""
        names = [
            CompletionItem(name, help=sentence)
            for name, (_, sentence) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        # Past the group's own, which would read the file of each.
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list for ``--help``, out of the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, sentence) for name, (_, sentence) in COMMANDS.items()])


def _print_version(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"takotwist {version('takotwist')}")
        ctx.exit()


@click.command(
    cls=Subcommands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def main() -> None:
    """Durable realtime channels for people who run their own server.

    \b
    Examples:
      tako init chat                    a project that runs
      tako dev                          run it, and take up each change
      tako check-config                 what would run, or what is wrong
      tako config-doc | less            every key
      tako keys new                     a key to publish with
      tako serve --tls                  the server, with HTTPS on localhost

    \b
    Completion, for one shell, or for good in ~/.bashrc (zsh_source and ~/.zshrc; for fish:
    _TAKO_COMPLETE=fish_source tako | source):
      eval "$(_TAKO_COMPLETE=bash_source tako)"
    """
