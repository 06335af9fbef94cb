"""Credentials of a caller: fixed, or asked for anew.

Rule: a callable is asked before every connection, so credentials that the
server sees are as fresh as the app can make them; caching is the app's choice.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from takotwist.client.errors import NoAnswer
from takotwist.client.machine.outcome import Action, Outcome
from takotwist.client.machine.policy import CredentialsKind

#: The text of one header (``Bearer abc``), several headers (cookies too), or none.
CredentialsValue = str | Mapping[str, str] | None

#: A value, or what gives one: a plain function, or one whose result is awaited.
Credentials = CredentialsValue | Callable[[], object]

#: What a header may be named (RFC 9110, section 5.6.2).
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")


def unavailable(failed: Exception) -> Outcome:
    """The callable failed: perhaps the login service is away, so it is asked again later."""
    # The text of an error of the app's may hold what it was about.
    why = str(failed) if isinstance(failed, NoAnswer) else "The credentials could not be had."
    return Outcome(Action.BACKOFF, "credentials-unavailable", why)


def kind_of(credentials: Credentials) -> CredentialsKind:
    """Kind of these credentials."""
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
    :raises ValueError: what cannot be sent; names the header and never repeats its value,
        as the libraries below do.
    """
    if value is None:
        return {}
    headers = {header: value} if isinstance(value, str) else dict(value)
    return {_checked_name(name): _checked(text, name) for name, text in headers.items()}


def token_of(value: CredentialsValue) -> str | None:
    """`value` as it goes into a frame.

    :raises ValueError: when it is more than one text, or none that can be sent.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return _checked(value, "credentials")
    raise ValueError("credentials that go into a frame must be one text, not headers")


def _checked_name(name: str) -> str:
    if isinstance(name, str) and _TOKEN.fullmatch(name):
        return name
    # Not repeated: who mixes up the two arguments has given the value as its name.
    raise ValueError("the name of a header cannot be sent")


def _checked(text: str, name: str) -> str:
    # White space around a header's value is no part of it, such as a file's line end.
    stripped = text.strip() if isinstance(text, str) else "\n"
    if not stripped.isprintable():
        raise ValueError(f"the header {name!r} cannot be sent")
    return stripped
