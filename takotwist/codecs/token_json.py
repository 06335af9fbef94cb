"""The payload of a signed token, as bytes and as `Claims`.

Rule: a claim that cannot be read makes the whole token void.  An unknown member of an entry
is one of these: a misspelt ``params`` that was passed over would open every room.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from takotwist.core.authorization import Operation, check_expiry
from takotwist.core.token import READING, Claims, Permission
from takotwist.errors import VerifyRejected

#: Most entries of the claim, and most values of one param.
MAX_ENTRIES, MAX_VALUES = 256, 256

_Value = str | int | float | bool


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    channel: str | None = None
    function: str | None = None
    params: dict[str, _Value | list[_Value]] = {}
    operations: list[Operation] | None = None


def read_claims(payload: bytes, claim: str) -> Claims:
    """Read the payload of a token.

    :param claim: the name of the claim with the permissions.
    :raises VerifyRejected: names the claim.
    """
    try:
        said: object = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise VerifyRejected("The token's payload is no JSON object.")
    if "exp" not in said:
        raise VerifyRejected("The token has no exp: one that never ends is not taken.")
    end = _time(said, "exp")
    assert end is not None
    return Claims(
        subject=_text(said, "sub"),
        expires_at=end,
        not_before=_time(said, "nbf"),
        issued_at=_time(said, "iat"),
        issuer=_text(said, "iss"),
        audience=_audience(said.get("aud")),
        permissions=_permissions(said.get(claim, []), claim),
    )


def _unreadable(claim: str) -> VerifyRejected:
    return VerifyRejected(f"The token's claim {claim!r} cannot be read.")


def _text(said: Mapping[str, object], claim: str) -> str | None:
    value = said.get(claim)
    if value is not None and not isinstance(value, str):
        raise _unreadable(claim)
    return value


def _time(said: Mapping[str, object], claim: str) -> float | None:
    if claim not in said:
        return None
    try:
        return check_expiry(said[claim])
    except ValueError:
        raise _unreadable(claim) from None


def _audience(said: object) -> tuple[str, ...]:
    several = said if isinstance(said, list) else [] if said is None else [said]
    if not all(isinstance(one, str) for one in several):
        raise _unreadable("aud")
    return tuple(several)


def _permissions(said: object, claim: str) -> tuple[Permission, ...]:
    try:
        entries = msgspec.convert(said, list[_Entry])
    except (msgspec.ValidationError, RecursionError):
        raise _unreadable(claim) from None
    if len(entries) > MAX_ENTRIES:
        raise _unreadable(claim)
    return tuple(_permission(one, claim) for one in entries)


def _permission(entry: _Entry, claim: str) -> Permission:
    name = entry.channel if entry.function is None else entry.function
    if name is None or (entry.channel is not None and entry.function is not None):
        raise _unreadable(claim)
    params = {}
    for param, said in entry.params.items():
        params[param] = tuple(said) if isinstance(said, list) else (said,)
        if len(params[param]) > MAX_VALUES:
            raise _unreadable(claim)
    operations = READING if entry.operations is None else frozenset(entry.operations)
    kind = "channel" if entry.function is None else "function"
    return Permission(kind, name, params, operations)  # type: ignore[arg-type]


def write_claims(claims: Claims, claim: str) -> bytes:
    """The payload for a token that says this."""
    said: dict[str, object] = {
        "iss": claims.issuer,
        "sub": claims.subject,
        "aud": claims.audience[0] if len(claims.audience) == 1 else list(claims.audience),
        "iat": claims.issued_at,
        "nbf": claims.not_before,
        "exp": claims.expires_at,
        claim: [_written(one) for one in claims.permissions],
    }
    return msgspec.json.encode({name: value for name, value in said.items() if value is not None})


def _written(one: Permission) -> dict[str, object]:
    said: dict[str, object] = {one.kind: one.name}
    if one.params:
        said["params"] = {name: _fewest(values) for name, values in one.params.items()}
    if one.operations != READING:
        said["operations"] = sorted(one.operations)
    return said


def _fewest(values: Iterable[object]) -> object:
    several = list(values)
    return several[0] if len(several) == 1 else several
