"""`whichtune serve` under load: every client gets its own answers, and how much batching gains over one at a time.

python benchmarks/serve_load.py                      # 500 requests by 32 clients, beside one client alone, in turns
python benchmarks/serve_load.py --write serve.md     # and the page with what was measured

The server is a process of its own, as users start it; the clients are threads of this one. Each text is answered once
more by the same row alone, in this process: an answer that differs by more than 1e-5 is lost or mixed up.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

NEAR = 1e-5
NOTE = (
    "A lone request changes hands several times between client, server and model, and waits for the processor each",
    "time that other work has it: seconds on a busy machine flatter batching. The server's own processor time is the",
    "part of the gain that a quiet machine has for certain: a text of 39 tokens is mostly arithmetic, which no batch",
    "makes less.",
)
HEAD = "POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
ROW = "last_block"
STUDY = ["--methods", ROW, "--seeds", "0", "--set", "epochs=1", "--save", "all", "--no-figures"]


class Client:
    """One connection that is kept; nothing between the request and the socket that would take time of its own."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def ask(self, body: bytes) -> list[dict]:
        head = f"{HEAD}Content-Length: {len(body)}\r\n\r\n"
        self.socket.sendall(head.encode() + body)
        status, length = self.file.readline(), 0
        while (line := self.file.readline().strip()) != b"":
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        answer = json.loads(self.file.read(length))
        if b" 200 " not in status:
            raise RuntimeError(f"{status!r}: {answer}")
        return answer["predictions"]

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@dataclass
class Load:
    """What a number of clients measured: seconds of each request, and all answers by the text."""

    clients: int
    texts: list[str]
    wall: float = 0.0
    processor: float = 0.0  # seconds of the server's
    seconds: list[float] = field(default_factory=list)
    answers: list[tuple[str, dict]] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return len(self.seconds) / self.wall

    @property
    def cpu(self) -> float:
        """Milliseconds of the server's processor time for a request."""
        return 1000 * self.processor / len(self.seconds)

    def quantile(self, share: float) -> float:
        """Milliseconds of a request."""
        return 1000 * sorted(self.seconds)[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


def load(port: int, process: psutil.Process, texts: list[str], clients: int) -> Load:
    """Every text in a request of its own, shared out among so many clients that each wait for their answer."""
    found, waiting = Load(clients, texts), iter(texts)
    lock = threading.Lock()

    def work() -> None:
        client = Client(port)
        while True:
            with lock:
                text = next(waiting, None)
            if text is None:
                break
            body = json.dumps({"texts": [text]}).encode()
            began = time.perf_counter()
            (answer,) = client.ask(body)
            took = time.perf_counter() - began
            with lock:
                found.seconds.append(took)
                found.answers.append((text, answer))
        client.close()

    threads = [threading.Thread(target=work) for _ in range(clients)]
    began, used = time.perf_counter(), sum(process.cpu_times()[:2])
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.wall, found.processor = time.perf_counter() - began, sum(process.cpu_times()[:2]) - used
    return found


@contextmanager
def server(folder: Path) -> Iterator[tuple[int, psutil.Process]]:
    """The port of `whichtune serve`, and its process."""
    command = [sys.executable, "-m", "whichtune", "serve", str(folder), ROW, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    ready = process.stdout.readline()
    try:
        yield int(ready.partition("127.0.0.1:")[2].partition(";")[0]), psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def made_texts(n: int, words: int | None = None) -> list[str]:
    """Distinct messages of the embedded set's, or their first words."""
    import pandas as pd

    from whichtune.embedded import dataset_path

    known = pd.read_csv(dataset_path("messages") / "test.csv")["text"].tolist()
    draw = random.Random(0)
    return [f"{' '.join(draw.choice(known).split()[:words])} {i}" for i in range(n)]


def wrong(folder: Path, loads: list[Load]) -> int:
    """Answers that are not those of the row alone."""
    from whichtune.handover.serve.rows import load as load_rows
    from whichtune.handover.serve.rows import pick
    from whichtune.records.store import StudyFolder

    served = load_rows(pick(StudyFolder(folder), ROW, None, None), remote_code=False)
    alone: dict[str, tuple[str, tuple[float, ...]]] = {}
    count = 0
    for text, answer in (each for one in loads for each in one.answers):
        if text not in alone:
            alone[text] = served.answers([text])[0][0]
        label, shares = alone[text]
        given = [answer["probabilities"][name] for name in served.labels]
        near = all(abs(a - b) <= NEAR for a, b in zip(given, shares, strict=True))
        count += not (near and answer["label"] == label)
    return count


@dataclass
class Kind:
    """Texts of one length, and what was measured with them in turns."""

    name: str
    texts: list[str]
    single: list[Load] = field(default_factory=list)
    many: list[Load] = field(default_factory=list)

    def measure(self, port: int, process: psutil.Process, clients: int) -> None:
        """One client alone, then all of them."""
        self.single.append(load(port, process, self.texts[: len(self.texts) // 4], 1))
        self.many.append(load(port, process, self.texts, clients))

    @property
    def lost(self) -> int:
        """Texts that were asked and not answered."""
        return sum(len(set(one.texts) - {text for text, _ in one.answers}) for one in [*self.single, *self.many])

    def lines(self) -> list[str]:
        ratios = [b.rate / a.rate for a, b in zip(self.single, self.many, strict=True)]
        processor = statistics.median(one.cpu for one in self.single) / statistics.median(one.cpu for one in self.many)
        found = [
            f"## {self.name}",
            "",
            f"Throughput: {statistics.median(ratios):.1f} times one request at a time (median of the turns, "
            f"{min(ratios):.1f} to {max(ratios):.1f}). "
            f"The server's processor time for a request: {processor:.1f} times less.",
            "",
            "| turn | clients | requests/s | p50 ms | p95 ms | server's processor ms/request |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        for turn, pair in enumerate(zip(self.single, self.many, strict=True), start=1):
            for one in pair:
                cells = [f"{x:.1f}" for x in (one.rate, one.quantile(0.5), one.quantile(0.95), one.cpu)]
                found.append(f"| {turn} | {one.clients} | {' | '.join(cells)} |")
        return [*found, ""]


def page(kinds: list[Kind], mixed: int, state: str) -> str:
    many = kinds[0].many
    head = [
        "# Serving under load",
        "",
        f"`python benchmarks/serve_load.py`: `whichtune serve` of a `{ROW}` row on the embedded model, a text in each",
        f"request; {len(many[0].texts)} requests by {many[0].clients} clients beside a quarter by one client who",
        f"waits for each answer, in {len(many)} turns. Every answer is held against the text's own, computed alone.",
        "",
        f"- answers in all: {sum(len(one.answers) for kind in kinds for one in [*kind.single, *kind.many]):,}; lost: "
        f"{sum(kind.lost for kind in kinds)}; more than {NEAR:g} from the text's own: {mixed}",
        f"- the machine: {state}",
        "",
        *NOTE,
        "",
    ]
    return "\n".join([*head, *(line for kind in kinds for line in kind.lines())]).rstrip() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="a study with a saved last_block row [default: a small new one]")
    parser.add_argument("--write", type=Path, help="write the page here, too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = given.folder or Path(made) / "study"
        if given.folder is None:
            command = [sys.executable, "-m", "whichtune", "compare", *STUDY, "--out", str(folder)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        kinds = [
            Kind("Messages of about 39 tokens", made_texts(given.requests)),
            Kind("Messages of about 6 tokens", made_texts(given.requests, words=3)),
        ]
        with server(folder) as (port, process):
            load(port, process, kinds[0].texts[:64], given.clients)  # warm
            before = os.getloadavg()[0]
            for _ in range(given.turns):
                for kind in kinds:
                    kind.measure(port, process, given.clients)
            after = os.getloadavg()[0]
        threads = os.environ.get("OMP_NUM_THREADS", "torch's own")
        state = f"{os.cpu_count()} cores, shared with the clients and with other work; threads of a pass: {threads}; "
        state += f"load {before:.1f} before, {after:.1f} after"
        mixed = wrong(folder, [one for kind in kinds for one in [*kind.single, *kind.many]])
        text = page(kinds, mixed, state)
    print(text)
    if given.write is not None:
        given.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
