"""A page of a running server's private listener, for the commands that print one."""

from __future__ import annotations

import click

from takotwist.app.http_address import Address
from takotwist.app.http_exchange import Deadline, HttpExchange
from takotwist.cli.publish import server_url
from takotwist.codecs.http_answer import HttpAnswer
from takotwist.errors import TakoError

#: Seconds for an answer: a server of several nodes asks the others.
PATIENCE = 10.0


def private_page(config: str | None, server: str | None, path: str) -> bytes:
    """The body of a page.

    :raises click.ClickException: there is none; says why.
    """
    url, answer = ask(config, server, path, PATIENCE)
    if answer.status != 200:
        raise click.ClickException(f"{url} answered {answer.status}; is it the private listener?")
    return answer.body


def ask(
    config: str | None, server: str | None, path: str, seconds: float
) -> tuple[str, HttpAnswer]:
    """The server's address, and its answer, whatever it is.

    :raises click.ClickException: there is none in time; says why.
    """
    url = server_url(config, server)
    try:
        exchange = HttpExchange(Address.of(url))
    except TakoError as unusable:
        raise click.ClickException(str(unusable)) from None
    try:
        return url, exchange("GET", path, {}, b"", Deadline.within(seconds))
    except OSError as failure:
        reason = failure.strerror or failure
        raise click.ClickException(f"no server answers at {url}: {reason}") from None
    finally:
        exchange.close()
