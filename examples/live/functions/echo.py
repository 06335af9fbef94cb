"""Echo: the page's own words come back."""

from typing import TypedDict

from takotwist.live import Channel, ClientEnd, function


class Echo(TypedDict):
    channel: ClientEnd[str, str]


@function
async def on_echo() -> Echo:
    channel = Channel[str, str]()
    channel.listen(lambda text: channel.send(f"echo: {text}"))
    return {"channel": channel.client}
