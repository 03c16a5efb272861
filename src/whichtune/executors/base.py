"""What an executor is, what it is asked for, and how one run is made wherever it is made."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, Self, runtime_checkable

from pydantic import BaseModel, ConfigDict

from whichtune.errors import WhichtuneError
from whichtune.plugins import Import, load_for_runs
from whichtune.records.events import Listener
from whichtune.records.record import RunRecord, RunStatus
from whichtune.records.store import StudyFolder
from whichtune.records.wordless import LEFT_OUT
from whichtune.registry import Registry
from whichtune.runs.records import CacheFields, RunResult, Sibling
from whichtune.study.numbers import jobs_of
from whichtune.study.spec import RunSpec, Study

MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory")
SIGKILL = -9


class Executor(Protocol):
    """Makes runs and stores them; `compare` knows no more of it than this.

    Runs end as records in the folder, failed ones too. Runs that the folder holds complete are left out, and each run
    is made once even where several processes work on one folder (`StudyFolder.claim`). `on_event` is told `start`
    (with `where`, if that is worth knowing), what the run itself tells (`phase`, `step`, `point`, `traceback`), and
    `end`, each with the `run_id`; it is called by one thread at a time. What it raises, and Ctrl-C, ends the runs under
    way and is raised: nothing goes on behind the caller's back, and nothing half-written stays.
    """

    def __enter__(self) -> Self:
        """Within, what was started is kept from one call to the next."""

    def __exit__(self, *_: object) -> None:
        """End what was started."""

    def warm_up(self) -> None:
        """Begin what takes time before the first run, and return at once. May do nothing."""

    def execute(self, specs: Sequence[RunSpec], folder: StudyFolder, save: bool, on_event: Listener) -> int:
        """Make every run that the folder does not hold complete; gives how many were started. `save` keeps the trained
        weights. Raises StoreError for a folder that cannot be used."""


class ExecutorOptions(BaseModel):
    """What a user can say of how runs are made: `threads` of one run, `jobs` at a time, and bytes of disk that the
    activation cache may take. None: as the executor thinks best.

    With `auto_jobs` the executor finds out how many runs at a time its devices can take, at most `jobs_per_gpu` on one
    GPU; `jobs` counts only where it is false. `address` is where a cluster is to be found.
    """

    model_config = ConfigDict(frozen=True)
    threads: int | None = None
    jobs: int = 1
    cache_limit: int | None = None
    auto_jobs: bool = False
    jobs_per_gpu: int = 1
    address: str | None = None


EXECUTORS: Registry[Callable[[ExecutorOptions], Executor]] = Registry(
    "executor", ["whichtune.executors.local", "whichtune.executors.cluster"], group="whichtune.executors"
)
ADDRESS = "://"  # between an executor's name and the address of its cluster


def executor_of(chosen: Executor | str | None, options: ExecutorOptions) -> Executor:
    """The executor itself, or the registered one of that name; None: runs on this machine.

    A name may come with an address, as in `ray://head:10001`. Raises UnknownNameError for a name that is none, and
    SettingError where the executor cannot be used here.
    """
    if chosen is not None and not isinstance(chosen, str):
        return chosen
    name, _, address = (chosen or "local").partition(ADDRESS)
    return EXECUTORS[name](options.model_copy(update={"address": address or None}))


def options_of(
    study: Study, jobs: int | str | None, threads: int | None, cache_limit: int | None, remote: bool
) -> ExecutorOptions:
    """What the executor is told. `remote`: it is not this machine's, and takes what it has room for where nobody says
    how many runs are made at a time."""
    said: int | str = study.jobs if "jobs" in study.model_fields_set or not remote else "auto"
    wanted = jobs_of(said if jobs is None else jobs)
    return ExecutorOptions(
        threads=threads,
        cache_limit=cache_limit,
        jobs=wanted.number or 1,
        auto_jobs=wanted.number is None,
        jobs_per_gpu=wanted.per_gpu,
    )


@runtime_checkable
class Elsewhere(Protocol):
    """What an executor whose runs are made on other machines says of them, beside what every executor does."""

    def devices(self) -> frozenset[str]:
        """The kinds of device that its machines have: `cpu`, and `cuda` where there are GPUs."""


class RunRequest(BaseModel):
    """All that a process needs to make one run, and those `beside` it whose heads are parts of one problem
    (`order.problem_of`); as JSON it can travel."""

    model_config = ConfigDict(frozen=True)
    spec: RunSpec
    beside: list[RunSpec] = []
    folder: str
    save: bool = False
    threads: int | None = None
    jobs: int = 1
    cache_limit: int | None = None
    siblings: list[Sibling] = []
    shared: str = ""  # what the runs call their pass that share it, see `order.pass_of`
    plugins: list[Import] = []
    environment: dict[str, str] = {}  # variables that are set in the run's process


def make_run(request: RunRequest, tell: Listener) -> None:
    """Make one run in this process, and those beside it, and store each record, whatever becomes of the run.

    Of several each is told as `made`. Those that cannot be made beside the first are left: they are to be made alone.
    """
    from whichtune.data.named import user_cache
    from whichtune.measure.cost import anonymous_bytes
    from whichtune.measure.neighbours import Neighbours

    memory, begin = anonymous_bytes(), time.perf_counter()
    spec, folder = request.spec, StudyFolder(request.folder)
    if request.threads:
        import torch

        torch.set_num_threads(request.threads)
    try:
        load_for_runs(request.plugins)
        with Neighbours(user_cache() / "running") as neighbours:

            def at_once() -> int:
                return max(request.jobs, neighbours.look())

            for spec, outcome in _outcomes(request, folder, neighbours.listening(tell), memory, at_once):
                if isinstance(outcome, RunResult):
                    _store(request, folder, outcome, neighbours.look(), begin)
                else:
                    _store_failure(folder, spec, outcome, tell)
                if request.beside:
                    tell({"event": "made", "run_id": spec.run_id})
    except Exception as error:
        _store_failure(folder, spec, error, tell)


def _outcomes(
    request: RunRequest, folder: StudyFolder, tell: Listener, memory: int, at_once: Callable[[], int]
) -> Iterator[tuple[RunSpec, RunResult | Exception]]:
    """What comes of the runs that are asked for, one after another. What goes wrong with the first is raised."""
    from whichtune.runs.run import run_one
    from whichtune.runs.together import run_together

    spec = request.spec
    cache: CacheFields = {"limit": request.cache_limit, "siblings": request.siblings, "shared": request.shared}
    if request.beside:
        yield from run_together([spec, *request.beside], tell, memory, cache, at_once)
        return
    aside = folder.aside(spec.goes_on_from) if spec.goes_on_from else None
    yield spec, run_one(spec, tell, memory, cache, at_once, aside)


def _store(request: RunRequest, folder: StudyFolder, result: RunResult, seen: int, begin: float) -> None:
    """Write a run that began at `begin`, or took what its result says, with what it took until it is written."""
    made = time.perf_counter()
    since = begin if result.seconds is None else made - result.seconds
    record = with_jobs(result.record, request.jobs, seen)
    keeps = request.save or request.spec.part is not None
    folder.write_run(
        record,
        result.curves,
        result.predictions,
        result.save if keeps else None,
        lambda written: with_times(written, since, made, time.perf_counter()),
    )


def _store_failure(folder: StudyFolder, spec: RunSpec, error: Exception, tell: Listener) -> None:
    """Write the record of a run that raised `error`."""
    from whichtune.runs.run import base_record

    status, reason = explain(error)
    if not folder.keeps_texts and status is RunStatus.FAILED and not isinstance(error, WhichtuneError):
        reason = f"{type(error).__name__}, {LEFT_OUT}."
    tell({"event": "traceback", "text": "".join(traceback.format_exception(error))})
    folder.write_run(base_record(spec, status, error=reason, error_kind=type(error).__name__))


def with_jobs(record: RunRecord, jobs: int, seen: int = 1) -> RunRecord:
    """The record with how many runs were made at a time, which its times depend on: by this study, and `seen`."""
    if record.environment is None:
        return record
    at_once = max(jobs, seen, record.environment.runs_at_once)
    environment = record.environment.model_copy(update={"jobs": jobs, "runs_at_once": at_once})
    return record.model_copy(update={"environment": environment})


def with_times(record: RunRecord, begin: float, made: float, end: float) -> RunRecord:
    """The record with the seconds of its writing, `made` to `end`, and of the whole run, which began at `begin`."""
    times = {"save_seconds": end - made, "total_seconds": end - begin}
    return record.model_copy(update={"cost": record.cost.model_copy(update=times)})


def explain(error: BaseException) -> tuple[RunStatus, str]:
    """The status and the one-sentence reason of a run that raised `error`."""
    text = " ".join(str(error).split())[:400]
    if isinstance(error, WhichtuneError):
        return RunStatus.FAILED, text
    lower = text.lower()
    if isinstance(error, MemoryError) or any(words in lower for words in MEMORY_WORDS):
        return RunStatus.OUT_OF_MEMORY, f"Out of memory: {text or type(error).__name__}"
    return RunStatus.FAILED, f"{type(error).__name__}: {text}"


def died(spec: RunSpec, code: int) -> RunRecord:
    """The record of a run whose process ended without one; `code` is its exit status, negative for a signal."""
    from whichtune.runs.run import base_record

    if code == SIGKILL:
        reason = "The system killed the run (SIGKILL), which it does when memory runs out."
        return base_record(spec, RunStatus.OUT_OF_MEMORY, error=reason)
    how = f"signal {-code}" if code < 0 else f"exit status {code}"
    return base_record(spec, RunStatus.FAILED, error=f"The run's process ended without a record ({how}).")
