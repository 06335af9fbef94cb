"""``[tokens]``: signed tokens, which let people in without the application being asked."""

from __future__ import annotations

from pathlib import Path

import attrs

from takotwist.server.config.kind import Listed, Location, Number, Text
from takotwist.server.config.setting import setting
from takotwist.server.config.web_kind import TOKEN, HttpUrl


@attrs.frozen(kw_only=True)
class Tokens:
    """Signed tokens (JWT), for channels and functions that no app is asked about."""

    channels: tuple[str, ...] = setting(
        Listed(Text(r"\*|[A-Za-z0-9][A-Za-z0-9._~:@-]{0,127}", 'a channel\'s name, or "*"')),
        (),
        "Channels that a token lets into, wherever they are defined; their verify, and the app at"
        ' app.url, are not asked. "*" is every channel but those of this file that are public.'
        " Needs pip install 'takotwist[tokens]'.",
        live=True,
    )
    functions: tuple[str, ...] = setting(
        Listed(Text(r"\*|[A-Za-z_][A-Za-z0-9_.-]{0,127}", 'a function\'s name, or "*"')),
        (),
        'Functions for pages that only a token may call. "*" is every function.',
        live=True,
    )
    audience: str = setting(
        Text(), "takotwist", "What a token's aud must be, or have in its list.", live=True
    )
    issuer: str | None = setting(
        Text(), None, "What a token's iss must be. Without it any is taken.", live=True
    )
    secrets: tuple[str, ...] = setting(
        Listed(TOKEN),
        (),
        "Secrets of at least 32 bytes that tokens are signed with (HS256). `tako token` signs"
        " with the first. Better in secrets_file.",
        secret=True,
        live=True,
    )
    secrets_file: Path | None = setting(
        Location(),
        None,
        "A file with one secret a line, in addition to secrets; # begins a comment.",
        live=True,
    )
    keys_file: Path | None = setting(
        Location(),
        None,
        "Public keys that tokens are signed by: PEM (PUBLIC KEY or CERTIFICATE), or a JSON Web Key"
        " Set. RSA keys are for RS256, ECDSA keys on P-256 for ES256, Ed25519 keys for EdDSA.",
        live=True,
    )
    jwks_url: str | None = setting(
        HttpUrl(),
        None,
        "Where an identity provider publishes its keys (JSON Web Key Set), over https or from this"
        " machine. Read at start, when jwks_refresh_seconds have passed, and when a token is"
        " signed by a key that is not in it.",
        live=True,
    )
    jwks_ca_file: Path | None = setting(
        Location(),
        None,
        "Certificates (PEM) that the host of jwks_url may be signed by, in place of the system's.",
        live=True,
    )
    jwks_refresh_seconds: float = setting(
        Number(10, 86_400),
        3600.0,
        "How often the keys at jwks_url are read again. While they cannot be read, those that"
        " were read last hold for a day.",
        unit="seconds",
        live=True,
    )
    claim: str = setting(
        Text(),
        "channels",
        "The claim with what a token allows. Some identity providers want a URL here.",
        live=True,
    )
    leeway_seconds: float = setting(
        Number(0, 300),
        30.0,
        "By how much the clocks of whoever makes tokens and of this machine may differ; for so"
        " long after its end a token still counts.",
        unit="seconds",
        live=True,
    )
    revoked_file: Path = setting(
        Location(),
        Path(),
        "A file with a time in unix seconds and a subject on each line, whose tokens of before"
        " that time are void. `tako token revoke` writes it, and it is watched.",
        derived="STATE_DIR/revoked-tokens",
        live=True,
    )

    @property
    def wanted(self) -> bool:
        """`True` if tokens decide about anything."""
        return bool(self.channels or self.functions)

    def decides(self, channel: str) -> bool:
        """`True` if tokens decide about a channel that is not public."""
        return channel in self.channels or "*" in self.channels

    def decides_call(self, function: str) -> bool:
        """`True` if tokens decide about a function."""
        return function in self.functions or "*" in self.functions
