"""Takes credentials out of text before it is written.

Our own code never logs one.  Text that comes from elsewhere may hold one all
the same: a URL in an access line, headers in a library's message, the value in
an exception.
Rule: values are taken out, and never words.  A line that says what to do about a token
is of no use without the words after "token:".  So what follows the name of a credential is
one, unless it reads on as a sentence, or is the mark of where a credential would stand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

#: What stands in the place of a credential.
GONE = "[redacted]"

#: A known secret shorter than this is part of ordinary words.
SHORTEST_KNOWN = 6

#: As they are on the wire, in a WSGI environment, and in the names of Python's own objects.
_HEADERS = (
    r"(?:http_)?(?:proxy[-_])?authorization|(?:http_|set-|simple)?cookies?"
    r"|(?:http_)?x[-_]tako[-_]internal[-_]token"
)
_FIELDS = (
    r"access(?:_|%5f)token|refresh_token|id_token|token|auth|password|passwd|secret|api[_-]?key"
    r"|publish[_-]?key"
)

#: A quoted value, as JSON and Python show one, and a list of them.
_QUOTED = r"""b?(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|\\"[^"]*\\"|\\'[^']*\\')"""

#: Where a name begins, and what stands between it and its value; in JSON within JSON and within
#: a URL too.
_BEGIN = r"(?:(?<![A-Za-z0-9])|(?<=%22)|(?<=%27))"
_QUOTE = r"""(?:\\?['"]|%22|%27)"""
_BETWEEN = rf"""({_QUOTE}\s*(?:[:,=]|%3a)\s*(?:%22|%27)?|\s*[:=]\s*)"""

_LIST = rf"[\[(](?:\s*{_QUOTED}\s*,?)+\s*[\])]"

_SCHEMES = r"(?:bearer|basic|digest|negotiate|token|apikey)"

#: Where no credential begins: a sentence that goes on in small letters, behind a space; the
#: mark of where one would stand, as in ``Bearer <key>``; what JSON and Python call nothing.
#: A secret of small letters alone is still one where no word follows it.
_WORDS = rf"""(?<=\s)(?-i:(?!{_SCHEMES}\s)[a-z]+[,;:]?\s+(?:[a-z]+\b(?![=0-9])|[(<'"{{\[]))"""
_NO_VALUE = rf"(?!{_WORDS}|(?:{_SCHEMES}\s+)?<|(?:true|false|null|none)\b)"

_PATTERNS = (
    # Headers, as they are on the wire and as Python shows them: b'cookie': [b'...'].
    re.compile(
        rf"""(?i){_BEGIN}({_HEADERS}){_BETWEEN}"""
        rf"""{_NO_VALUE}(?:{_LIST}|{_QUOTED}|[^\s][^\r\n]*)"""
    ),
    # Fields of a query, of JSON, of key=value text.
    re.compile(
        rf"""(?i){_BEGIN}({_FIELDS}){_BETWEEN}"""
        rf"""{_NO_VALUE}(?:{_LIST}|{_QUOTED}|[^\s&"'#,;)}}\]]+)"""
    ),
)

#: What is said of a scheme and is no credential of it.
_SAID_OF_SCHEMES = r"(?!(?:auth|authentication|authorization|credentials?|tokens?|keys?)\b|realm=)"
_SCHEME = re.compile(
    rf"(?i)\b(bearer|basic)(\s+){_NO_VALUE}{_SAID_OF_SCHEMES}[A-Za-z0-9._~+/=-]{{6,}}"
)
_USER = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s\"'?#]+@")
_OWN_KEY = re.compile(r"\btako_[a-z]+_[A-Za-z0-9_-]{16,}")
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*")

#: One of these stands in everything that a pattern above finds.  Nearly no line of a log has
#: any, and to look for all at once costs a tenth of looking for each.
_SIGNS = re.compile(r"(?i)auth|cookie|token|passw|secret|key|bearer|basic|://|tako_|eyj")

#: A field of a structured event whose name is one of these is not shown at all.
_SECRET_NAME = re.compile(rf"(?i)^({_HEADERS}|{_FIELDS})$")


class Redactor:
    """Takes credentials out of text.

    :param secrets: the server's own, found wherever they stand.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known: re.Pattern[str] | None = None
        self.know(secrets)

    def know(self, secrets: Iterable[str]) -> None:
        """Replace the list of the server's own secrets."""
        long = {secret for secret in secrets if len(secret) >= SHORTEST_KNOWN}
        long |= {quote(secret, safe="") for secret in long}
        alternatives = "|".join(re.escape(one) for one in sorted(long, key=len, reverse=True))
        self._known = re.compile(alternatives) if alternatives else None

    def text(self, text: str) -> str:
        """`text` without credentials."""
        if self._known is not None:
            text = self._known.sub(GONE, text)
        if _SIGNS.search(text) is None:
            return text
        for pattern in _PATTERNS:
            text = pattern.sub(rf"\1\2{GONE}", text)
        text = _SCHEME.sub(rf"\1\2{GONE}", text)
        text = _USER.sub(rf"\1{GONE}@", text)
        return _JWT.sub(GONE, _OWN_KEY.sub(GONE, text))

    def field(self, name: str, value: object) -> object:
        """A field of a structured event: by its name, else its text, else as it is."""
        if _SECRET_NAME.match(name):
            return GONE
        return self.text(value) if isinstance(value, str) else value
