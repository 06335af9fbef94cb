"""What a caller gives to be let in.

Rule: a callable is asked before every connection, so credentials that the
server sees are as fresh as the app can make them; caching is the app's choice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from takotwist.client.outcome import Action, Outcome
from takotwist.client.policy import CredentialsKind

#: The text of one header (``Bearer abc``), several headers (cookies too), or none.
CredentialsValue = str | Mapping[str, str] | None

#: A value, or what gives one: a plain function, or one whose result is awaited.
Credentials = CredentialsValue | Callable[[], Any]

#: The callable failed: perhaps the login service is away, so it is asked again later.
UNAVAILABLE = Outcome(
    Action.BACKOFF, "credentials-unavailable", "The credentials could not be had."
)


def kind_of(credentials: Credentials) -> CredentialsKind:
    """What kind of credentials these are."""
    if credentials is None:
        return "none"
    return "callable" if callable(credentials) else "fixed"


async def value_of(
    credentials: Credentials, ask: Callable[..., Awaitable[Any]]
) -> CredentialsValue:
    """The value, asked for anew where it comes from a callable.

    :param ask: calls a function whose result may have to be waited for.
    """
    if callable(credentials):
        value: CredentialsValue = await ask(credentials)
        return value
    return credentials


def headers_of(value: CredentialsValue, header: str) -> dict[str, str]:
    """`value` as headers of a request.

    :param header: name of the header that a text goes into.
    """
    if value is None:
        return {}
    return {header: value} if isinstance(value, str) else dict(value)


def token_of(value: CredentialsValue) -> str | None:
    """`value` as it goes into a frame.

    :raises ValueError: when it is more than one text.
    """
    if value is None or isinstance(value, str):
        return value
    raise ValueError("credentials that go into a frame must be one text, not headers")
