"""``tako token``: making signed tokens, and revoking them.

Rule: a token goes to standard output and nowhere else; the key that signs it is read from
where the server reads it, or from a file, and never from the command line.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import parse_qsl

import click

from takotwist.cli.configured import config_option, configured
from takotwist.core.authorization import Operation
from takotwist.core.token import READING, Claims, Permission

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

_OPERATIONS = get_args(Operation)


class Duration(click.ParamType[int]):
    """Seconds, or a number with a unit."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"([0-9]{1,9})([smhd]?)", value)
        seconds = int(found[1]) * _UNITS[found[2] or "s"] if found else 0
        if not seconds:
            self.fail(f"{value!r} is no duration, such as 15m, 12h or 30d", param, ctx)
        return seconds


@click.group("token")
def command() -> None:
    """Make tokens that let into channels, or revoke them.

    Which channels take tokens, and by which keys, is in [tokens] of the configuration.
    """


@command.command("new")
@config_option
@click.option("--subject", metavar="TEXT", help="Who has it (sub).")
@click.option(
    "--channel",
    "channels",
    multiple=True,
    metavar="NAME[?PARAMS]",
    help='What it lets into, such as chat?roomId=lobby; "*" is every channel.',
)
@click.option(
    "--function",
    "functions",
    multiple=True,
    metavar="NAME",
    help='A function that it may call; "*" is every one.',
)
@click.option(
    "--operation",
    "operations",
    multiple=True,
    type=click.Choice(_OPERATIONS),
    help="What it allows there.  [default: all but publish]",
)
@click.option("--publish", is_flag=True, help="Allow publish as well.")
@click.option(
    "--expires",
    type=Duration(),
    default="1h",
    show_default=True,
    help="How long it is good, such as 15m, 12h or 30d.",
)
@click.option("--audience", metavar="TEXT", help="For whom it is.  [default: tokens.audience]")
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Sign with this private key (PEM), not with the first of tokens.secrets.",
)
@click.option("--kid", metavar="TEXT", help="The name of the key in its set.")
def new(
    config: str | None,
    subject: str | None,
    channels: tuple[str, ...],
    functions: tuple[str, ...],
    operations: tuple[Operation, ...],
    publish: bool,
    expires: int,
    audience: str | None,
    key: Path | None,
    kid: str | None,
) -> None:
    """Make one token and print it.

    \b
    Examples:
      tako token new --subject ann --channel 'chat?roomId=lobby' --publish
      tako token new --channel '*' --operation history --expires 30d
    """
    if not (channels or functions):
        raise click.UsageError("say what it lets into: --channel or --function")
    tokens = configured(config=config).tokens
    allowed = frozenset(operations) or READING
    if publish:
        allowed |= {"publish"}
    now = int(time.time())
    claims = Claims(
        subject=subject,
        expires_at=now + expires,
        issued_at=now,
        issuer=tokens.issuer,
        audience=(audience or tokens.audience,),
        permissions=(
            *(_channel(one, allowed) for one in channels),
            *(Permission("function", one, {}, allowed) for one in functions),
        ),
    )
    # Here, because what it imports is an extra.
    try:
        from takotwist.adapters.token_signing import private_key, sign_claims
    except ImportError:
        raise click.ClickException("needs PyJWT: pip install 'takotwist[tokens]'") from None

    signing: PrivateKeyTypes | bytes
    try:
        if key is not None:
            signing = private_key(key)
        elif tokens.secrets:
            signing = tokens.secrets[0].encode()
        else:
            raise click.ClickException(
                "there is nothing to sign with: set tokens.secrets_file, or give --key"
            )
        click.echo(sign_claims(claims, tokens.claim, signing, kid))
    except ValueError as bad:
        raise click.ClickException(str(bad)) from None


def _channel(text: str, operations: frozenset[Operation]) -> Permission:
    name, _, query = text.partition("?")
    params: dict[str, tuple[object, ...]] = {}
    for param, value in parse_qsl(query, keep_blank_values=True):
        params[param] = (*params.get(param, ()), value)
    return Permission("channel", name, params, operations)


@command.command("revoke")
@config_option
@click.argument("subject")
def revoke(config: str | None, subject: str) -> None:
    """Make all tokens void that SUBJECT has now.

    Those that are issued to it from the next second on count again.  A running server sees it
    within a second, and ends what was let in by them.
    """
    from takotwist.adapters.revocations import revoke
    from takotwist.errors import ConfigError
    from takotwist.server.state_folder import make_folder

    path = configured(config=config).tokens.revoked_file
    try:
        make_folder(path.parent)
        revoke(path, subject, int(time.time()))
    except (ValueError, ConfigError) as bad:
        raise click.ClickException(f"{path}: {bad}") from None
    click.echo(f"Tokens of {subject} issued until now are void.")
