"""A binary upload with back-pressure: the page waits while the server is writing."""

from hashlib import sha256
from typing import Any

from takotwist.live import Abort, Channel, function

#: Largest file, in bytes.
MOST = 64 * 1024 * 1024


async def store(chunk: bytes) -> None:
    """Somewhere that may take its time; the page sends no faster than this is awaited."""


@function
async def on_upload(name: str) -> Any:
    channel: Channel[Any, Any] = Channel()
    digest, size = sha256(), 0

    async def chunk(data: bytes) -> None:
        nonlocal size
        size += len(data)
        if size > MOST:
            raise Abort({"tooLarge": MOST})
        digest.update(data)
        await store(data)

    def finished(_: Any) -> Any:
        return {"name": name, "size": size, "sha256": digest.hexdigest()}

    channel.listen_binary(chunk)
    channel.listen(finished)
    return {"channel": channel.client}
