"""``tako nodes``: the nodes of a running server."""

from __future__ import annotations

import json
import time

import click

from takotwist.admin.nodes import NODES_PATH
from takotwist.cli.configured import config_option
from takotwist.cli.private_page import private_page
from takotwist.cli.publish import server_option
from takotwist.core.json_values import Json


@click.command("nodes")
@config_option
@server_option
@click.option("--json", "as_json", is_flag=True, help="Print the server's answer as it is.")
def command(config: str | None, server: str | None, as_json: bool) -> None:
    """Show the nodes of a running server: who is there, since when, how far behind the log.

    Asks the server on this machine through its private listener; any node answers for all.

    \b
    Examples:
      tako nodes
      tako nodes --json | jq '.nodes[] | select(.answered | not)'
    """
    body = private_page(config, server, NODES_PATH)
    if as_json:
        click.echo(body.decode())
        return
    _show(json.loads(body), time.time())


def _show(said: dict[str, Json], now: float) -> None:
    rows = [("NODE", "PID", "VERSION", "UP", "BEHIND", "CONNECTIONS", "SUBSCRIPTIONS", "STATE")]
    for one in said["nodes"]:
        behind = one["behind_seconds"]
        state = "ready" if one["ready"] else "not ready"
        if not one.get("store_available", True):
            state += ", no store"
        rows.append(
            (
                one["node"] + (" *" if one["here"] else ""),
                str(one["pid"]),
                one["version"],
                _duration(now - one["since"]),
                "?" if behind is None else f"{behind:.1f} s",
                str(one["connections"]),
                str(one["subscriptions"]),
                state if one["answered"] else "does not answer",
            )
        )
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        click.echo("  ".join(cells).rstrip())
    if not said["store_available"]:
        click.echo("\nThe replay log does not answer.")


def _duration(seconds: float) -> str:
    minutes = int(max(seconds, 0)) // 60
    if minutes < 1:
        return f"{max(seconds, 0):.0f} s"
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} d"
