"""Answers of apps on the original system's SDKs that do not carry our token.

Its Go SDK sets the token on a yes only: a refusal is ``http.Error`` with a fixed text.
Its JavaScript SDK answers a `verify` that raised from outside of its own routes.
Rule: an answer without the token counts only where it is one of these to the letter,
and none of them lets anybody in.  What a proxy or a router says by itself (a page of
HTML, ``404 page not found``, the JavaScript SDK's ``{"error":"Forbidden"}`` to a
wrong token) is none, and stays "could not be asked".
"""

from __future__ import annotations

_TEXT, _JSON = "text/plain; charset=utf-8", "application/json"

_ANSWERS = frozenset(
    {
        (403, _TEXT, b"forbidden\n"),
        (404, _TEXT, b"channel not defined\n"),
        (500, _JSON, b'{"error":"Internal Server Error"}'),
    }
)


def is_sdk_refusal(status: int, content_type: str, body: bytes) -> bool:
    """`True` for an answer to ``authorize`` that those SDKs give without the token."""
    return (status, content_type.lower(), body) in _ANSWERS
