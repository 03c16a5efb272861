"""Runs on this machine, one after the other, each a process forked from the run server."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import IO, Any

from whichtune.executors.base import Event
from whichtune.records import Role, RunStatus
from whichtune.spec import RunSpec
from whichtune.store import StudyFolder

WAIT_SECONDS = 0.5
SIGKILL = -9


class RunServer:
    """The server process and the pipe to it; started when first needed, and again should it die."""

    def __init__(self, fork: bool = True) -> None:
        self.fork = fork
        self.process: subprocess.Popen[str] | None = None
        self.log: IO[bytes] = tempfile.TemporaryFile()

    def __enter__(self) -> RunServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self.log.close()

    def close(self) -> None:
        """End the server and the run under way."""
        if self.process is None:
            return
        assert self.process.stdin is not None
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            self.process.kill()  # it had died with a request unread
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def run(self, request: dict[str, Any], on_event: Callable[[Event], None]) -> int:
        """Make one run; gives the child's exit status, negative for a signal."""
        if self.process is None or self.process.poll() is not None:
            self._start()
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            event = json.loads(line)
            if event["event"] == "exit":
                if not self.fork:  # it answers one request and leaves
                    self.process.wait()
                return int(event["code"])
            on_event(event)
        return self.process.wait() or 1  # the server itself died

    def _start(self) -> None:
        command = [sys.executable, "-m", "whichtune.executors.server"] + ([] if self.fork else ["--no-fork"])
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C reaches only the parent, which then closes the pipe
        )


class LocalExecutor:
    """Skips complete runs and lets processes on one folder share the work: each run is made by one of them."""

    def __init__(self, fork: bool = True, threads: int | None = None, cache_limit: int | None = None) -> None:
        self.fork, self.threads, self.cache_limit = fork, threads, cache_limit
        self._siblings: dict[str, list[tuple[str, dict[str, Any]]]] = {}

    def execute(
        self, specs: Sequence[RunSpec], folder: StudyFolder, save: bool, on_event: Callable[[Event], None]
    ) -> int:
        folder.sweep()
        self._siblings = siblings(specs)
        started = 0
        waiting = [spec for spec in specs if not folder.is_complete(spec.run_id)]
        with RunServer(self.fork) as server:
            while waiting:
                taken_elsewhere = []
                for spec in waiting:
                    with folder.claim(spec.run_id) as mine:
                        if not mine:
                            taken_elsewhere.append(spec)
                        elif not folder.is_complete(spec.run_id):
                            started += 1
                            self._one(server, spec, folder, save, on_event)
                if len(taken_elsewhere) == len(waiting):
                    time.sleep(WAIT_SECONDS)
                waiting = [spec for spec in taken_elsewhere if not folder.is_complete(spec.run_id)]
        return started

    def _one(
        self,
        server: RunServer,
        spec: RunSpec,
        folder: StudyFolder,
        save: bool,
        on_event: Callable[[Event], None],
    ) -> None:
        on_event({"event": "start", "run_id": spec.run_id, "label": spec.label, "seed": spec.seed})
        request = {
            "spec": spec.model_dump(mode="json"),
            "folder": str(folder.path),
            "save": save,
            "threads": self.threads,
            "cache": {"limit": self.cache_limit, "siblings": self._siblings.get(spec.run_id, [])},
        }
        folder.discard(spec.run_id)  # the record of an earlier attempt that failed
        code = server.run(request, on_event)
        record = folder.read_run(spec.run_id)
        if code != 0 or record is None:
            record = _died(spec, code)
            folder.write_run(record)
        on_event({"event": "end", "run_id": spec.run_id, "status": record.status, "error": record.error})


def siblings(specs: Sequence[RunSpec]) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """By run id: methods, with their settings, of the runs that read the same texts by the same frozen model.

    What such runs need of the lower blocks can be kept in one pass.
    """
    groups: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {}
    chosen = [spec for spec in specs if spec.role is not Role.BASELINE and spec.plan == "auto"]
    for spec in chosen:
        own = json.dumps([spec.method, spec.method_settings], sort_keys=True)
        groups.setdefault(_shared(spec), {})[own] = (spec.method, spec.method_settings)
    return {spec.run_id: list(groups[_shared(spec)].values()) for spec in chosen}


def _shared(spec: RunSpec) -> str:
    """What runs must have in common to share the states of lower blocks."""
    names = ("model", "revision", "weights", "context_length", "precision", "causal_mask", "attend_to_padding")
    parts = [getattr(spec, name) for name in (*names, "padding", "token_position", "dropout", "device")]
    return repr([*parts, spec.data, spec.seed if spec.weights == "random" else None])


def _died(spec: RunSpec, code: int) -> Any:
    """The record of a run whose process ended without one."""
    from whichtune.run import base_record

    if code == SIGKILL:
        reason = "The system killed the run (SIGKILL), which it does when memory runs out."
        return base_record(spec, RunStatus.OUT_OF_MEMORY, error=reason)
    how = f"signal {-code}" if code < 0 else f"exit status {code}"
    return base_record(spec, RunStatus.FAILED, error=f"The run's process ended without a record ({how}).")
