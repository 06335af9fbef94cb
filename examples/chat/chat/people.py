"""Description of a person beside their name."""

from zlib import crc32


def hue_of(name: str) -> int:
    """The colour of somebody, the same wherever they are shown."""
    return crc32(name.encode()) * 47 % 360
