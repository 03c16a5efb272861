"""Runs on this machine, one after the other or a few at a time, each a process forked from a run server."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack

from whichtune.executors.base import EXECUTORS, ExecutorOptions, Listener, RunRequest, died
from whichtune.executors.devices import VISIBLE, Gpu, Placement, visible_gpus
from whichtune.executors.expected import Expectations, refuse_too_large
from whichtune.executors.order import MOST_TOGETHER, pass_of, problem_of, siblings, well_ordered
from whichtune.executors.server import RunServer, StoppedError, start_together
from whichtune.plugins import for_other_processes
from whichtune.records.events import Event
from whichtune.records.store import StudyFolder
from whichtune.runs.run import Sibling
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec

WAIT_SECONDS = 0.5
CPU_JOBS = 1  # for baselines beside the GPUs


class _Queue:
    """Runs that wait, for a worker and, those on GPUs, for a GPU with room. One that another process makes comes back
    until its record is complete."""

    def __init__(
        self,
        specs: Iterable[RunSpec],
        folder: StudyFolder,
        placement: Placement | None = None,
        memory: Callable[[RunSpec], int] = lambda spec: 0,
    ) -> None:
        self.folder, self.lock = folder, threading.Lock()
        self.placement, self.memory = placement, memory
        self.waiting = deque(spec for spec in specs if not folder.is_complete(spec.run_id))
        self.elsewhere: list[RunSpec] = []
        self.problems = {spec.run_id: problem_of(spec) for spec in self.waiting}  # of which runs are made together
        self.stopped = threading.Event()

    def take(self) -> tuple[list[RunSpec], Gpu | None] | None:
        """The next run to make, and those that can be made beside it; with its GPU where GPUs are handed out. None when
        there is none left. Waits for those that are made elsewhere, and for a GPU."""
        while not self.stopped.is_set():
            with self.lock:
                for at, spec in enumerate(self.waiting):
                    gpu = self._gpu_for(spec)
                    if gpu is not None or self.placement is None or not needs_gpu(spec):
                        del self.waiting[at]
                        return [spec, *self._beside(spec)], gpu
                if not self.elsewhere and not self.waiting:
                    return None
            time.sleep(WAIT_SECONDS)
            with self.lock:
                self.waiting.extend(spec for spec in self.elsewhere if not self.folder.is_complete(spec.run_id))
                self.elsewhere.clear()
        return None

    def _gpu_for(self, spec: RunSpec) -> Gpu | None:
        if self.placement is None or not needs_gpu(spec):
            return None
        return self.placement.place(spec.run_id, self.memory(spec))

    def leave(self, spec: RunSpec) -> None:
        """The run has ended, or was another's: its GPU is free."""
        if self.placement is not None:
            with self.lock:
                self.placement.leave(spec.run_id)

    def give_back(self, spec: RunSpec) -> None:
        with self.lock:
            self.elsewhere.append(spec)

    def _beside(self, spec: RunSpec) -> list[RunSpec]:
        """Those that wait and are parts of one problem with a run, which wait no more."""
        problem = self.problems[spec.run_id]
        if not problem:
            return []
        fitting = [each for each in self.waiting if self.problems[each.run_id] == problem]
        taken = fitting[: MOST_TOGETHER - 1]
        ids = {each.run_id for each in taken}
        self.waiting = deque(each for each in self.waiting if each.run_id not in ids)
        return taken

    def leave_alone(self, specs: Sequence[RunSpec]) -> None:
        """Runs that could not be made beside another are the next to be made, each by itself."""
        with self.lock:
            self.problems.update({spec.run_id: "" for spec in specs})
            self.waiting.extendleft(reversed(specs))


@EXECUTORS.register("local")
def local_executor(options: ExecutorOptions) -> LocalExecutor:
    return LocalExecutor(
        threads=options.threads,
        cache_limit=options.cache_limit,
        jobs=options.jobs,
        auto_jobs=options.auto_jobs,
        jobs_per_gpu=options.jobs_per_gpu,
    )


def needs_gpu(spec: RunSpec) -> bool:
    """Whether a run is to have a GPU of NVIDIA's; baselines have no use for one."""
    return spec.device == "cuda" and spec.role is not Role.BASELINE


class LocalExecutor:
    """Skips complete runs and lets processes on one folder share the work: each run is made by one of them.

    `jobs` runs are made at a time, each by a server of its own; `threads` are those of one run, by default an
    equal share of the cores, or torch's choice where runs are made one after the other. As a context manager it
    keeps its servers from one call to the next.

    With `auto_jobs` there are as many as the GPUs take, `jobs_per_gpu` on each, and one for runs on the CPU beside; on
    a machine without a GPU one run is made at a time, with all cores. `gpus` tells which there are. Where there are
    several, or `auto_jobs`, each run on a GPU is given one of them and sees no other.
    """

    def __init__(
        self,
        fork: bool = True,
        threads: int | None = None,
        cache_limit: int | None = None,
        jobs: int = 1,
        auto_jobs: bool = False,
        jobs_per_gpu: int = 1,
        gpus: Callable[[], Sequence[Gpu]] = visible_gpus,
    ) -> None:
        self.fork, self.cache_limit = fork and hasattr(os, "fork"), cache_limit
        self.gpus, self.auto_jobs, self.jobs_per_gpu = gpus, auto_jobs, jobs_per_gpu
        if auto_jobs:
            slots = len(gpus()) * jobs_per_gpu
            jobs = slots + CPU_JOBS if slots else 1
        self.jobs = jobs
        self.threads = threads if threads or jobs == 1 else max(1, (os.cpu_count() or 1) // jobs)
        self._expected = Expectations()
        self._siblings: dict[str, list[Sibling]] = {}
        self._servers: list[RunServer] = []
        self._kept = False

    def __enter__(self) -> LocalExecutor:
        self._kept = True
        return self

    def __exit__(self, *_: object) -> None:
        self._kept = False
        self._close()

    def _close(self) -> None:
        while self._servers:
            self._servers.pop(0).__exit__()  # in the order of starting: the first holds the others' pipes at first

    def warm_up(self) -> None:
        """Start the servers, which take seconds to import what runs need, while the caller prepares the study."""
        self._first_servers(self.jobs)

    def _first_servers(self, count: int) -> list[RunServer]:
        """So many servers; those that are new are started."""
        new = [RunServer(self.fork) for _ in range(count - len(self._servers))]
        start_together(new)
        self._servers.extend(new)
        return self._servers[:count]

    def execute(self, specs: Sequence[RunSpec], folder: StudyFolder, save: bool, on_event: Listener) -> int:
        folder.sweep()
        self._siblings = siblings(specs)
        queue = self._queue(specs, folder)
        try:
            return self._side_by_side(queue, save, on_event)
        except BaseException:
            self._close()  # nothing goes on behind the caller's back
            folder.sweep()  # nor does what it was writing stay
            raise
        finally:
            if not self._kept:
                self._close()

    def _queue(self, specs: Sequence[RunSpec], folder: StudyFolder) -> _Queue:
        """The runs that wait. Raises SettingError where one is larger than every GPU, before any is made."""
        on_gpu = [spec for spec in specs if needs_gpu(spec) and not folder.is_complete(spec.run_id)]
        gpus = list(self.gpus()) if on_gpu else []
        if not gpus:
            jobs = 1 if self.auto_jobs else self.jobs
            return _Queue(well_ordered(specs, jobs), folder)
        self._expected.learn(on_gpu)
        refuse_too_large(on_gpu, self._expected, gpus)
        if len(gpus) == 1 and not self.auto_jobs:
            return _Queue(well_ordered(specs, self.jobs), folder)
        per_gpu = self.jobs_per_gpu if self.auto_jobs else -(-self.jobs // len(gpus))
        ordered = self._expected.longest_first(specs) if self.auto_jobs else well_ordered(specs, self.jobs)
        return _Queue(ordered, folder, Placement(gpus, per_gpu), self._expected.memory)

    def _side_by_side(self, queue: _Queue, save: bool, on_event: Listener) -> int:
        """Workers on one queue. What one of them raises, and Ctrl-C, ends all of them and is raised."""
        jobs = 1 if self.auto_jobs and queue.placement is None else self.jobs
        servers = self._first_servers(min(jobs, len(queue.waiting)))
        if len(servers) <= 1:
            return sum(self._work(server, queue, save, on_event) for server in servers)
        one_at_a_time = threading.Lock()

        def tell(event: Event) -> None:
            with one_at_a_time:
                on_event(event)

        with ThreadPoolExecutor(len(servers)) as pool:
            try:
                workers: list[Future[int]] = [pool.submit(self._work, server, queue, save, tell) for server in servers]
                for worker in wait(workers, return_when=FIRST_EXCEPTION).done:
                    worker.result()
                return sum(worker.result() for worker in workers)
            except BaseException:
                queue.stopped.set()
                self._close()  # before the pool waits for its workers, who wait for the servers
                raise

    def _work(self, server: RunServer, queue: _Queue, save: bool, on_event: Listener) -> int:
        """Make runs until none is left; how many were started."""
        started = 0
        while (taken := queue.take()) is not None:
            specs, gpu = taken
            try:
                with ExitStack() as claims:
                    mine = [spec for spec in specs if self._claimed(queue, spec, claims)]
                    if mine:
                        started += self._made(server, mine, gpu, queue, save, on_event)
            finally:
                queue.leave(specs[0])
        return started

    @staticmethod
    def _claimed(queue: _Queue, spec: RunSpec, claims: ExitStack) -> bool:
        """Whether a run is to be made here: claimed until `claims` ends, and not complete."""
        if not claims.enter_context(queue.folder.claim(spec.run_id)):
            queue.give_back(spec)
            return False
        return not queue.folder.is_complete(spec.run_id)

    def _made(
        self,
        server: RunServer,
        specs: Sequence[RunSpec],
        gpu: Gpu | None,
        queue: _Queue,
        save: bool,
        on_event: Listener,
    ) -> int:
        """Make the first run, and those beside it that can be; how many were made. The others wait again."""
        first, *beside = specs
        folder, ended = queue.folder, set[str]()
        by_id = {spec.run_id: spec for spec in specs}

        def start(spec: RunSpec) -> None:
            told: Event = {"event": "start", "run_id": spec.run_id, "label": spec.label, "seed": spec.seed}
            on_event(told if gpu is None else {**told, "where": f"GPU {gpu.name}"})

        def end(spec: RunSpec, code: int) -> None:
            record = folder.read_run(spec.run_id)
            if record is None or (code != 0 and spec is first and not ended):
                record = died(spec, code)
                folder.write_run(record)
            ended.add(spec.run_id)
            on_event({"event": "end", "run_id": spec.run_id, "status": record.status, "error": record.error})

        def hear(event: Event) -> None:
            if event["event"] != "made":
                on_event({**event, "run_id": first.run_id})
                return
            spec = by_id[event["run_id"]]
            if spec is not first:
                start(spec)
            end(spec, 0)

        start(first)
        for spec in specs:
            folder.discard(spec.run_id)  # the record of an earlier attempt that failed
        code = server.run(self._request(specs, gpu, folder, save), hear)
        if queue.stopped.is_set():
            raise StoppedError
        if first.run_id not in ended:
            end(first, code)
        queue.leave_alone([spec for spec in beside if spec.run_id not in ended])
        return len(ended)

    def _request(self, specs: Sequence[RunSpec], gpu: Gpu | None, folder: StudyFolder, save: bool) -> RunRequest:
        first, *beside = specs
        return RunRequest(
            spec=first,
            beside=beside,
            folder=str(folder.path),
            save=save,
            threads=self.threads,
            jobs=self.jobs,
            cache_limit=self.cache_limit,
            siblings=self._siblings.get(first.run_id, []),
            shared=pass_of(first),
            plugins=for_other_processes(),
            environment={} if gpu is None else {VISIBLE: gpu.uuid},
        )
