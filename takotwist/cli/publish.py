"""``tako publish``: publish from a shell."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from takotwist.app.publisher import Publisher
from takotwist.cli.configured import config_option
from takotwist.cli.private_url import read_params, server_option, server_url
from takotwist.errors import TakoError


@click.command("publish")
@click.argument("channel")
@click.argument("type")
@click.argument("data", required=False)
@click.option("-p", "--param", multiple=True, metavar="NAME=VALUE", help="A param of the topic.")
@config_option
@server_option
@click.option("--key", envvar="TAKO_PUBLISH_KEY", help="A publish key, for a public listener.")
@click.option("--ca-file", metavar="FILE", help="Certificates to trust in place of the system's.")
@click.option("--idempotency-key", metavar="KEY", help="Store once, however often it is called.")
@click.option(
    "--patience",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to try while the server does not answer.",
)
def command(
    channel: str,
    type: str,
    data: str | None,
    param: tuple[str, ...],
    config: str | None,
    server: str | None,
    key: str | None,
    ca_file: str | None,
    idempotency_key: str | None,
    patience: float,
) -> None:
    """Publish one message and print it as it was stored.

    DATA is JSON; without it, it is read from standard input.

    \b
    Examples:
      tako publish news headline '"It works"'
      tako publish chat msg '{"text": "hi"}' -p roomId=lobby
      date +%s | tako publish clock tick
    """
    text = sys.stdin.read() if data is None else data
    try:
        value: Any = json.loads(text)
    except ValueError as bad:
        raise click.ClickException(
            f"DATA is no JSON: {bad} (a text needs quotes: '\"hi\"')"
        ) from None
    try:
        publisher = Publisher(server_url(config, server), key, ca_file=ca_file, patience=patience)
        stored = publisher.publish(
            channel, read_params(param), type, value, idempotency_key=idempotency_key
        )
    except TakoError as refused:
        again = getattr(refused, "idempotency_key", None)
        hint = f" (to try again: --idempotency-key {again})" if again else ""
        raise click.ClickException(f"{refused}{hint}") from None
    message = {"id": stored.id, "channel": stored.channel, "type": stored.type}
    click.echo(json.dumps(message | {"data": stored.data}, ensure_ascii=False))
