"""``tako serve``: the server in the foreground, on the asyncio reactor.

Rule: the reactor is chosen before anything imports one.
"""

from __future__ import annotations

import sys

import click

from takotwist.cli.configured import config_option


@click.command("serve")
@config_option
@click.option("--listen", multiple=True, metavar="ENDPOINT", help="Plain HTTP, such as tcp:8080.")
@click.option("--tls", is_flag=True, help="Serve HTTPS, on port 8443 unless said otherwise.")
@click.option("--tls-listen", multiple=True, metavar="ENDPOINT", help="HTTPS, such as tcp:443.")
@click.option("--certificate", metavar="FILE", help="The certificate and its chain (PEM).")
@click.option("--key", metavar="FILE", help="The certificate's private key (PEM).")
@click.option("--state-dir", metavar="FOLDER", help="For the database and the development CA.")
@click.option("--app-url", metavar="URL", help="Where the app answers that authorizes.")
@click.option("--channels", metavar="FOLDER", help="The channel definitions: folder or module.")
@click.option("--log-format", type=click.Choice(["text", "json"]), help="How a line looks.")
@click.option("--workers", metavar="N", help="Worker processes, or auto: one for each CPU.")
@click.option(
    "--reactor",
    type=click.Choice(["asyncio", "epoll"]),
    default="asyncio",
    show_default=True,
    help="The event loop.",
)
def command(reactor: str, **flags: object) -> None:
    """Run the server in the foreground.

    It is the server of `twistd tako`, with the same flags, and stays in the terminal until Ctrl-C.

    \b
    Which reactor?
      asyncio   runs channel definitions whose coroutines use asyncio libraries
                (httpx, asyncpg, SQLAlchemy's async engine); the default here.
      epoll     faster; runs plain functions and coroutines over Deferreds; the
                default of `twistd tako`.

    \b
    Examples:
      tako serve --tls
      tako serve --config examples/chat/tako.toml
      tako serve --reactor epoll --listen tcp:9000
      tako serve --workers auto
    """
    if reactor == "asyncio":
        from twisted.internet import asyncioreactor

        asyncioreactor.install()
    else:
        from twisted.internet import epollreactor

        epollreactor.install()
    sys.exit(_run(flags))


def _run(flags: dict[str, object]) -> int:
    from takotwist.errors import ConfigError
    from takotwist.server.log import start_logging
    from takotwist.server.options import Options
    from takotwist.server.process import installed_reactor
    from takotwist.server.start import make_service

    options = Options()
    options.update({name.replace("_", "-"): value for name, value in flags.items()})
    try:
        options.config()
    except ConfigError as bad:
        click.echo(str(bad), err=True)
        return 1
    flush = start_logging(options.log())
    reactor = installed_reactor()
    service = make_service(options, reactor)
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()
    flush()
    return service.exit_code
