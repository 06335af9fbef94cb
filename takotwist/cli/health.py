"""``tako health``: one question to the running server, for what watches a container or a unit.

It asks the private listener, which is there whatever the public ones are, and whose address
the configuration has: a check that names a port of its own goes wrong when the port changes.
"""

from __future__ import annotations

import click

from takotwist.admin.health import HEALTH_PATH
from takotwist.cli.configured import config_option
from takotwist.cli.private_page import ask
from takotwist.cli.publish import server_option


@click.command("health")
@config_option
@server_option
@click.option(
    "--live", is_flag=True, help="Ask only whether it answers, not whether it serves new clients."
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=3.0,
    show_default=True,
    metavar="SECONDS",
    help="How long the answer may take.",
)
def command(config: str | None, server: str | None, live: bool, timeout: float) -> None:
    """Ask a running server how it is; exits with 0 when it serves new clients, else with 1.

    Asks the server on this machine through its private listener, once.

    \b
    Examples:
      tako health
      tako health --live
      tako health --server https://chat.example.com
    """
    path = f"{HEALTH_PATH}?live" if live else HEALTH_PATH
    url, answer = ask(config, server, path, timeout)
    if answer.status not in (200, 503) or not answer.body.startswith(b'{"live":'):
        raise click.ClickException(f"{url} answered {answer.status}; is it a takotwist server?")
    click.echo(answer.body.decode())
    if answer.status != 200:
        raise SystemExit(1)
