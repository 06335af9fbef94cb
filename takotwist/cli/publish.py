"""``tako publish``: publish from a shell.

Where the running server of this machine is spoken to.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import click

from takotwist.app.publisher import Publisher
from takotwist.cli.configured import config_option, configured
from takotwist.errors import TakoError

#: The option that names another server than the configuration's.
server_option: Callable[[object], Any] = click.option(
    "--server",
    envvar="TAKO_PUBLISH_URL",
    metavar="URL",
    help="https://..., or unix:/path of a private socket."
    "  [default: TAKO_PUBLISH_URL, else the private listener of the configuration]",
)


def server_url(config: str | None, server: str | None) -> str:
    """The address of a server's private listener.

    :param config: the file that says where it listens, or `None` for ``tako.toml``.
    :param server: an address that was said, which wins.
    """
    if server:
        return server
    for endpoint in configured(config=config).private.listen:
        kind, _, rest = endpoint.partition(":")
        place = rest.partition(":")[0]
        if kind == "unix":
            return f"unix:{place}"
        if kind == "tcp":
            return f"http://127.0.0.1:{place}"
    raise click.ClickException("the configuration has no private listener; say --server URL")


def read_params(pairs: tuple[str, ...]) -> dict[str, object]:
    """``name=value`` arguments as params; a name that is repeated becomes a list.

    :raises click.BadParameter: one has no ``=``.
    """
    params: dict[str, object] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.BadParameter(f"{pair!r} is no name=value")
        if name in params:
            before = params[name]
            params[name] = [*(before if isinstance(before, list) else [before]), value]
        else:
            params[name] = value
    return params


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
    "--message-key",
    metavar="TEXT",
    help="The message's key, in a channel that keeps the newest of each.",
)
@click.option("--delete", is_flag=True, help="End that key.")
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
    message_key: str | None,
    delete: bool,
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
        value: object = json.loads(text)
    except ValueError as bad:
        raise click.ClickException(
            f"DATA is no JSON: {bad} (a text needs quotes: '\"hi\"')"
        ) from None
    try:
        publisher = Publisher(server_url(config, server), key, ca_file=ca_file, patience=patience)
        stored = publisher.publish(
            channel,
            read_params(param),
            type,
            value,
            idempotency_key=idempotency_key,
            key=message_key,
            delete=delete,
        )
    except TakoError as refused:
        again = getattr(refused, "idempotency_key", None)
        hint = f" (to try again: --idempotency-key {again})" if again else ""
        raise click.ClickException(f"{refused}{hint}") from None
    message = {"id": stored.id, "channel": stored.channel, "type": stored.type}
    click.echo(json.dumps(message | {"data": stored.data}, ensure_ascii=False))
