"""``[app]``: the application, which says what there is and lets people in."""

from __future__ import annotations

from pathlib import Path

import attrs

from takotwist.server.config.kind import Flag, Location, Number, Text, Whole
from takotwist.server.config.setting import setting
from takotwist.server.config.web_kind import TOKEN, Definitions, HttpUrl, Pages


@attrs.frozen(kw_only=True)
class App:
    """The application that owns the channels."""

    url: str | None = setting(
        HttpUrl(),
        None,
        "Where the app answers that authorizes connections and handles frames, in any language."
        " Without it, channels are in this process.",
    )
    name: str = setting(
        Text(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "1 to 63 of a-z, 0-9 and -, no - at the ends"),
        "app",
        "The app's name; requests to it carry the header Host: NAME.tako.",
    )
    token: str | None = setting(
        TOKEN,
        None,
        "The secret that server and app show each other. Better in token_file.",
        secret=True,
        live=True,
    )
    token_file: Path | None = setting(
        Location(), None, "A file that holds only the token.", live=True
    )
    channels: Path | str | None = setting(
        Definitions(),
        None,
        "The folder, file or dotted module with the channel definitions in Python.",
        derived='"channels" where there is such a folder',
        live=True,
    )
    functions: Path | str | None = setting(
        Definitions(),
        None,
        "The folder, file or dotted module with the functions that pages may call.",
        derived='"functions" where there is such a folder',
        live=True,
    )
    pages: Path | str | None = setting(
        Pages(),
        None,
        "What answers every other path: a folder of files, or module:name of a twisted.web"
        " resource or Klein app.",
    )
    ca_file: Path | None = setting(
        Location(),
        None,
        "Certificates (PEM) that an https app may be signed by, in place of the system's.",
    )
    dispatch: bool = setting(
        Flag(),
        True,
        "Whether the app at url takes what clients send. false: it has no such route, as apps"
        " on the Go SDK of the original system have none; what clients of its WebSocket channels"
        " send is published as it came, once the app let them publish.",
    )
    max_concurrency: int = setting(
        Whole(1, 10_000), 64, "Requests to the app at the same time.", unit="requests"
    )
    queue: int = setting(
        Whole(0, 1_000_000),
        10_000,
        "Questions that wait for their turn with the app, or with its functions in this"
        " process; one more is answered overloaded.",
        unit="questions",
    )
    deadline_seconds: float = setting(
        Number(0.1, 300),
        5.0,
        "How long an answer of the app may take, retries included, once it is its turn.",
        unit="seconds",
    )
