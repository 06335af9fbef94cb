"""Cost of a model's answer that many read while connections are cut and the server is killed.

    python -m benchmarks.answer                  # 5,000 tokens, 100 a second, 200 readers
    python -m benchmarks.answer --peer FOLDER    # beside resumable-stream over Redis

FOLDER has ``node_modules`` with ``resumable-stream`` and ``redis`` (npm); ``redis-server`` is
started by this program, with its file of appends, and ended.  The peer keeps what was written in
the memory of the process that writes it, so it is measured without a kill, and then with one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

from tests.faults.answer import CHANNEL, CONFIG, Answer, Reader
from tests.sockets.server_process import ServerProcess, free_port, wait_until

_PEER = Path(__file__).parent / "peers" / "resumable.mjs"


def report(name: str, answer: Answer, readers: list[Reader], disk: int) -> None:
    """Say what it took."""
    spent = answer.spent
    text = "".join(answer.words)
    exact = sum(reader.text == text for reader in readers)
    connections = sum(reader.connections for reader in readers)
    print(
        f"{name}: {exact} of {len(readers)} readers have exactly the text, over"
        f" {connections} connections",
        flush=True,
    )
    if not disk:
        return
    print(
        f"    {spent.cpu / answer.tokens * 1e6:.0f} us of processor time"
        f" a token ({spent.cpu / answer.tokens / len(readers) * 1e6:.1f} us a token and reader);"
        f" {disk / answer.tokens:.0f} bytes of files, {spent.written / answer.tokens:.0f} bytes"
        " written, a token",
        flush=True,
    )


def ours(answer: Answer) -> None:
    """Streamed messages of this server."""
    server = ServerProcess(CONFIG, {"answers.py": CHANNEL})
    try:
        server.start()
        server.stop()
        before = _size(server.folder / "state")
        server.start()
        answer.spent.begin(server.pid)
        readers = asyncio.run(answer.run(server))
        answer.spent.add(server.pid)
        server.stop()
        report("takotwist", answer, readers, _size(server.folder / "state") - before)
    finally:
        server.close()


def peers(answer: Answer, modules: Path, kill: bool) -> None:
    """resumable-stream over Redis."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # A module is looked for beside the file that asks for it.
        (folder / "node_modules").symlink_to((modules / "node_modules").resolve())
        script = shutil.copy(_PEER, folder)
        (folder / "tokens.json").write_text(json.dumps(answer.words))
        redis_port, port = free_port(), free_port()
        environ = {
            "PORT": str(port),
            "REDIS_URL": f"redis://127.0.0.1:{redis_port}",
            "TOKENS": str(folder / "tokens.json"),
            "RATE": str(answer.rate),
        }
        redis = ["redis-server", "--port", str(redis_port), "--bind", "127.0.0.1"]
        with (
            _running([*redis, "--dir", name, "--appendonly", "yes"], redis_port) as store,
            _running(["node", str(script)], port, **environ) as node,
        ):
            for process in (store, node):
                answer.spent.begin(process.pid)
            urlopen(Request(f"http://127.0.0.1:{port}/", method="POST")).read()
            readers = asyncio.run(_read(answer, port, node if kill else None))
            disk = 0
            if not kill:
                disk = _size(folder / "appendonlydir")
                for process in (store, node):
                    answer.spent.add(process.pid)
        report("resumable-stream, killed" if kill else "resumable-stream", answer, readers, disk)


async def _read(answer: Answer, port: int, victim: subprocess.Popen[bytes] | None) -> list[Reader]:
    def take(reader: Reader, lines: list[bytes]) -> None:
        fields = dict(line.partition(b": ")[::2] for line in lines)
        if fields.get(b"event") == b"end":
            reader.closed = True
            return
        reader.words.append(json.loads(fields[b"data"]))
        # Its places are characters of the event stream.
        block = b"\n".join(lines).decode() + "\n\n"
        reader.place = str(int(reader.place) + len(block))

    readers = [
        Reader(port, "0", lambda place: f"/?resumeAt={place}", take) for _ in range(answer.readers)
    ]
    running = [asyncio.create_task(reader.run()) for reader in readers]
    disturbing = asyncio.create_task(answer.disturb(readers))
    if victim is not None:
        await asyncio.sleep(answer.seconds / 2)
        victim.kill()
    # Who has no answer by then has none: nothing comes any more of what was killed.
    await asyncio.wait(running, timeout=10 if victim else answer.seconds * 3 + 30)
    for task in (*running, disturbing):
        task.cancel()
    await asyncio.gather(*running, disturbing, return_exceptions=True)
    return readers


@contextmanager
def _running(command: list[str], port: int, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command, env={**os.environ, **environ}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: _listens(port), f"{command[0]} listens")
        yield process
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.answer", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--tokens", type=int, default=5000)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--readers", type=int, default=200)
    parser.add_argument("--cuts", type=int, default=300)
    parser.add_argument("--kills", type=int, default=1)
    parser.add_argument("--peer", type=Path)
    said = parser.parse_args()
    began = time.monotonic()
    ours(Answer(said.tokens, said.rate, said.readers, said.cuts, said.kills))
    if said.peer is not None:
        peers(Answer(said.tokens, said.rate, said.readers, said.cuts, 0), said.peer, False)
        brief = Answer(min(said.tokens, 1000), said.rate, said.readers, said.cuts // 5, 0)
        peers(brief, said.peer, True)
    print(f"{time.monotonic() - began:.0f} seconds")


if __name__ == "__main__":
    main()
