"""Where the running server of this machine is spoken to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from takotwist.cli.configured import configured

#: The option that names another server than the configuration's.
server_option: Callable[[Any], Any] = click.option(
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


def read_params(pairs: tuple[str, ...]) -> dict[str, Any]:
    """``name=value`` arguments as params; a name that is repeated becomes a list.

    :raises click.BadParameter: one has no ``=``.
    """
    params: dict[str, Any] = {}
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
