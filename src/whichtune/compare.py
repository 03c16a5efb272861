"""The whole flow: read the data and the model, expand the study, search settings, make its runs, judge, write.

Start here to read the code. Each stage hands plain values to the next; they meet on disk in the study's
folder, so that any of them can be done again alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from whichtune.errors import ModelError, SettingError
from whichtune.evidence.beforehand import margin_beforehand
from whichtune.evidence.checks import make_checks
from whichtune.evidence.judge import judge_round, judge_trials, trials_of
from whichtune.evidence.stored import named
from whichtune.evidence.summary import Summary, build_summary
from whichtune.executors.base import Executor, ExecutorOptions, executor_of
from whichtune.expansion.expand import Expansion, ModelKey, check_names, expand, model_keys, with_baselines
from whichtune.expansion.resumed import first_seeds, resumed
from whichtune.expansion.rounds import Rounds, with_all_seeds
from whichtune.handover.keep import BestKeeper
from whichtune.plugins import load_plugin, refuse_in_run_process
from whichtune.records.events import Event, Listener
from whichtune.records.record import RunRecord, RunStatus
from whichtune.records.store import EXAMPLES, StudyFolder, default_folder
from whichtune.report.write import write_report
from whichtune.study.resolved import ResolvedRun, ResolvedStudy, ResolvedTuning, SearchedRow
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec, Study, sha256_file
from whichtune.tasks import task_of
from whichtune.tuning.search import has_spaces_of_lines, searched_lines
from whichtune.tuning.trials import SearchPlan, make_draws, plan_search, search_figures, settle, waiting
from whichtune.wording import listing

if TYPE_CHECKING:
    from whichtune.models.loading import ModelInfo
    from whichtune.tasks.base import AnyDataset

Save = Literal["none", "best", "all"]


@dataclass(frozen=True)
class Result:
    """A finished study: where it is stored and what is in its summary."""

    folder: Path
    summary: Summary
    started: int  # runs made by this call; 0 when all were there

    @property
    def records(self) -> list[RunRecord]:
        return self.summary.runs

    @property
    def table(self) -> str:
        """The table in Markdown."""
        return (self.folder / "table.md").read_text(encoding="utf-8")


Comparison = Result  # the name that release 0.1 gave it


def compare(
    study: Study,
    out: Path | str | None = None,
    *,
    save: Save = "best",
    threads: int | None = None,
    lenient: bool = False,
    cache_limit: int | None = None,
    jobs: int | None = None,
    executor: Executor | str | None = None,
    on_event: Listener = lambda event: None,
    figures: bool = False,
    command: str | None = None,
) -> Result:
    """Run what the study's folder does not hold yet, then write its summary and its report.

    `out` defaults to `whichtune-<name>` in the working directory. `save` keeps the trained weights of no run, of
    the best seed of each row (large ones of the recommended row and of the best run alone, see `handover.keep`), or of
    all. `cache_limit` is the bytes that states of frozen blocks may take on disk; None: a quarter of what is free.
    `jobs` runs are made at a time (None: as the study says).
    `executor` makes them: an `executors.base.Executor`, or a registered one by its name; None: this machine. With
    `lenient`, runs whose model cannot be had are failed rows instead of an error, and several lines may mean the
    same run. `figures` writes those of the report as PNG and SVG, too. `command` is kept in study.json, for the
    report's reader. Raises a WhichtuneError for anything a user can put right, before the first run starts; a run
    that fails is a row of the table. After Ctrl-C the summary holds what is complete, and the same call resumes.
    """
    refuse_in_run_process()
    load_plugins(study)
    check_names(study)
    options = ExecutorOptions(threads=threads, cache_limit=cache_limit, jobs=jobs or study.jobs)
    with executor_of(executor, options) as engine:
        engine.warm_up()
        place = Path(out or default_folder(study.name)).expanduser()
        first = None
        if place.is_dir():
            study = resumed(study, StudyFolder(place))
            first = first_seeds(study, StudyFolder(place))
        everything, dataset = prepare(with_all_seeds(study), lenient)
        rounds = Rounds(replace(everything, first_seeds=first), study.seeds)
        for sentence in warned_beforehand(rounds.expansion, dataset):
            on_event({"event": "note", "text": sentence})
        search = plan_search(rounds.expansion, dataset.without_test())
        folder = StudyFolder(place, create=True)
        _write_study(folder, rounds.expansion, command, search.described() if search else None)
        started = 0
        try:
            if search is not None:
                _set_aside(folder, [draw.spec for draw in search.draws], on_event)
                settled, rounds.everything = rounds.everything, waiting(rounds.everything, search)
                started = make_draws(search, folder, engine.execute, on_event)
                found = search_figures(search, folder)
                rounds.everything = settle(settled, found, dataset.without_test())
                _write_study(folder, rounds.expansion, command, search.described(found))
            folder.write_examples(task_of(study).examples(dataset))
            started += _make_runs(rounds.expansion, folder, engine, save, on_event)
            while rows := _next_round(rounds.expansion, folder, on_event):
                rounds.add(rows)
                started += _make_runs(rounds.expansion, folder, engine, save, on_event)
        finally:  # after Ctrl-C too: what is complete is worth a table
            summary = write_summary(folder, rounds.expansion, command, search)
            folder.write_json("study.json", summary.study.model_dump(mode="json"))
            if save == "best":
                _keeper(rounds.expansion, folder).settle(summary.verdict.recommended if summary.verdict else None)
            write_report(folder, figures)
    return Result(folder.path, summary, started)


def _make_runs(expansion: Expansion, folder: StudyFolder, executor: Executor, save: Save, tell: Listener) -> int:
    """Make the study's runs that the folder does not hold yet; gives how many were made now."""
    _set_aside(folder, expansion.specs, tell)
    if save == "all":
        _forget_unsaved(folder, expansion.specs)
    tell(
        {
            "event": "study",
            "name": expansion.study.name,
            "folder": str(folder.path),
            "runs": len(expansion.specs),
            "complete": _complete(folder, expansion),
            "waiting": [spec.label for spec in expansion.specs if not folder.is_complete(spec.run_id)],
            "baselines": [spec.label for spec in expansion.specs if spec.role is Role.BASELINE],
        }
    )
    keeper = _keeper(expansion, folder) if save == "best" else None

    def listen(event: Event) -> None:
        if keeper is not None and event["event"] == "end":
            keeper.keep()
        tell(event)

    return executor.execute(_record_missing(folder, expansion), folder, save != "none", listen)


def _keeper(expansion: Expansion, folder: StudyFolder) -> BestKeeper:
    return BestKeeper(folder, expansion.specs, expansion.primary_metric)


def _next_round(expansion: Expansion, folder: StudyFolder, tell: Listener) -> Sequence[str]:
    """The rows that get another seed, which is told; none where the study does not decide or is sure enough."""
    if expansion.study.decide is None:
        return ()
    records = [_record_of(folder, spec, expansion) for spec in expansion.specs]
    found = judge_round(resolved(expansion), records, folder.predictions)
    if found.rows:
        tell({"event": "note", "text": f"Not sure enough yet: one more seed for {listing(list(found.rows))}."})
    return found.rows


def _write_study(
    folder: StudyFolder, expansion: Expansion, command: str | None, searched: dict[str, SearchedRow] | None
) -> None:
    folder.write_json("study.json", resolved(expansion, command, searched).model_dump(mode="json"))


def _set_aside(folder: StudyFolder, specs: Iterable[RunSpec], tell: Listener) -> None:
    """Runs that are not as they were written are moved out of the way, named, and made again."""
    for spec in specs:
        if folder.fault(spec.run_id) is None:
            continue
        with folder.claim(spec.run_id) as mine:
            fault = folder.fault(spec.run_id) if mine else None  # else another process makes it just now
            if fault is not None:
                place = folder.set_aside(spec.run_id)
                tell({"event": "note", "text": f"Made again: {named(spec)}, since {fault}; it is kept in {place}."})


def warned_beforehand(expansion: Expansion, dataset: AnyDataset) -> list[str]:
    """What the study cannot show, known before its first run."""
    study = expansion.study
    drawing = {spec.label for spec in expansion.specs if spec.seed is not None}
    texts = len(dataset.splits["test"].ids)
    found = margin_beforehand(expansion.primary_metric, study.margin, len(study.seeds), texts, len(drawing))
    return [] if found is None else [found]


def load_plugins(study: Study) -> None:
    """Import what the study names. Raises PluginError for the first that breaks."""
    for place in study.plugins:
        load_plugin(place)


def prepare(study: Study, lenient: bool = False) -> tuple[Expansion, AnyDataset]:
    """Everything that can go wrong before a run starts: names, data, models, settings, device.

    With `lenient` a model that cannot be had stops only the runs that need it, and several lines may come to
    the same run, as a study's model sizes do when all are run on one model.
    """
    load_plugins(study)
    check_names(study)
    searched_lines(study)
    study = with_baselines(study)
    if not study.methods and not study.runs and not study.baselines:
        raise SettingError("The study has nothing to run: name methods, runs or baselines.")
    device = choose_device(study.device)
    dataset = task_of(study).load(study.data)
    models = _inspect_models(study, lenient)
    return expand(study, dataset, models, device, allow_twins=lenient or has_spaces_of_lines(study)), dataset


def _inspect_models(study: Study, lenient: bool) -> dict[ModelKey, ModelInfo | str]:
    """What is known of each model that the study's lines need; no weights are looked for in vain."""
    keys = model_keys(study)
    if not keys:
        return {}
    from whichtune.models.loading import examined, inspect_model

    own_head = task_of(study).own_head
    found: dict[ModelKey, ModelInfo | str] = {}
    for key in keys:
        try:
            info = inspect_model(key.model, key.revision, key.weights, study.remote_code)
            found[key] = examined(info, key.weights, study.remote_code, own_head)
        except ModelError as error:
            if not lenient:
                raise
            found[key] = str(error)
    return found


def _record_missing(folder: StudyFolder, expansion: Expansion) -> list[RunSpec]:
    """Write a failed record for each run whose model cannot be had; gives the runs that can be made."""
    from whichtune.runs.run import base_record

    for spec in expansion.specs:
        if reason := expansion.missing.get(spec.run_id):
            folder.write_run(base_record(spec, RunStatus.FAILED, error=reason))
    able = [spec for spec in expansion.specs if spec.run_id not in expansion.missing]
    return [spec for spec in able if spec.label not in expansion.unsettled]


def choose_device(wanted: str) -> str:
    """`auto` takes CUDA where there is one. Raises SettingError where CUDA is asked for and missing."""
    if wanted == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise SettingError("There is no CUDA device here: use --device cpu, or auto.")
    return "cpu"


def resolved(
    expansion: Expansion, command: str | None = None, searched: dict[str, SearchedRow] | None = None
) -> ResolvedStudy:
    """The study as it is stored: every default filled in, every run and every draw (`searched`) with its id."""
    runs = [
        ResolvedRun(run_id=spec.run_id, label=spec.label, seed=spec.seed)
        for spec in expansion.specs
        if spec.label not in expansion.unsettled
    ]
    study = {name: getattr(expansion.study, name) for name in Study.model_fields}
    if expansion.study.tuning is not None:
        study["tuning"] = ResolvedTuning(**expansion.study.tuning.model_dump(), lines=searched or {})
    return ResolvedStudy(
        **{**study, "primary_metric": expansion.primary_metric},
        first_seeds=expansion.first_seeds,
        labels=expansion.labels,
        runs_resolved=runs,
        notes=expansion.notes,
        command=command,
    )


def write_summary(
    folder: StudyFolder, expansion: Expansion, command: str | None = None, search: SearchPlan | None = None
) -> Summary:
    """summary.json from the records and predictions that the folder holds."""
    records = [_record_of(folder, spec, expansion) for spec in expansion.specs]
    tuning = None if search is None else search_figures(search, folder)
    study = resolved(expansion, command, search.described(tuning) if search else None)
    trials = trials_of(study, records, folder.predictions)
    evidence = judge_trials(study, trials, tuning)
    checks = make_checks(study, trials, evidence, folder.curves)
    summary = build_summary(study, records, evidence, checks)
    if (folder.path / EXAMPLES).is_file():
        summary = summary.model_copy(update={"examples_checksum": sha256_file(folder.path / EXAMPLES)})
    folder.write_json("summary.json", summary.to_json())
    return summary


def _record_of(folder: StudyFolder, spec: RunSpec, expansion: Expansion) -> RunRecord:
    """The run's record with what this study says of it; "interrupted" where there is none yet."""
    from whichtune.runs.run import base_record

    if spec.label in expansion.unsettled:
        status, reason = expansion.unsettled[spec.label]
        return base_record(spec, status, error=reason)
    record = folder.read_run(spec.run_id)
    if record is None:
        return base_record(spec, RunStatus.INTERRUPTED, error="The run was not made: the study was interrupted.")
    said = {"learning_rate_source": spec.learning_rate_source, "tuned": spec.tuned}
    return record.model_copy(update={"label": spec.label, "spec": {**record.spec, **said}})


def _complete(folder: StudyFolder, expansion: Expansion) -> int:
    return sum(folder.is_complete(spec.run_id) for spec in expansion.specs)


def _forget_unsaved(folder: StudyFolder, specs: list[RunSpec]) -> None:
    """`--save all` makes runs again whose weights an earlier call did not keep."""
    for spec in specs:
        if folder.is_complete(spec.run_id) and not folder.weight_files(spec.run_id):
            folder.discard(spec.run_id)
