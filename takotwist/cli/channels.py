"""``tako channels``: what a running server has defined and who is connected."""

from __future__ import annotations

import json

import click

from takotwist.admin.channels import CHANNELS_PATH
from takotwist.cli.configured import config_option
from takotwist.cli.private_page import private_page
from takotwist.cli.publish import server_option
from takotwist.core.json_values import Json


@click.command("channels")
@config_option
@server_option
@click.option("--json", "as_json", is_flag=True, help="Print the server's answer as it is.")
def command(config: str | None, server: str | None, as_json: bool) -> None:
    """Show what a running server has defined, and who is connected.

    Asks the server on this machine through its private listener; any node answers for all.

    \b
    Examples:
      tako channels
      tako channels --json | jq .topics
    """
    body = private_page(config, server, CHANNELS_PATH)
    if as_json:
        click.echo(body.decode())
        return
    _show(json.loads(body))


def _show(said: dict[str, Json]) -> None:
    for one in said["channels"]:
        handlers = one["handlers"]
        sends = "the app decides" if handlers is None else ", ".join(handlers)
        access = "verified" if one["verified"] else "public"
        transports = f"SSE and WebSocket (clients send: {sends})" if one["websocket"] else "SSE"
        params = ", ".join(one["params"])
        click.echo(f"{one['channel']}({params}): {access}, {transports}")
        click.echo(f"    {one['subscribers']} subscribers{_spread(one)}, defined in {one['place']}")
    if said["topics"]:
        click.echo("\nTopics with subscribers:")
    for topic in said["topics"]:
        click.echo(f"{topic['subscribers']:8}  {topic['topic']}{_spread(topic)}")
    left = said["topics_in_all"] - len(said["topics"])
    if left:
        click.echo(f"          and {left} more")


def _spread(one: dict[str, Json]) -> str:
    """The number of subscribers on each node, where there are several."""
    nodes = one.get("nodes") or {}
    spread = ", ".join(f"{node} {count}" for node, count in sorted(nodes.items()) if count)
    return f" ({spread})" if spread else ""
