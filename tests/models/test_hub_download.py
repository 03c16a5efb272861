"""A model of the Hub, fetched from a server on this machine that answers as the Hub does."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from whichtune.embedded import model_path

COMMIT = "c0ffee" + "0" * 34
MODEL = "someone/tiny"


class Hub(BaseHTTPRequestHandler):
    """One model, with the files of the embedded one."""

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        path = self.path.split("?")[0]
        if path.startswith(f"/api/models/{MODEL}"):
            files = sorted(file for file in model_path().iterdir() if file.is_file())
            about: object = {"id": MODEL, "sha": COMMIT, "siblings": [{"rfilename": file.name} for file in files]}
            if "/tree/" in path:
                sizes = {file.name: file.stat().st_size for file in files}
                about = [{"type": "file", "path": name, "size": size, "oid": COMMIT} for name, size in sizes.items()]
            return self.send(json.dumps(about).encode(), "application/json", body)
        prefix = f"/{MODEL}/resolve/{COMMIT}/"
        file = model_path() / path.removeprefix(prefix)
        if path.startswith(prefix) and file.is_file():
            return self.send(file.read_bytes(), "application/octet-stream", body)
        return self.send(b"{}", "application/json", body, 404)

    def send(self, content: bytes, kind: str, body: bool, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing: the test's output is its own."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.slow  # two dry runs
def test_what_is_fetched_is_told_before_it_is_and_only_once(endpoint: str, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "TRANSFORMERS_"))}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hub"), "NO_PROXY": "127.0.0.1"}
    words = ["compare", "--data", "messages", "--model", MODEL, "--methods", "head_only", "--seeds", "0", "--dry-run"]

    def said() -> str:
        command = [
            sys.executable,
            "-m",
            "whichtune",
            *words,
            "--set",
            "data.train_limit=20",
            "--out",
            str(tmp_path / "o"),
        ]
        found = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stdout + found.stderr
        return found.stdout

    first = said()
    size = sum(f.stat().st_size for f in model_path().iterdir() if f.suffix in (".json", ".txt", ".safetensors"))
    assert f"The model {MODEL} is fetched from the Hugging Face Hub, once: {size / 1e6:.0f} MB." in first
    assert "Nothing was run." in first
    assert "is fetched" not in said()
