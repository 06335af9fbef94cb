"""``tako channels``: what a running server has defined and who is connected."""

from __future__ import annotations

import json

import click

from takotwist.admin.channels import CHANNELS_PATH
from takotwist.app.http_address import Address
from takotwist.app.http_exchange import Deadline, HttpExchange
from takotwist.cli.configured import config_option
from takotwist.cli.publish import server_option, server_url
from takotwist.core.json_values import Json
from takotwist.errors import TakoError


@click.command("channels")
@config_option
@server_option
@click.option("--json", "as_json", is_flag=True, help="Print the server's answer as it is.")
def command(config: str | None, server: str | None, as_json: bool) -> None:
    """Show what a running server has defined, and who is connected.

    Asks the server on this machine through its private listener.

    \b
    Examples:
      tako channels
      tako channels --json | jq .topics
    """
    url = server_url(config, server)
    try:
        exchange = HttpExchange(Address.of(url))
    except TakoError as unusable:
        raise click.ClickException(str(unusable)) from None
    try:
        answer = exchange("GET", CHANNELS_PATH, {}, b"", Deadline.within(5.0))
    except OSError as failure:
        reason = failure.strerror or failure
        raise click.ClickException(f"no server answers at {url}: {reason}") from None
    finally:
        exchange.close()
    if answer.status != 200:
        raise click.ClickException(f"{url} answered {answer.status}; is it the private listener?")
    if as_json:
        click.echo(answer.body.decode())
        return
    _show(json.loads(answer.body))


def _show(said: dict[str, Json]) -> None:
    for one in said["channels"]:
        handlers = one["handlers"]
        sends = "the app decides" if handlers is None else ", ".join(handlers)
        access = "verified" if one["verified"] else "public"
        transports = f"SSE and WebSocket (clients send: {sends})" if one["websocket"] else "SSE"
        params = ", ".join(one["params"])
        click.echo(f"{one['channel']}({params}): {access}, {transports}")
        click.echo(f"    {one['subscribers']} subscribers, defined in {one['place']}")
    if said["topics"]:
        click.echo("\nTopics with subscribers:")
    for topic in said["topics"]:
        click.echo(f"{topic['subscribers']:8}  {topic['topic']}")
    left = said["topics_in_all"] - len(said["topics"])
    if left:
        click.echo(f"          and {left} more")
