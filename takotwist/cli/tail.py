"""``tako tail``: follow a topic in a shell, resuming after every cut."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from takotwist.cli.configured import config_option
from takotwist.cli.publish import read_params, server_option, server_url
from takotwist.cli.standard_output import give_up, is_unread
from takotwist.core.json_values import Json
from takotwist.interfaces import IReactor

#: How soon after a cut somebody at the terminal is told of it.
LOOK_SECONDS = 1.0

#: How soon it is noticed that nobody reads any more what is printed.
READER_SECONDS = 0.2


@click.command("tail")
@click.argument("channel")
@click.option("-p", "--param", multiple=True, metavar="NAME=VALUE", help="A param of the topic.")
@click.option("--cursor", metavar="ID", help="Begin after this message; 0: with the whole window.")
@config_option
@server_option
@click.option("--header", metavar="TEXT", help="The credentials, such as 'Bearer abc'.")
@click.option("--ca-file", metavar="FILE", help="Certificates to trust in place of the system's.")
def command(
    channel: str,
    param: tuple[str, ...],
    cursor: str | None,
    config: str | None,
    server: str | None,
    header: str | None,
    ca_file: str | None,
) -> None:
    """Follow a topic and print its messages, one JSON text a line.

    It reconnects by itself and prints each message once. On standard error it says when messages
    were lost to the replay window, and why there is no connection while there is none. Through the
    private listener nobody is asked whether you may.

    \b
    Examples:
      tako tail chat -p roomId=lobby
      tako tail chat -p roomId=lobby --cursor 0
      tako tail news --server https://example.com
    """
    from twisted.internet.defer import ensureDeferred
    from twisted.internet.task import react

    url, params = server_url(config, server), read_params(param)
    react(
        lambda reactor: ensureDeferred(
            _follow(reactor, url, channel, params, cursor, header, ca_file)
        )
    )


async def _follow(
    reactor: IReactor,
    url: str,
    channel: str,
    params: dict[str, Json],
    cursor: str | None,
    header: str | None,
    ca_file: str | None,
) -> None:
    from twisted.internet.task import LoopingCall

    from takotwist.client.events import Message
    from takotwist.client.twisted import subscribe
    from takotwist.errors import TakoError

    watching: list[LoopingCall] = []

    def watch(look: Callable[[], object], seconds: float) -> None:
        call = LoopingCall(look)
        call.clock = reactor
        watching.append(call)
        call.start(seconds, now=False)

    try:
        async with subscribe(
            reactor,
            url,
            channel,
            params=params,
            cursor=cursor,
            credentials=header,
            ca_file=ca_file,
            transport="sse",
        ) as following:
            watch(Trouble(following, url).look, LOOK_SECONDS)
            watch(partial(_end_when_unread, following), READER_SECONDS)
            async for event in following:
                if isinstance(event, Message):
                    message = {"id": event.id, "channel": event.channel, "type": event.type}
                    click.echo(json.dumps(message | {"data": event.data}, ensure_ascii=False))
                    sys.stdout.flush()
                else:
                    click.echo(f"messages were missed: {event.reason}", err=True)
    except TakoError as refused:
        click.echo(f"Error: {refused}", err=True)
        raise SystemExit(1) from None
    except BrokenPipeError:
        give_up()
    finally:
        for call in watching:
            if call.running:
                call.stop()


async def _end_when_unread(following: Any) -> None:
    if is_unread():
        await following.close()


class Trouble:
    """Says on standard error why nothing comes, once for each reason."""

    def __init__(self, following: Any, url: str) -> None:
        self._following, self._url = following, url
        self._said: str | None = None

    def look(self) -> None:
        """Say what has changed since the last look."""
        trouble = self._following.trouble
        if trouble == self._said:
            return
        self._said = trouble
        if trouble is None:
            click.echo("connected", err=True)
        else:
            click.echo(f"no connection to {self._url}, trying again: {trouble}", err=True)
