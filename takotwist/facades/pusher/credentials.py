"""Credentials of a client, and its identity by them.  Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from takotwist.errors import BodyInvalid, CredentialsMissing, MessageTooLarge, VerifyRejected
from takotwist.facades.pusher.apps import PusherApp, PusherSettings
from takotwist.facades.pusher.names import Name, is_user_id
from takotwist.facades.pusher.roster import info_of
from takotwist.facades.pusher.signatures import is_signed, of_channel, of_user

#: A user who has signed in: its id, and what the app says of it.
User = tuple[str, dict[str, object]]


def let_in(
    app: PusherApp,
    settings: PusherSettings,
    socket_id: str,
    user: User | None,
    name: Name,
    data: Mapping[str, object],
) -> tuple[str | None, bytes]:
    """Check the signature of a subscription.

    :param socket_id: of the connection; `user`: who has signed in on it.
    :param data: what the client has sent.
    :return: the member that the client is, and what it shows, in a presence channel.
    :raises CredentialsMissing: the signature is not the app's.
    """
    if name.user is not None:
        if user is None or user[0] != name.user:
            raise VerifyRejected("Only the user who has signed in follows this channel.")
        return None, b"null"
    if not name.signed:
        return None, b"null"
    shown = data.get("channel_data")
    if shown is not None and not isinstance(shown, str):
        raise BodyInvalid("channel_data must be a string.")
    text = of_channel(socket_id, name.text, shown if name.presence else None)
    if not is_signed(app.key, app.secret, data.get("auth"), text):
        raise CredentialsMissing("The signature of this subscription is not the app's.")
    if not name.presence:
        return None, b"null"
    if shown is None:
        if user is None:
            raise BodyInvalid("A presence channel needs channel_data, or a user who signed in.")
        return _member(settings, user[0], info_of(user[1], "user_info"))
    said = _object(shown, "channel_data")
    return _member(settings, said.get("user_id"), info_of(said, "user_info"))


def _member(settings: PusherSettings, user_id: object, info: bytes) -> tuple[str, bytes]:
    user_id = _user_id(user_id, "user_id")
    most = settings.max_user_info_bytes
    if len(info) > most:
        raise MessageTooLarge(f"user_info has {len(info)} bytes; at most {most} are taken.")
    return user_id, info


def _object(text: str, what: str) -> dict[str, object]:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise BodyInvalid(f"{what} must be an object, as JSON.")
    return value


def _user_id(value: object, what: str) -> str:
    """Libraries send numbers too."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not is_user_id(text):
        raise BodyInvalid(f"{what} must have 1 to 128 characters.")
    assert isinstance(text, str)
    return text


def sign_in(app: PusherApp, socket_id: str, data: Mapping[str, object]) -> User:
    """Check the signature of a user.

    :raises CredentialsMissing: it is not the app's. :raises BodyInvalid: it is, of no user.
    """
    shown = data.get("user_data")
    text = of_user(socket_id, shown) if isinstance(shown, str) else ""
    if not text or not is_signed(app.key, app.secret, data.get("auth"), text):
        raise CredentialsMissing("The signature of this user is not the app's.")
    assert isinstance(shown, str)
    said = _object(shown, "user_data")
    return _user_id(said.get("id"), "user_data.id"), said
