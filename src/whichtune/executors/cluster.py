"""Runs on a cluster of Ray's, or on this machine's cores by Ray: a slot of the cluster for every run at a time.

Ray gives slots their place and tells when one is lost; the rest is ours: run servers as on one machine, and the study's
folder, which is the truth, on the machine that the command was given on.
"""

from __future__ import annotations

import importlib.util
import os
import time
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from whichtune.errors import SettingError
from whichtune.executors.base import EXECUTORS, ExecutorOptions
from whichtune.executors.expected import Expectations
from whichtune.executors.hands import Hand, Need
from whichtune.executors.parcels import Packer
from whichtune.executors.passes import Passes
from whichtune.executors.shift import Shift
from whichtune.records.events import Listener
from whichtune.records.store import StudyFolder
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

MISSING = "Runs on a Ray cluster need the package ray, which is not installed: pip install 'whichtune[ray]'."
FULL = (
    "Ray's object store on this machine is full, and so is the disk that Ray would move objects to: make room there, "
    "or start Ray with more (ray start --object-store-memory). What is made is kept, and the same command goes on."
)
CLOSE_SECONDS = 20
MOST_CPUS_PER_GPU = 8
MEMORY_STEP = 256 << 20  # so that slots do for the runs of a later round, too
BASELINE_SLOTS = 2  # of CPUs beside GPUs: baselines take seconds


@EXECUTORS.register("ray")
def ray_executor(options: ExecutorOptions) -> RayExecutor:
    """Raises SettingError where Ray is not installed."""
    return RayExecutor(options)


@dataclass(frozen=True)
class Machines:
    """What the machines of a cluster have in all, each a mapping of Ray's resources."""

    nodes: Sequence[Mapping[str, float]]

    def slots(self, need: Need) -> int:
        """How many runs with this need they could make at a time, were nobody else there."""
        return sum(
            min(int(node.get(name, 0) / wanted + 1e-9) for name, wanted in need.resources.items())
            for node in self.nodes
        )

    def total(self, name: str) -> float:
        return sum(node.get(name, 0) for node in self.nodes)

    def largest(self, name: str) -> float:
        return max((node.get(name, 0) for node in self.nodes), default=0)


class RayExecutor:
    """Makes runs in slots, which are Ray actors; see `Shift` for what happens to one of them.

    `gpus_per_run` is what a run that trains asks of Ray, whatever its device; by default one on a GPU asks for a GPU,
    or its share with `jobs_per_gpu`, and one on CPUs for none. Without `affinity` it does not matter which machine has
    a run's pass through frozen blocks: to measure what that saves. As a context manager it keeps its slots from one
    call to the next. Raises SettingError where Ray is not installed, and from `warm_up` on where no cluster answers.
    """

    def __init__(self, options: ExecutorOptions, gpus_per_run: float | None = None, affinity: bool = True) -> None:
        if importlib.util.find_spec("ray") is None:
            raise SettingError(MISSING)
        self.options = options
        self.gpus_per_run = gpus_per_run
        self._expected, self._packer, self._passes = Expectations(), Packer(), Passes(affinity)
        self._hands: list[Hand] = []
        self._kept = self._connected = self._ours = False

    def __enter__(self) -> RayExecutor:
        self._kept = True
        return self

    def __exit__(self, *_: object) -> None:
        self._kept = False
        self._close()

    def warm_up(self) -> None:
        """Connect. Slots are started when it is known what runs need."""
        self._connect()

    def devices(self) -> frozenset[str]:
        """The kinds of device that the cluster has."""
        self._connect()
        return frozenset(["cpu", *(["cuda"] if machines().total("GPU") >= 1 else [])])

    def execute(self, specs: Sequence[RunSpec], folder: StudyFolder, save: bool, on_event: Listener) -> int:
        folder.sweep()
        missing = [spec for spec in specs if not folder.is_complete(spec.run_id)]
        if not missing:
            return 0
        self._connect()
        try:
            self._expected.learn(missing)
            shift = Shift(
                specs=specs,
                waiting=self._expected.longest_first(missing),
                folder=folder,
                save=save,
                tell=on_event,
                options=self.options,
                expected=self._expected,
                packer=self._packer,
                gpus=self._gpus,
                slots=self,
                passes=self._passes,
            )
            self._staff(missing)
            self._hands = shift.work(self._hands)
            return shift.started
        except BaseException as error:
            self._close()  # nothing goes on behind the caller's back
            folder.sweep()
            if _is_full(error):
                raise SettingError(FULL) from error
            raise
        finally:
            if not self._kept:
                self._close()

    def _staff(self, specs: Sequence[RunSpec]) -> None:
        """Have as many slots as the runs can use. Raises SettingError where no machine could ever make one."""
        on_gpu = [spec for spec in specs if self._gpus(spec)]
        on_cpu = [spec for spec in specs if not self._gpus(spec)]
        there = machines()
        for kind, beside in ((on_gpu, False), (on_cpu, bool(on_gpu))):
            if not kind or (beside and self._jobs == 1):
                continue  # a slot with a GPU makes baselines, too
            need = self._need(kind, there)
            room = there.slots(need)
            if room == 0 and self._jobs is None:
                raise SettingError(f"No machine of the cluster has what a run needs, which is {need.told()}.")
            wanted = min(len(kind), self._jobs or room)
            wanted = min(wanted, BASELINE_SLOTS) if beside else wanted
            same = [hand for hand in self._hands if hand.need.gpus == need.gpus]
            small = [hand for hand in same if not need.fits_in(hand.need)]
            dismiss(small)
            self._hands = [hand for hand in self._hands if hand not in small]
            self._hands += [self.hire(need) for _ in range(wanted - len(same) + len(small))]

    @property
    def _jobs(self) -> int | None:
        return None if self.options.auto_jobs else self.options.jobs

    def _gpus(self, spec: RunSpec) -> float:
        """The GPUs that a run asks for; baselines have no use for one."""
        if spec.role is Role.BASELINE:
            return 0.0
        return self.gpus_per_run or (1 / self.options.jobs_per_gpu if spec.device == "cuda" else 0.0)

    def _need(self, specs: Sequence[RunSpec], there: Machines) -> Need:
        """What a slot asks for that any of these runs can be made in. Memory that no machine has is not asked for:
        the estimate may be wrong."""
        gpus = self._gpus(specs[0])
        share = int(there.total("CPU") // max(1.0, there.total("GPU") / gpus)) if gpus else 1
        memory = max(self._expected.memory(spec) for spec in specs)
        return Need(
            cpus=self.options.threads or min(MOST_CPUS_PER_GPU, max(1, share)),
            gpus=gpus,
            memory=int(min(-(-memory // MEMORY_STEP) * MEMORY_STEP, there.largest("memory"))),
        )

    # -- what a shift asks of Ray -------------------------------------------------------------------

    def hire(self, need: Need) -> Hand:
        """A slot's actor; Ray finds a machine for it, or it waits."""
        import ray

        from whichtune.executors.slot import Slot

        actor = (
            ray.remote(Slot)
            .options(
                num_cpus=need.cpus,
                num_gpus=need.gpus,
                memory=need.memory or None,
                max_concurrency=4,  # `close` and `forget` come while news are waited for
                max_restarts=0,
                scheduling_strategy="SPREAD",
            )
            .remote()
        )
        return Hand(actor, need)

    def let_go(self, hand: Hand) -> None:
        """Kill a slot; its run server goes with it."""
        import ray

        ray.kill(hand.actor)

    def answers(self, open_: Collection[Any], seconds: float) -> list[tuple[Any, Any, Exception | None]]:
        """What is answered by now, or how it was lost; see `Slots`."""
        import ray

        if not open_:
            time.sleep(seconds)
            return []
        ray.wait(list(open_), num_returns=1, timeout=seconds)
        ready, _ = ray.wait(list(open_), num_returns=len(open_), timeout=0)
        return [(reference, *_answer(reference)) for reference in ready]

    # -- the connection -----------------------------------------------------------------------------

    def _close(self) -> None:
        hands, self._hands = self._hands, []
        dismiss(hands)
        if self._ours and not self._kept:
            import ray

            ray.shutdown()
            self._ours = self._connected = False

    def _connect(self) -> None:
        if self._connected:
            return
        import ray

        if not ray.is_initialized():
            connect(self.options.address)
            self._ours = True
        self._connected = True


def _is_full(error: BaseException) -> bool:
    """Whether Ray could not store what was sent to a slot."""
    from ray.exceptions import ObjectStoreFullError, OutOfDiskError

    return isinstance(error, (ObjectStoreFullError, OutOfDiskError))


def _answer(reference: Any) -> tuple[Any, Exception | None]:
    import ray

    try:
        return ray.get(reference), None
    except ray.exceptions.RayError as error:
        return None, error


def connect(address: str | None) -> None:
    """Connect to the cluster at an address of Ray's client server; None: to the one that RAY_ADDRESS names or that
    this machine belongs to, or to one that is started here. Raises SettingError where none answers."""
    import ray

    quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    try:
        if address is not None:
            with warnings.catch_warnings(action="ignore"):  # what is wrong is told below
                ray.init(address=f"ray://{address}", **quiet)
            return
        try:
            ray.init(address="auto", **quiet)
        except ConnectionError:
            if os.environ.get("RAY_ADDRESS", "local") != "local":
                raise
            ray.init(address="local", include_dashboard=False, **quiet)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        place = f"at ray://{address}" if address else "here"
        raise SettingError(
            f"No Ray cluster answers {place} ({reason}): check the address, whose port is that of Ray's client server "
            "(10001 if not said otherwise), and set RAY_AUTH_MODE=token where the cluster asks for a token; on a "
            "machine of the cluster --executor ray is enough."
        ) from error


def machines() -> Machines:
    """The machines of the cluster that are there now."""
    import ray

    return Machines([node["Resources"] for node in ray.nodes() if node["Alive"]])


def dismiss(hands: Iterable[Hand]) -> None:
    """End slots with the runs that they make; a slot that does not answer is killed, and its server goes with it."""
    import ray

    hands = list(hands)
    if not hands or not ray.is_initialized():
        return
    asked = [hand.actor.close.remote() for hand in hands if hand.about is not None and not hand.lost]
    if asked:
        ray.wait(asked, num_returns=len(asked), timeout=CLOSE_SECONDS)
    for hand in hands:
        ray.kill(hand.actor)
