"""One call's runs in the slots of a cluster: handed out, followed, brought home, and made again where one is lost.

Each slot's course is a generator that yields what it waits for, so that one thread follows them all, and what a slot
holds, such as the claim on its run, is let go wherever its course ends.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from whichtune.errors import SettingError
from whichtune.evidence.stored import named
from whichtune.executors.base import ExecutorOptions, RunRequest
from whichtune.executors.choice import Choice
from whichtune.executors.expected import Expectations, refuse_too_large
from whichtune.executors.hands import Course, Hand, LostError, Slots
from whichtune.executors.order import pass_of, siblings
from whichtune.executors.parcels import Packer, Parcel, moved
from whichtune.executors.passes import Passes
from whichtune.plugins import Import, for_other_processes
from whichtune.records.arriving import arriving
from whichtune.records.events import Listener
from whichtune.records.record import RunRecord, RunStatus
from whichtune.records.store import StudyFolder
from whichtune.study.spec import RunSpec
from whichtune.version import VERSION

if TYPE_CHECKING:
    from whichtune.executors.slot import About, News

TICK_SECONDS = 0.5
NEWS_SECONDS = 10.0  # that a slot keeps a question open while nothing happens
WAITING_SECONDS = 30.0  # before it is told that no machine has room
MOST_LOSSES = 3  # of one run, and of slots in a row that never came up


@dataclass
class _Machine:
    """What has been brought to a machine: places by parcel. `busy` while a slot of it brings something."""

    places: dict[str, str] = field(default_factory=dict)
    busy: bool = False


@dataclass
class Shift:
    """The runs `waiting`, in the order to make them, of a study with these `specs`."""

    specs: Sequence[RunSpec]
    waiting: Sequence[RunSpec]
    folder: StudyFolder
    save: bool
    tell: Listener
    options: ExecutorOptions
    expected: Expectations
    packer: Packer
    gpus: Callable[[RunSpec], float]
    slots: Slots
    passes: Passes = field(default_factory=Passes)

    def __post_init__(self) -> None:
        self.choice = Choice(self.waiting, self.expected, self.gpus, self.passes, self.options.jobs_per_gpu)
        self.queue = self.choice.queue
        self.elsewhere: list[RunSpec] = []  # made by another process on the folder
        self.under_way = self.started = 0
        self.hands: list[Hand] = []
        self._losses: Counter[str] = Counter()
        self._failed_starts = 0
        self._machines: dict[str, _Machine] = {}
        self._siblings = siblings(self.specs)
        self._plugins = for_other_processes()
        self._texts = self.folder.keeps_texts

    def work(self, hands: Sequence[Hand]) -> list[Hand]:
        """Make all runs; gives the slots that are still there. What `tell` raises, and Ctrl-C, comes out of it."""
        self.hands.extend(hands)
        try:
            self._follow()
        finally:
            for hand in self.hands:
                if hand.course is not None:
                    hand.course.close()  # lets go of its claim
                    hand.course = None
        return [hand for hand in self.hands if not hand.lost]

    # -- all courses at once ----------------------------------------------------------------------

    def _follow(self) -> None:
        open_: dict[Any, Hand] = {}
        again = deque(self.hands)
        looked, began, told = time.monotonic(), time.monotonic(), False
        for hand in self.hands:
            hand.course = self._course(hand)
        while self.queue or self.elsewhere or self.under_way:
            for _ in range(len(again)):
                self._go_on(again.popleft(), None, None, open_, again)
            if not self._left():
                return
            # A slot that has nothing to do is asked again after a tick; answers end the wait at once.
            for reference, answer, error in self.slots.answers(open_, TICK_SECONDS):
                self._go_on(open_.pop(reference), answer, error, open_, again)
            now = time.monotonic()
            if now - looked > TICK_SECONDS:
                looked = now
                self._look_elsewhere()
            if not told and now - began > WAITING_SECONDS and all(hand.about is None for hand in self.hands):
                told = True
                need = self.hands[0].need.told()
                self.tell({"event": "note", "text": f"No machine of the cluster has room yet for a run ({need})."})

    def _left(self) -> bool:
        """Whether there is anything to wait for. Raises SettingError where runs are left that no slot can take."""
        if not (self.queue or self.elsewhere or self.under_way):
            return False
        if self.queue and not self.under_way and all(hand.about or hand.lost for hand in self.hands):
            able = any(self.choice.can_take(hand, spec) for hand in self.hands if not hand.lost for spec in self.queue)
            if not able:
                raise SettingError(f"No slot of the cluster can make the run '{self.queue[0].label}'.")
        return True

    def _go_on(
        self, hand: Hand, answer: object, error: Exception | None, open_: dict[Any, Hand], again: deque[Hand]
    ) -> None:
        """Give a course the answer that it waited for, or the loss of its slot, and note what it waits for next."""
        assert hand.course is not None
        try:
            if error is not None:
                wanted = hand.course.throw(LostError(" ".join(str(error).split())[-300:]))
            else:
                wanted = hand.course.send(answer)
        except StopIteration:
            if hand.lost:
                self._replace(hand, again)
            return
        if wanted is None:
            again.append(hand)
        else:
            open_[wanted] = hand

    def _replace(self, hand: Hand, again: deque[Hand]) -> None:
        """Ask for another slot in the place of a lost one, where there is something left for it to do."""
        self.slots.let_go(hand)  # where the slot failed and not its machine
        if self.queue or self.elsewhere or self.under_way:
            other = self.slots.hire(hand.need)
            other.course = self._course(other)
            self.hands.append(other)
            again.append(other)
        self.hands.remove(hand)

    def _refuse_too_large(self) -> None:
        """Raise SettingError for a run that is larger than the GPU of every slot, once all of them are known."""
        on_gpu = [hand for hand in self.hands if hand.need.gpus and not hand.lost]
        known = [hand.about for hand in on_gpu if hand.about is not None]
        gpus = [gpu for about in known for gpu in about.gpus]
        if gpus and len(known) == len(on_gpu):
            refuse_too_large([spec for spec in self.queue if self.gpus(spec)], self.expected, gpus)

    def _look_elsewhere(self) -> None:
        """Runs that another process was making and that are still not complete come back."""
        self.queue.extend(spec for spec in self.elsewhere if not self.folder.is_complete(spec.run_id))
        self.elsewhere.clear()

    # -- one course --------------------------------------------------------------------------------

    def _course(self, hand: Hand) -> Course:
        try:
            yield from self._come_up(hand)
        except LostError as error:
            hand.lost = True
            self._failed_starts += 1
            if self._failed_starts >= MOST_LOSSES:
                raise SettingError(f"No slot of the cluster comes up; the last one said: {error}") from error
            return
        self._failed_starts = 0
        while True:
            spec = yield from self._next(hand)
            with self.choice.holding(hand, spec), self.folder.claim(spec.run_id) as mine:
                if not mine:
                    self.elsewhere.append(spec)
                elif not self.folder.is_complete(spec.run_id):
                    yield from self._one(hand, spec)
            if hand.lost:
                return

    def _next(self, hand: Hand) -> Generator[None, Any, RunSpec]:
        """Waits for a run. It is chosen once all are known that are free by now."""
        self.choice.free.append(hand)
        try:
            yield None
            while (spec := self.choice.next_for(hand, self.hands)) is None:
                yield None
            return spec
        finally:
            self.choice.free.remove(hand)

    def _come_up(self, hand: Hand) -> Course:
        if hand.about is None:
            about: About = yield hand.actor.about.remote()
            if about.version != VERSION:
                raise SettingError(
                    f"The machine {about.host} of the cluster has whichtune {about.version}, and here it is {VERSION}: "
                    "install the same on all."
                )
            hand.about = about
            self._refuse_too_large()
        self.choice.know(hand)

    def _one(self, hand: Hand, spec: RunSpec) -> Course:
        """Make a run in a slot. One that is lost with it goes back to the queue, from where it starts a second time, or
        is a failed row at last."""
        self.under_way += 1
        try:
            self.started += not self._losses[spec.run_id]
            self.tell(
                {
                    "event": "start",
                    "run_id": spec.run_id,
                    "label": spec.label,
                    "seed": spec.seed,
                    "where": hand.where,
                }
            )
            self.folder.discard(spec.run_id)  # the record of an earlier attempt that failed
            yield from self._made(hand, spec)
        except LostError as error:
            hand.lost = True
            self._losses[spec.run_id] += 1
            if self._losses[spec.run_id] < MOST_LOSSES:
                self.queue.appendleft(spec)
                self.tell({"event": "note", "text": f"Made again: {named(spec)}, lost with its slot on {hand.where}."})
            else:
                self.folder.write_run(lost_record(spec, str(error)))
                self._end(hand, spec)
        finally:
            self.under_way -= 1

    def _end(self, hand: Hand, spec: RunSpec) -> None:
        record = self.folder.read_run(spec.run_id)
        assert record is not None
        self.choice.ended(hand, spec, record)
        self.tell({"event": "end", "run_id": spec.run_id, "status": record.status, "error": record.error})

    def _made(self, hand: Hand, spec: RunSpec) -> Course:
        assert hand.about is not None
        request: RunRequest = yield from self._request(hand, spec)
        news: News = yield hand.actor.begin.remote(request, self._texts, NEWS_SECONDS)
        while True:
            if any(event["event"] == "step" for event in news.events):
                self.choice.trains(hand, spec)
            for event in news.events:
                self.tell({**event, "run_id": spec.run_id})
            if news.code is not None:
                break
            news = yield hand.actor.news.remote(NEWS_SECONDS)
        if news.fault is not None:
            raise LostError(news.fault)
        yield from self._bring_home(hand, spec, news)
        self._end(hand, spec)

    def _request(self, hand: Hand, spec: RunSpec) -> Generator[Any, Any, RunRequest]:
        """What the slot is asked for, once all that the run reads is on its machine."""
        model, data = self.packer.model_of(spec), self.packer.data_of(spec)
        plugins = [(wanted, self.packer.plugin_of(wanted)) for wanted in self._plugins]
        parcels = [parcel for parcel in (model, data, *(parcel for _, parcel in plugins)) if parcel is not None]
        places: dict[str, str] = yield from self._brought(hand, parcels)
        assert hand.about is not None
        host = hand.about.host
        there = [other for other in self.hands if other.about is not None and other.about.host == host]
        return RunRequest(
            spec=moved(spec, *(None if parcel is None else places[parcel.digest] for parcel in (model, data))),
            folder="",
            save=self.save,
            threads=self.options.threads or int(max(1, hand.need.cpus)),
            jobs=max(1, len(there)),
            cache_limit=self.options.cache_limit,
            siblings=self._siblings.get(spec.run_id, []),
            shared=pass_of(spec),
            plugins=[
                wanted if parcel is None else Import(wanted.name, wanted.folder, places[parcel.digest])
                for wanted, parcel in plugins
            ],
        )

    def _brought(self, hand: Hand, parcels: Sequence[Parcel]) -> Generator[Any, Any, dict[str, str]]:
        """Where the machine has each parcel, by its digest; what it has not got is sent, once for all of its slots."""
        assert hand.about is not None
        machine = self._machines.setdefault(hand.about.host, _Machine())
        while machine.busy:
            yield None
        new = [parcel for parcel in parcels if parcel.digest not in machine.places]
        if new:
            machine.busy = True
            try:
                found: list[str | None] = yield hand.actor.find.remote(new)
                for parcel, place in zip(new, found, strict=True):
                    if place is None:
                        for name, piece in parcel.pieces():
                            yield hand.actor.take.remote(parcel, name, piece)
                        place = yield hand.actor.finish.remote(parcel)
                    assert place is not None
                    machine.places[parcel.digest] = place
            finally:
                machine.busy = False
        return machine.places

    def _bring_home(self, hand: Hand, spec: RunSpec, news: News) -> Course:
        """The run's files, moved into the study's folder at once."""
        from whichtune.runs.run import told_spec

        with arriving(self.folder, spec.run_id, told_spec(spec)) as run:
            for name, size in news.sizes.items():
                if name in news.files:
                    run.add(name, news.files[name])
                    continue
                arrived = 0
                while arrived < size or not size:
                    piece: bytes = yield hand.actor.piece.remote(name, arrived)
                    run.add(name, piece)
                    arrived += len(piece)
                    if not piece:
                        break
        hand.actor.forget.remote(spec.run_id)


def lost_record(spec: RunSpec, reason: str) -> RunRecord:
    """The record of a run that was lost with its slot as often as it is tried."""
    from whichtune.runs.run import base_record

    memory = "memory" in reason.lower()
    return base_record(
        spec,
        RunStatus.OUT_OF_MEMORY if memory else RunStatus.FAILED,
        error=f"The run was lost with its slot of the cluster {MOST_LOSSES} times; the last time: {reason}",
    )
