"""Text files as people's editors write them.

Windows puts a byte order mark before UTF-8, and its shells write UTF-16; neither can be seen
in an editor.  Rule: the mark is passed over, and what is no UTF-8 is named.
"""

from __future__ import annotations

import codecs

#: Also of UTF-32, which is as far from what we read.
_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)


def decode_text(content: bytes) -> str:
    """The text of a file, its byte order mark left out.

    :raises ValueError: says what the file is instead, as it follows its name.
    """
    # Without a mark every other byte of what is Latin text is zero, and in UTF-8 none is.
    if content.startswith(_MARKS) or b"\x00" in content[:4]:
        raise ValueError("is UTF-16, as Windows writes it; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as bad:
        raise ValueError(f"is no UTF-8 text: byte {bad.start + 1}") from None
