"""A model that is a script, behind the API of OpenAI: 40 words, half of them once told to go on."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

#: Where a file `go` lets it go on, and a file `break` has it break off.
FOLDER = Path(os.environ["MODEL_FOLDER"])

app = FastAPI()


def chunk(delta: dict[str, str], finish: str | None = None) -> str:
    """One event."""
    said: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "script",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    return f"data: {json.dumps(said, ensure_ascii=False)}\n\n"


async def answer() -> AsyncIterator[str]:
    """All of them."""
    yield chunk({"role": "assistant", "content": ""})
    for number in range(40):
        yield chunk({"content": f"wörd {number}, "})
        await asyncio.sleep(0.01)
        while number == 20 and not (FOLDER / "go").exists():
            if (FOLDER / "break").exists():
                raise ConnectionError("the model breaks off")
            await asyncio.sleep(0.02)
    yield chunk({}, "stop")
    yield "data: [DONE]\n\n"


@app.post("/v1/chat/completions")
async def completions(request: Request) -> StreamingResponse:
    """What a client asks for."""
    asked = await request.json()
    assert asked["stream"] and request.headers["authorization"] == "Bearer of-the-upstream"
    with (FOLDER / "asked").open("a") as file:
        file.write("once\n")
    return StreamingResponse(answer(), media_type="text/event-stream")
