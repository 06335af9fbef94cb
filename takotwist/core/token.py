"""Claims of a signed token (RFC 7519), and what they let its bearer do.

Rule: a token allows what it names and nothing else; its signature was checked before, and
the time is an argument.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs
import msgspec

from takotwist.core.authorization import Grant, Operation
from takotwist.errors import CredentialsExpired, VerifyRejected

#: What an entry allows where it names no operations: all that only reads of channels, and calls.
READING: frozenset[Operation] = frozenset({"subscribe", "connect", "history", "call"})

#: In place of a name: every channel, or every function.
ANY = "*"


@attrs.frozen(slots=True)
class Permission:
    """One entry of the claim.

    :ivar kind: of what it names.
    :ivar name: of the channel or function, or ``*``.
    :ivar params: values that a param may have; one that is not named may have any.
    """

    kind: Literal["channel", "function"]
    name: str
    params: Mapping[str, tuple[object, ...]] = attrs.field(factory=dict)
    operations: frozenset[Operation] = READING

    def allows(
        self, kind: str, name: str, operation: Operation, params: Mapping[str, object]
    ) -> bool:
        """Tell whether a permission covers this operation."""
        return (
            self.kind == kind
            and self.name in (name, ANY)
            and operation in self.operations
            and all(
                param in params and any(_same(params[param], one) for one in allowed)
                for param, allowed in self.params.items()
            )
        )


def _same(given: object, allowed: object) -> bool:
    if isinstance(allowed, str) and isinstance(given, bool | int | float):
        # As it stands in an address.
        return msgspec.json.encode(given) == allowed.encode("utf-8", "surrogateescape")
    # To Python true is 1, and to JSON it is not.
    return isinstance(given, bool) == isinstance(allowed, bool) and bool(given == allowed)


@attrs.frozen(slots=True)
class Claims:
    """Claims of a token; times in unix seconds."""

    subject: str | None
    expires_at: float
    not_before: float | None = None
    issued_at: float | None = None
    issuer: str | None = None
    audience: tuple[str, ...] = ()
    permissions: tuple[Permission, ...] = ()


@attrs.frozen(slots=True)
class TokenRules:
    """Requirements on a token's claims.

    :ivar audience: one that it must be for.
    :ivar issuer: by whom it must be made, or `None` where the key says enough.
    :ivar leeway: seconds by which clocks may differ.
    """

    audience: str
    issuer: str | None = None
    leeway: float = 30.0

    def check(self, claims: Claims, now: float) -> None:
        """Check everything but the permissions.

        :param now: unix seconds.
        :raises CredentialsExpired: it was good, and another is needed.
        :raises VerifyRejected: it is not for here, or not yet.
        """
        # First what no later token of the same kind would change.
        if self.audience not in claims.audience:
            raise VerifyRejected("The token is for another audience.")
        if self.issuer is not None and claims.issuer != self.issuer:
            raise VerifyRejected("The token is from another issuer.")
        for begins in (claims.not_before, claims.issued_at):
            if begins is not None and begins > now + self.leeway:
                raise VerifyRejected("The token is not valid yet.")
        if now >= claims.expires_at + self.leeway:
            raise CredentialsExpired("The token has expired.")

    def grant(self, claims: Claims) -> Grant:
        """The lease that a valid token is worth: to its end, and the leeway after it."""
        return Grant(subject=claims.subject, expires_at=claims.expires_at + self.leeway)


def check_permission(
    claims: Claims, kind: str, name: str, operation: Operation, params: Mapping[str, object]
) -> None:
    """:raises VerifyRejected: no entry of the token allows this."""
    if not any(one.allows(kind, name, operation, params) for one in claims.permissions):
        raise VerifyRejected("The token does not allow this.")
