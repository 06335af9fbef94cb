"""``tako check-config``: what would run, or all that is wrong.

The app's modules are imported, as a start would import them: what is wrong in them
stops it too.  Rule: nothing is opened, made or changed, so it is safe beside a
running server.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import click

from takotwist.cli.configured import config_option, configured
from takotwist.cli.progress import progress
from takotwist.core.channel import Defined, Registry
from takotwist.core.counted import counted
from takotwist.errors import TakoError
from takotwist.server.app_code import read_channels, read_functions
from takotwist.server.config import KEYS, Config
from takotwist.server.config.reference import toml_value
from takotwist.server.sites import load_pages
from takotwist.server.tuning import raise_open_files
from takotwist.tls.certificate import read_pair


@click.command("check-config")
@config_option
def command(config: str | None) -> None:
    """Check the configuration and show what would run.

    Reads the file, TAKO_<SECTION>_<KEY> from the environment, the certificate, and the app's
    definitions. Prints every problem with the configuration, not only the first, and then exits
    with 1. Secrets are never printed.

    \b
    Examples:
      tako check-config
      tako check-config --config /etc/tako/tako.toml
      TAKO_TLS_LISTEN=tcp:443 tako check-config
    """
    checked = configured(config=config)
    warnings = list(checked.warnings)
    try:
        certificate = _certificate(checked, warnings)
        with progress("reading the app's modules"):
            load_pages(checked.app.pages, checked.folder)
            channels = _channels(checked)
            functions = read_functions(checked)
        if checked.tokens.wanted:
            # Here, because what it imports is an extra.
            from takotwist.server.tokens import fixed_keys

            fixed_keys(checked.tokens)
    except TakoError as bad:
        click.echo(str(bad), err=True)
        raise SystemExit(1) from None
    if shortage := raise_open_files().shortage(checked.limits.max_connections):
        warnings.append(shortage)
    file = checked.file
    click.echo(f"{file} is fine." if file else "There is no tako.toml here; the defaults are fine.")
    click.echo()
    for label, text in [*_parts(checked, certificate, channels, functions)]:
        click.echo(f"  {label:<10}{text}")
    _echo_block("Said:", list(_said(checked)))
    _echo_block("Warnings:", warnings)


def _echo_block(title: str, lines: list[str]) -> None:
    if lines:
        click.echo(f"\n{title}")
        for line in lines:
            click.echo(f"  {line}")


def _channels(config: Config) -> list[Defined]:
    """All channels of this process.

    :raises DefinitionError: one cannot be read, or two have one name.
    """
    return list(Registry.of([*config.defined, *read_channels(config).defined]))


def _parts(
    config: Config, certificate: str, channels: Iterable[Defined], functions: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """Parts of the server, a line each."""
    yield "http", ", ".join(config.http.listen) or "off"
    yield "https", f"{', '.join(config.tls.listen)}, {certificate}" if config.tls.listen else "off"
    yield "private", ", ".join(config.private.listen) or "off"
    yield "paths", ", ".join(config.http.base_paths)
    yield "origins", ", ".join(config.http.allowed_origins) or "the same origin only"
    if config.app.url:
        token = "with a token" if config.app.token else "without a token"
        yield "app", f"{config.app.url} as {config.app.name}, {token}"
    yield "channels", str(config.app.channels or "none in Python")
    for defined in channels:
        yield "", _channel(defined)
    if config.app.functions:
        yield "functions", f"{config.app.functions}: {', '.join(sorted(functions)) or 'none'}"
    if config.app.pages:
        yield "pages", str(config.app.pages)
    yield "publish", f"{counted(len(config.publish.keys), 'key')}, {_rate(config)}"
    where = str(config.replay.path)
    if config.replay.url is not None:
        where = f"PostgreSQL (replay.url), schema {config.replay.schema}"
    yield "replay", f"{where}, durability {config.replay.durability}"
    yield "log", f"{config.log.format}, {config.log.level} and above"


def _rate(config: Config) -> str:
    rate = config.publish.rate
    return f"{counted(rate, 'message')} a second each" if rate else "no limit"


def _channel(defined: Defined) -> str:
    channel = defined.definition
    access = "the app is asked" if channel.verified else "public"
    transport = "SSE and WebSocket" if channel.bidirectional else "SSE"
    params = ", ".join(channel.params.names)
    return f"{channel.name}({params}): {access}, {transport}"


def _said(config: Config) -> Iterator[str]:
    """Every key that is not left at its default, and where it was said."""
    for dotted, source in config.sources.items():
        key = KEYS[dotted]
        value = "(secret)" if key.setting.secret else toml_value(config.value(key))
        yield f"{dotted} = {value}   ({source})"


def _certificate(config: Config, warnings: list[str]) -> str:
    """Name the certificate that HTTPS would show.

    :raises ConfigError: it cannot be used.
    """
    tls = config.tls
    if tls.domains:
        return f"obtained for {', '.join(tls.domains)} from {tls.acme_directory}"
    if tls.certificate is None or tls.key is None:
        return f"a development certificate in {config.state_dir / 'tls'}"
    pair = read_pair(tls.certificate, tls.key)
    if warning := pair.expiry_warning(datetime.now(UTC)):
        warnings.append(warning)
    names = ", ".join(pair.names[:4]) + (", ..." if len(pair.names) > 4 else "")
    return f"{names or 'a certificate'} until {pair.leaf.not_valid_after_utc:%Y-%m-%d}"
