"""What a killed server leaves: nothing that was acknowledged is lost, nothing half-made stays.

Starts a real server of Loupe's own routes, lets several people upload files, sets of shards and
export at once, kills it with SIGKILL in the middle, starts it again on the same data folder, and
looks at every file; so many times. Prints a table.

    .venv/bin/python -m benchmarks.kills --kills 200
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parents[1]
PEOPLE = 6
SLICE = 1 << 20
LARGEST = 6 << 20
MOST_ANSWERS = 80
"""Answers after which a server is killed at the latest."""

SERVER = """
import json, sys, threading
from pathlib import Path
from random import Random

import uvicorn
from starlette.applications import Starlette

from core.server.files.export_folder import export_path
from core.server.files.store import Store
from core.server.web import Transfers, routes, tidied
from core.writing.whole_files import onto_disk, whole_file

store = Store(Path(sys.argv[1]), quota=1 << 40, largest_file=1 << 34)
print(json.dumps({"used": store.used()}), flush=True)
transfers = Transfers(store)

def export():
    random = Random()
    while True:
        path = export_path(store, str(random.random()), ".pth")
        with store.room_for_export(4 << 20), whole_file(path) as (file, _):
            for _ in range(4):
                file.write(random.randbytes(1 << 20))
            onto_disk(file)
        transfers.offer(path, "repaired.pth")

people = int(sys.argv[3])
if people:
    threading.Thread(target=export, daemon=True).start()
app = Starlette(routes=routes(transfers, Path("none")), lifespan=lambda _: tidied(transfers))
server = uvicorn.Server(uvicorn.Config(app, port=int(sys.argv[2]), log_level="error"))
print(json.dumps({"tokens": [transfers.open_intake() for _ in range(people)]}), flush=True)
server.run()
"""
"""The routes, and one export after the other, without torch or Streamlit, to start at once."""


@dataclass
class Seen:
    """What all servers were asked and answered: the sizes of what was acknowledged, by SHA-256, and
    the SHA-256 of whatever was sent as a part of a set."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    parts: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    answers: int = 0


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def ask(port: int, method: str, path: str, body: bytes) -> dict[str, object]:
    """One request; raises OSError or HTTPException where the server dies before it answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body)
        answer: dict[str, object] = json.loads(connection.getresponse().read())
        return answer
    finally:
        connection.close()


def send(port: int, token: str, name: str, data: bytes, seen: Seen) -> str:
    """Send a file in slices; its SHA-256, as the server answers it."""
    answer: dict[str, object] = {}
    for offset in range(0, len(data), SLICE):
        query = urlencode({"name": name, "size": len(data), "offset": offset})
        body = data[offset : offset + SLICE]
        answer = ask(port, "PUT", f"/loupe/uploads/{token}?{query}", body)
        seen.answers += 1
    return str(answer["sha256"])


def person(port: int, token: str, seed: int, seen: Seen) -> None:
    """Sends files, and sets of three shards, until the server is gone."""
    random = Random(seed)
    try:
        while True:
            if random.random() < 0.5:
                data = random.randbytes(random.randint(1, LARGEST))
                digest = send(port, token, "m.pth", data, seen)
                seen.acknowledged[digest] = len(data)
                seen.counts["files acknowledged"] += 1
                continue
            names = [f"m-{number:05}-of-00003.bin" for number in (1, 2, 3)]
            parts = {name: random.randbytes(random.randint(1, LARGEST // 3)) for name in names}
            sizes = {name: len(data) for name, data in parts.items()}
            seen.parts.update(hashlib.sha256(data).hexdigest() for data in parts.values())
            ask(port, "POST", f"/loupe/uploads/{token}", json.dumps(sizes).encode())
            digests = [send(port, token, name, data, seen) for name, data in parts.items()]
            seen.acknowledged.update(zip(digests, sizes.values(), strict=True))
            seen.counts["sets acknowledged"] += 1
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        # Killed before the answer, or in the middle of it: this one was not acknowledged.
        seen.counts["uploads cut off"] += 1


def routes_server(
    data: Path, port: int, people: int = PEOPLE
) -> tuple[subprocess.Popen[bytes], list[str], int]:
    """A server that answers, the tokens of its people, and what it says is used at its start.

    One without people makes no exports either.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(data), str(port), str(people)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    used = json.loads(process.stdout.readline())["used"]
    tokens = json.loads(process.stdout.readline())["tokens"]
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return process, tokens, used
        except OSError:
            time.sleep(0.005)


def kill_once(data: Path, seed: int, seen: Seen) -> None:
    """One life of a server: uploads and exports, and SIGKILL in the middle."""
    port = free_port()
    process, tokens, _ = routes_server(data, port)
    people = [
        threading.Thread(target=person, args=(port, token, 1000 * seed + number, seen))
        for number, token in enumerate(tokens)
    ]
    for each in people:
        each.start()
    # By its work, not by the clock, so that a busy machine measures the same.
    random = Random(seed)
    enough = seen.answers + random.randint(0, MOST_ANSWERS)
    while seen.answers < enough:
        time.sleep(random.uniform(0.001, 0.01))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    for each in people:
        each.join()
    seen.counts["half-made files at the kill"] += len(half_made(data))


def half_made(data: Path) -> list[Path]:
    """What lies in the data folder that is no whole upload or export."""
    partial = [path for path in (data / "partial").rglob("*") if path.is_file()]
    return partial + list((data / "exports").glob(".*"))


def judge(data: Path, seen: Seen) -> dict[str, int]:
    """What is wrong in a data folder that a server has just been started on."""
    files = {path.name: path for path in (data / "files").iterdir()}
    sums = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    lost = [
        digest
        for digest, size in seen.acknowledged.items()
        if digest not in files or files[digest].stat().st_size != size
    ]
    manifests = [path for path in files.values() if path.read_bytes()[:9] == b'{"loupe":']
    parts = [each for path in manifests for each in json.loads(path.read_bytes())["files"].values()]
    return {
        "acknowledged uploads lost": len(lost),
        "files that are not what their name says": sum(name != sums[name] for name in sums),
        "sets of which a part is missing": sum(each not in files for each in parts),
        "parts of sets that never became whole": len(seen.parts & files.keys() - {*parts}),
        "orphans after the next start": len(half_made(data))
        + sum(1 for path in (data / "partial").iterdir() if path.is_dir()),
    }


def measured(
    kills: int, data: Path, told: Callable[[int], object] = lambda _: None
) -> dict[str, int]:
    """Kill so many servers on one data folder; counts by their names, those of `judge` last."""
    seen = Seen()
    wrong: Counter[str] = Counter()
    for number in range(kills):
        kill_once(data, number, seen)
        process, _, used = routes_server(data, free_port(), people=0)
        try:
            wrong.update(judge(data, seen))
            on_disk = disk_use(data)
            wrong["starts at which used bytes were not du's ± 1 %"] += (
                abs(used - on_disk) > 0.01 * on_disk
            )
        finally:
            process.kill()
            process.wait()
        told(number + 1)
        for folder in ("files", "exports"):
            if disk_use(data) > 2 << 30:
                for path in (data / folder).iterdir():
                    path.unlink()
                seen.acknowledged.clear()
    return {"kills": kills, **seen.counts, **wrong}


def disk_use(data: Path) -> int:
    """What `du` says of the files."""
    paths = [path for path in data.rglob("*") if path.is_file()]
    return sum(path.stat().st_blocks * 512 for path in paths)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="servers to kill (200)")
    kills = parser.parse_args().kills
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        counts = measured(
            kills, Path(folder), lambda done: print(f"\r{done} of {kills}", end="", file=sys.stderr)
        )
    print(f"\r{'seconds':45}{time.perf_counter() - started:8.0f}")
    for name, number in counts.items():
        print(f"{name:45}{number:8,}")


if __name__ == "__main__":
    main()
