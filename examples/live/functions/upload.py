"""A binary upload with back-pressure: the page waits while the server is writing."""

from collections.abc import Callable
from hashlib import sha256
from typing import Literal, TypedDict

from takotwist.live import Abort, Channel, ClientEnd, function

#: Largest file, in bytes.
MOST = 64 * 1024 * 1024


class Stored(TypedDict):
    name: str
    size: int
    sha256: str


Done = Callable[[Literal["done"]], Stored]


class Upload(TypedDict):
    channel: ClientEnd[Done, None]


async def store(chunk: bytes) -> None:
    """Somewhere that may take its time; the page sends no faster than this is awaited."""


@function
async def on_upload(name: str) -> Upload:
    channel = Channel[Done, None]()
    digest, size = sha256(), 0

    async def chunk(data: bytes) -> None:
        nonlocal size
        size += len(data)
        if size > MOST:
            raise Abort({"tooLarge": MOST})
        digest.update(data)
        await store(data)

    def finished(_: Literal["done"]) -> Stored:
        return {"name": name, "size": size, "sha256": digest.hexdigest()}

    channel.listen_binary(chunk)
    channel.listen(finished)
    return {"channel": channel.client}
