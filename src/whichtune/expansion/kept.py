"""What a study's folder holds beside the runs that a command names. Rows and seeds that are there stay in its table."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from whichtune.errors import StoreError
from whichtune.expansion.checks import one_ignored_label
from whichtune.expansion.expand import Expansion
from whichtune.expansion.resumed import stored_study
from whichtune.records.record import RunStatus
from whichtune.records.store import PLAIN_NAME, StudyFolder
from whichtune.records.verify import spec_of
from whichtune.study.data_settings import ADDED_DATA_SETTINGS
from whichtune.study.resolved import ResolvedStudy
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec, Settings, Study
from whichtune.wording import listing, plural, shown, shown_path

if TYPE_CHECKING:
    from whichtune.study.data_settings import DataSettings
    from whichtune.tasks.base import AnyDataset

PLACES = {"source", "revision"}  # of data: where they lie, which their fingerprint tells better
MOST_NAMED = 3  # settings that tell two rows of one label apart


@dataclass(frozen=True)
class Kept:
    """The runs of a folder, as their records tell of them and in the order of its table."""

    stored: ResolvedStudy
    specs: list[RunSpec] = field(default_factory=list)
    complete: frozenset[str] = frozenset()
    unmade: list[str] = field(default_factory=list)  # labels of runs that it names and does not hold
    seen: bool = False  # whether figures were shown

    def differs(self, study: Study, expansion: Expansion, dataset: AnyDataset) -> str | None:
        """Of what else the folder's runs are than those of this study; None where they are of the same."""
        done = [spec for spec in self.specs if spec.run_id in self.complete]
        if not done:
            return None  # nothing would be lost
        if self.stored.task != study.task:
            return f"of the task {self.stored.task}"
        return self._other_data(study, done, dataset) or self._other_model(study, done, expansion)

    def _other_data(self, study: Study, done: list[RunSpec], dataset: AnyDataset) -> str | None:
        source = shown(self.stored.data.source)
        if any(spec.fingerprints.get("data") != dataset.fingerprint for spec in done):
            same = self.stored.data.source == study.data.source
            return f"of '{source}' as it was before it changed" if same else f"of the data '{source}'"
        ours = study.data.model_dump(mode="json", exclude=PLACES)
        theirs = {**ADDED_DATA_SETTINGS, **self.stored.data.model_dump(mode="json", exclude=PLACES)}
        keys = [key for key, value in ours.items() if theirs.get(key) != value]
        return f"of the same data with another {listing(keys)}" if keys else None

    def _other_model(self, study: Study, done: list[RunSpec], expansion: Expansion) -> str | None:
        ours, theirs = _prints(expansion.specs, study.model), _prints(done, self.stored.model)
        common = ours.keys() & theirs.keys()
        if self.stored.model == study.model:
            changed = any(ours[key] != theirs[key] for key in common)
            return f"of the model '{shown(study.model)}' as it was before it changed" if changed else None
        if not theirs or (common and all(ours[key] == theirs[key] for key in common)):
            return None  # no row with it is complete, or it only lies elsewhere
        return f"of the model '{shown(self.stored.model)}'"

    def joined(self, own: Expansion, given: Mapping[str, Collection[int]], reserved: Collection[str] = ()) -> Expansion:
        """The study `own` with the runs that are there, and with the seeds `given` to rows that it does not name.

        Runs whose ids are `reserved` stay out: the study may come to them itself. A row of another label keeps it; one
        whose label is another row's now is told from that by what differs. Raises SettingError where rows would be
        judged on different texts.
        """
        mine = {spec.run_id for spec in own.specs if spec.label not in own.unsettled}
        rows = {spec.label: spec for spec in own.specs}
        labels: dict[str, str] = {}
        kept: list[RunSpec] = []
        for spec in self.specs:
            if spec.run_id in mine or spec.run_id in reserved or spec.fingerprints.get("data") != _data_of(own):
                continue
            named = rows.get(spec.label)
            if named is None or (_same_row(spec, named) and spec.label not in own.unsettled):
                kept.append(spec)
                continue
            row = spec.model_copy(update={"seed": None, "data": one_split(spec.data)}).run_id
            if row not in labels:
                labels[row] = _apart(spec, named, {*rows, *labels.values(), *(each.label for each in self.specs)})
            kept.append(spec.model_copy(update={"label": labels[row]}))
        ids = frozenset(spec.run_id for spec in kept)
        more = [spec for spec in _more_seeds(kept, rows, given) if spec.run_id not in ids]
        specs = [*own.specs, *kept, *more]
        one_ignored_label(own.study, [spec for spec in specs if spec.role is not Role.BASELINE])
        if kept:
            specs = sorted(specs, key=lambda spec: spec.role is Role.BASELINE)
        return replace(own, specs=specs, kept=ids, study=self._study(own.study, specs), first_seeds=self._first(specs))

    def _study(self, study: Study, specs: list[RunSpec]) -> Study:
        """Today's study with the seeds of all rows, and with what was declared of the rows that stay."""
        stay = {run.label for run in self.stored.runs_resolved} & {spec.label for spec in specs}
        changes: dict[str, object] = {}
        if study.decide is None:
            seeds = [*self.stored.seeds, *study.seeds, *(spec.seed for spec in specs if spec.seed is not None)]
            used = {spec.seed for spec in specs}
            changes["seeds"] = list(dict.fromkeys(seed for seed in seeds if seed in used or seed in study.seeds))
        if not study.pairs:
            changes["pairs"] = [pair for pair in self.stored.pairs if {pair.a, pair.b} <= stay]
        if study.baseline is None and self.stored.baseline in stay:
            changes["baseline"] = self.stored.baseline
        if study.published and self.stored.published:
            rows = {**self.stored.published.get("rows", {}), **study.published.get("rows", {})}
            changes["published"] = {**study.published, "rows": rows}
        return study.model_copy(update=changes)

    def _first(self, specs: list[RunSpec]) -> list[int] | None:
        """The seeds of which figures were shown before others were added; None where none were."""
        first = self.stored.first_seeds or self.stored.seeds
        used = {spec.seed for spec in specs if spec.seed is not None}
        return first if self.seen and set(first) < used | set(first) else None

    def told(self, joined: Expansion, own: Collection[str]) -> list[str]:
        """What stays in the table beside the rows that a command names (`own`), in a sentence; and what cannot."""
        kept = [spec for spec in joined.specs if spec.run_id in joined.kept]
        rows = list(dict.fromkeys(spec.label for spec in kept if spec.label not in own))
        seeds: dict[str, int] = {}
        for spec in kept:
            if spec.label in own:
                seeds[spec.label] = seeds.get(spec.label, 0) + 1
        parts = [*rows, *(f"{plural(many, 'more seed')} of {label}" for label, many in seeds.items())]
        sentences = [f"The folder holds more of this study, which stays in the table: {listing(parts, most=8)}."]
        gone = sorted({label for label in self.unmade if label not in {spec.label for spec in joined.specs}})
        if gone:
            sentences.append(f"Not in the table until a command names it again, since it has no run: {listing(gone)}.")
        return sentences if parts else sentences[1:]


def kept_in(folder: StudyFolder) -> Kept | None:
    """What a folder holds; None where no study was begun in it. Runs that are not as they were written are left out."""
    stored = stored_study(folder)
    if stored is None:
        return None
    specs, complete, unmade = [], set(), []
    for run in {run.run_id: run for run in stored.runs_resolved}.values():
        is_sound = PLAIN_NAME.fullmatch(run.run_id) is not None and folder.fault(run.run_id) is None
        record = folder.read_run(run.run_id) if is_sound else None
        try:
            spec = None if record is None else spec_of(record)
        except ValidationError:  # by a plugin, or a version, that knew more
            spec = None
        if record is None or spec is None or spec.run_id != run.run_id:
            unmade.append(run.label)
            continue
        specs.append(spec.model_copy(update={"label": run.label}))
        if record.status is RunStatus.COMPLETED:
            complete.add(run.run_id)
    seen = bool(complete) and (folder.path / "summary.json").is_file()
    return Kept(stored, specs, frozenset(complete), unmade, seen)


def refuse_other(place: Path, kept: Kept, study: Study, expansion: Expansion, dataset: AnyDataset) -> None:
    """Raise StoreError where the folder's runs are of another study."""
    if (what := kept.differs(study, expansion, dataset)) is not None:
        raise StoreError(
            f"The folder '{shown_path(place)}' holds another study, {what}: name another folder with --out, or move "
            "it aside with --replace."
        )


def _prints(specs: Iterable[RunSpec], model: str) -> dict[str, dict[str, str]]:
    """The fingerprints of the model's files, by the kind of weights."""
    return {
        spec.weights: {name: value for name, value in spec.fingerprints.items() if name != "data"}
        for spec in specs
        if spec.role is not Role.BASELINE and spec.model == model
    }


def _data_of(expansion: Expansion) -> str | None:
    return next((spec.fingerprints.get("data") for spec in expansion.specs), None)


def _same_row(spec: RunSpec, other: RunSpec) -> bool:
    """Whether two runs differ in nothing but their seeds."""
    if one_split(spec.data) != one_split(other.data):
        return spec.model_copy(update={"seed": other.seed}).run_id == other.run_id
    return spec.model_copy(update={"seed": other.seed, "data": other.data}).run_id == other.run_id


def one_split(data: DataSettings) -> DataSettings:
    """The data of a run without what its seed chooses of them."""
    return data.model_copy(update={"split_seed": 0, "fold": None})


def _apart(spec: RunSpec, other: RunSpec, taken: Collection[str]) -> str:
    """A label that tells a row from the one which has its label now, as labels of factors do."""
    ours, theirs = _flat(spec), _flat(other)
    differing = [f"{name}={_written(value)}" for name, value in ours.items() if value != theirs.get(name)]
    label = ", ".join([spec.label, *(differing[:MOST_NAMED] or ["earlier"])])
    number = 2
    while label in taken:
        label, number = f"{label.removesuffix(f' ({number - 1})')} ({number})", number + 1
    return label


def _flat(spec: RunSpec) -> dict[str, object]:
    """What a row is made with, by the names of settings."""
    own = {name: getattr(spec, name) for name in ("method", *Settings.model_fields, "device", "plan", "model")}
    return own | dict(spec.method_settings) | dict(spec.task_settings)


def _written(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _more_seeds(
    kept: list[RunSpec], rows: Mapping[str, RunSpec], given: Mapping[str, Collection[int]]
) -> list[RunSpec]:
    """Runs of rows that no command names, for seeds that they were given since."""
    first: dict[str, RunSpec] = {}
    for spec in kept:
        if spec.label not in rows and spec.seed is not None:
            first.setdefault(spec.label, spec)
    return [
        spec.model_copy(update={"seed": seed}) for label, spec in first.items() for seed in sorted(given.get(label, ()))
    ]
