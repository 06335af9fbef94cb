"""``tako dev``: the server while an app is written.

Rule: the reactor is chosen before anything imports one, and watchfiles is asked for before that.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from takotwist.cli.configured import config_option
from takotwist.errors import TakoError
from takotwist.interfaces import IReactor

if TYPE_CHECKING:
    from takotwist.development.options import DevelopmentOptions
    from takotwist.server.config import Config
    from takotwist.server.service import Beside, TakoService

#: Says to the process that comes in the place of this one what it must know; pages are
#: loaded anew by what it holds.
STARTED_OVER = "TAKO_DEV_STARTED_OVER"

#: Beside the CA, where somebody does not want to be asked again.
DECLINED = "development-ca.declined"


@click.command("dev")
@config_option
@click.option("--listen", multiple=True, metavar="ENDPOINT", help="Plain HTTP, such as tcp:8080.")
@click.option("--tls-listen", multiple=True, metavar="ENDPOINT", help="HTTPS, such as tcp:9443.")
@click.option("--state-dir", metavar="FOLDER", help="For the database and private socket.")
@click.option("--app-url", metavar="URL", help="Where the app answers that authorizes.")
@click.option("--channels", metavar="FOLDER", help="The channel definitions: folder or module.")
@click.option("--open", "show", is_flag=True, help="Open it in a browser.")
@click.option("--check", is_flag=True, hidden=True, help="Only read everything, and end.")
def command(show: bool, check: bool, **flags: object) -> None:
    """Run the server while you write an app.

    It serves HTTPS on https://localhost:8443 and plain HTTP on port 8080, to this machine alone,
    and takes up each change of a file:

    \b
      channels, functions    read again, in under a second; no connection is dropped
      other modules          checked, then the server starts over in a second or two;
                             clients resume
      pages                  browsers that show them load them again
      tako.toml              read again, or started over where that is needed

    An error is shown with its file and line, here and in the browser's console, and what ran
    before goes on. [dev] in tako.toml names commands to run beside it (the app's own server,
    a bundler), the server that answers all other paths, and the file of TypeScript types that
    is written again with each change.

    It needs watchfiles: pip install 'takotwist[dev]'.

    \b
    Examples:
      tako dev
      tako dev --open
      tako dev --tls-listen tcp:9443
    """
    if find_spec("watchfiles") is None:
        raise click.ClickException(
            f"it needs watchfiles: {sys.executable} -m pip install 'takotwist[dev]'"
        )
    from takotwist.development.options import DevelopmentOptions

    options = DevelopmentOptions()
    options.update({name.replace("_", "-"): value for name, value in flags.items()})
    if check:
        _check(options)
        return
    _begin(lambda: options.config(), Path.cwd())
    if STARTED_OVER not in os.environ:
        _offer_trust(options.config())
    from twisted.internet import asyncioreactor

    asyncioreactor.install()
    _run(options, show and STARTED_OVER not in os.environ)


def _say(text: str, wrong: bool = False) -> None:
    click.secho(text, err=True, fg="red" if wrong else "green")


def _check(options: DevelopmentOptions) -> None:
    """Read everything that a start reads; the process ends with 1 where something is wrong."""
    from takotwist.core.channel import Registry
    from takotwist.server.app_code import read_channels, read_functions
    from takotwist.server.sites import load_pages

    try:
        config = options.config()
        load_pages(config.app.pages, config.folder)
        Registry.of([*config.defined, *read_channels(config).defined])
        read_functions(config)
    except TakoError as wrong:
        click.echo(str(wrong), err=True)
        raise SystemExit(1) from None


def _begin(make: Callable[[], object], folder: Path) -> Any:
    """The result of `make`; where it fails after a change has led here, the next change is
    awaited."""
    try:
        return make()
    except (TakoError, SystemExit) as wrong:
        from takotwist.development.problem import Problem

        _say(Problem.of(str(wrong)).shown(folder.resolve()), wrong=True)
        if STARTED_OVER not in os.environ:
            raise SystemExit(1) from None
    from watchfiles import watch

    from takotwist.development.watch import folders_of

    said = False
    watching = watch(*folders_of(folder), recursive=False, rust_timeout=100, yield_on_timeout=True)
    for changes in watching:
        if any(Path(path).suffix in (".py", ".toml") for _, path in changes):
            _start_over()
        if not said:
            # Not before the watching has begun.
            _say("Waiting for the next change.", wrong=True)
            said = True
    raise SystemExit(130)


def _offer_trust(config: Config) -> None:
    """Ask whether browsers are to trust the development CA, once."""
    from takotwist.cli.trust import trust_in_browsers
    from takotwist.server.tls import development_certificate, tako_command
    from takotwist.tls.trust_stores import CHROME_DATABASE, NssStore, TrustFailed

    if config.tls.certificate is not None:
        return
    try:
        authority = development_certificate(config, datetime.now(UTC)).authority
        if NssStore(Path.home() / CHROME_DATABASE).has(authority):
            return
        declined = authority.with_name(DECLINED)
        if not (sys.stdin.isatty() and sys.stderr.isatty()) or declined.exists():
            _say(f"Browsers warn of the certificate until `{tako_command()} trust --nss`.")
            return
        click.echo(
            f"HTTPS here is by a development CA, {authority}, which can sign for localhost only.\n"
            "Trusted, it ends the browser's warning; `tako trust --remove` undoes it.",
            err=True,
        )
        if click.confirm("Have Chrome, Chromium and Firefox trust it?", default=True, err=True):
            trust_in_browsers(authority)
        else:
            declined.touch(mode=0o600)
    except (TrustFailed, TakoError) as failed:
        _say(f"Browsers will warn of the certificate: {failed}", wrong=True)


def _run(options: DevelopmentOptions, show: bool) -> None:
    from threading import Lock

    from twisted.internet.task import LoopingCall

    from takotwist.development.browser import Browsers, pages
    from takotwist.development.commands import Kept, commands, start
    from takotwist.development.development import Development
    from takotwist.development.watch import FileWatch
    from takotwist.server.log import start_logging
    from takotwist.server.process import installed_reactor
    from takotwist.server.service import Beside, TakoService
    from takotwist.server.start import make_service

    reactor = installed_reactor()
    config = options.config()
    folder = config.folder.resolve()
    flush = start_logging(options.log())
    browsers = Browsers(int(os.environ.get(STARTED_OVER, "0")))

    def beside(service: TakoService) -> Beside:
        url = config.dev.pages_url or (config.app.url if config.app.pages is None else None)
        own = config.app.pages is None and url is None
        more = pages(
            browsers, service.definitions.registry, lambda: service.functions, folder, own=own
        )
        if url is None:
            return Beside(more)
        from takotwist.development.app_proxy import AppPages

        return Beside(more, AppPages(url, reactor))

    over = False

    def start_over() -> None:
        nonlocal over
        over = True
        reactor.stop()

    def make(config: Config, reactor: IReactor) -> TakoService:
        return TakoService(config, reactor, beside=beside)

    hangup = signal.getsignal(signal.SIGHUP)
    service: TakoService = _begin(lambda: make_service(options, reactor, make), folder)
    _end_with_terminal(hangup)
    kept = Kept()
    running = commands(config.dev.run, folder, _environ(config), _say_of, kept)

    one_at_a_time = Lock()

    def start_commands(over: bool) -> None:
        with one_at_a_time:
            start(running, over)

    development = Development(
        service,
        browsers,
        options.config_again,
        [*_program(), "--check"],
        start_over,
        _say,
        reactor,
        lambda over: reactor.callInThread(start_commands, over),
    )
    FileWatch(folder, [config.state_dir], reactor, development.changed).setServiceParent(service)
    _begin(service.startService, folder)
    start_commands(False)

    def greet() -> None:
        if service.ready:
            waiting.stop()
            _greet(config, folder)
            development.begin()
            if show:
                click.launch(_address(config))

    waiting = LoopingCall(greet)
    waiting.clock = reactor
    waiting.start(0.02)
    reactor.addSystemEventTrigger("before", "shutdown", browsers.close)
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()
    for one in running:
        one.stop()
    kept.close()
    flush()
    if over:
        os.environ[STARTED_OVER] = str(browsers.generation)
        _start_over()


def _end_with_terminal(before: object) -> None:
    """Let SIGHUP end it: files are watched, so what it says is that the terminal is closed.

    :param before: what SIGHUP did at the start; where it was ignored (nohup), it still is.
    """

    def end(number: int, frame: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGHUP, signal.SIG_IGN if before is signal.SIG_IGN else end)


def _start_over() -> NoReturn:
    os.environ.setdefault(STARTED_OVER, "0")
    sys.stdout.flush()
    sys.stderr.flush()
    program, *arguments = _program()
    os.execv(program, [program, *arguments])


def _program() -> Sequence[str]:
    """The command line of this process."""
    return [sys.executable, *sys.orig_argv[1:]]


def _environ(config: Config) -> dict[str, str]:
    """The environment of the commands beside the server."""
    environ = {name: value for name, value in os.environ.items() if name != STARTED_OVER}
    if config.app.token:
        environ["TAKO_APP_TOKEN"] = config.app.token
    private = next((one for one in config.private.listen if one.startswith("unix:")), None)
    if private is not None:
        from takotwist.server.config.endpoint_text import EndpointText

        environ.setdefault("TAKO_PUBLISH_URL", f"unix:{EndpointText.parse(private).path}")
    return environ


def _say_of(name: str, line: str) -> None:
    click.echo(f"{click.style(f'{name:>10} |', fg='cyan')} {line}", err=True)


def _address(config: Config) -> str:
    from takotwist.server.config.endpoint_text import EndpointText

    port = EndpointText.parse(config.tls.listen[0]).port
    return f"https://localhost:{port}/"


def _greet(config: Config, folder: Path) -> None:
    _say(f"\n  {_address(config)}\n  Changes in {folder} are taken up. Ctrl-C ends it.\n")
