"""What the page says comes back."""

from typing import Any

from takotwist.live import Channel, function


@function
async def on_echo() -> Any:
    channel = Channel[str, str]()
    channel.listen(lambda text: channel.send(f"echo: {text}"))
    return {"channel": channel.client}
