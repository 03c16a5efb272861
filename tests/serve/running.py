"""A real server in a thread of this process, and a client that does not hide what comes over the wire."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn

from whichtune.handover.serve.app import make_app
from whichtune.handover.serve.limits import Limits
from whichtune.handover.serve.rows import Served


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Running:
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self, method: str, path: str, body: bytes | str | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, named, response.read())
        finally:
            connection.close()

    def predict(self, texts: object, **headers: str) -> Answer:
        return self.send(json.dumps({"texts": texts}), **headers)

    def send(self, body: bytes | str, **headers: str) -> Answer:
        return self.ask("POST", "/predict", body, {"Content-Type": "application/json", **headers})


@contextmanager
def running(
    served: Served, limits: Limits | None = None, token: str | None = None, hosts: tuple[str, ...] | None = None
) -> Iterator[Running]:
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    ready = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready.set()

    app = make_app(served, limits, token, hosts)
    server = Server(uvicorn.Config(app, log_config=None, access_log=False, ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    ready.wait()
    try:
        yield Running(bound.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()
        bound.close()
