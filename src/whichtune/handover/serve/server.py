"""From a study's folder to a server that answers until it is stopped."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from whichtune.errors import SettingError
from whichtune.handover.serve.address import Address, open_address
from whichtune.handover.serve.exported import is_exported, load_exported
from whichtune.handover.serve.limits import Limits
from whichtune.handover.serve.rows import Served, load, pick
from whichtune.records.store import StudyFolder
from whichtune.wording import listing, shown

if TYPE_CHECKING:
    import socket

Tell = Callable[[str], None]
KEEP_ALIVE = 15  # seconds that an idle connection is kept


def serve(
    folder: Path,
    row: str | None = None,
    seed: int | None = None,
    *,
    compare: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    no_token: bool = False,
    remote_code: bool = False,
    limits: Limits | None = None,
    tell: Tell = print,
) -> None:
    """Serve a saved row, and `compare` beside it, until Ctrl-C or SIGTERM; requests under way are answered first.

    `port` 0 takes a free one. Raises SettingError and StoreError for everything a user can put right, before the
    first request is taken.
    """
    if find_spec("starlette") is None or find_spec("uvicorn") is None:
        raise SettingError("Serving needs starlette and uvicorn: pip install 'whichtune[serve]'.")
    picked = None if is_exported(folder) else pick(StudyFolder(folder), row, seed, compare)
    if picked is None and (row, seed, compare) != (None, None, None):
        raise SettingError(
            f"'{folder}' is one exported row: leave out the row, --seed and --compare, or give its study."
        )
    address = open_address(host, port, token, no_token)
    with address.socket:
        served = load_exported(folder) if picked is None else load(picked, remote_code)
        names = [f"'{shown(name)}' ({why})" for name, why in zip(served.names, served.why, strict=True)]
        ready = f"Serving {listing(names)} at {address.url}; open it to try texts. Ctrl-C stops."
        run(served, address, limits or Limits(), token, lambda: tell(ready))
    tell("Stopped.")


def run(served: Served, address: Address, limits: Limits, token: str | None, on_ready: Callable[[], None]) -> None:
    """Answer on a bound socket until a signal comes."""
    import uvicorn

    from whichtune.handover.serve.app import make_app

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                on_ready()

    app = make_app(served, limits, token, address.hosts)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, ws="none", timeout_keep_alive=KEEP_ALIVE
    )
    with _quiet_end():
        Server(config).run(sockets=[address.socket])


@contextmanager
def _quiet_end() -> Iterator[None]:
    """uvicorn sends itself the signal again that has stopped it, once everything is answered: it has done its work."""
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
