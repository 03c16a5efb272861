"""The whole flow: read the data and the model, expand the study, search settings, make its runs, judge, write.

Start here to read the code. Each stage hands plain values to the next; they meet on disk in the study's
folder, so that any of them can be done again alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from whichtune.errors import SettingError
from whichtune.evidence.beforehand import margin_beforehand
from whichtune.evidence.checks import make_checks
from whichtune.evidence.checks.stored import near_repeats_in
from whichtune.evidence.judge import judge_round, judge_trials, trials_of
from whichtune.evidence.stored import named
from whichtune.evidence.summary import Summary, build_summary
from whichtune.executors.base import Elsewhere, Executor, executor_of, options_of
from whichtune.executors.devices import choose_device
from whichtune.executors.forecast import Forecaster
from whichtune.expansion.axes import with_variants
from whichtune.expansion.expand import Expansion, asked_of, check_names, entries, expand, with_baselines
from whichtune.expansion.given import AnyStudy, Keywords, at_place, study_from
from whichtune.expansion.inspected import inspect_models
from whichtune.expansion.judged_on import examples_of
from whichtune.expansion.kept import kept_in, refuse_other
from whichtune.expansion.kinds import load_asking
from whichtune.expansion.merging import merged_settings
from whichtune.expansion.names import as_registered
from whichtune.expansion.places import place_of
from whichtune.expansion.resumed import resumed
from whichtune.expansion.rounds import Rounds, with_all_seeds
from whichtune.handover.keep import BestKeeper, forget_unsaved
from whichtune.interactive.progress import ProgressBar, wanted_here
from whichtune.plugins import load_plugin, refuse_in_run_process
from whichtune.records.aside import move_aside
from whichtune.records.events import Event, Listener
from whichtune.records.record import RunRecord, RunStatus
from whichtune.records.store import EXAMPLES, StudyFolder
from whichtune.records.texts import leave_texts_out
from whichtune.registry import did_you_mean
from whichtune.report.write import write_report
from whichtune.result import Result
from whichtune.study.folders import named as with_name
from whichtune.study.resolved import ResolvedRun, ResolvedStudy, ResolvedTuning, SearchedRow
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec, Study, sha256_file
from whichtune.tuning.halving import refuse_halving_elsewhere
from whichtune.tuning.making import make_draws
from whichtune.tuning.search import has_spaces_of_lines, searched_lines
from whichtune.tuning.shown import search_figures
from whichtune.tuning.trials import SearchPlan, plan_search, settle, waiting
from whichtune.wording import listing

if TYPE_CHECKING:
    from whichtune.data.memory import AnyData
    from whichtune.tasks.base import AnyDataset

Save = Literal["none", "best", "all"]


Comparison = Result  # the name that release 0.1 gave it


def compare(
    study: AnyStudy | None = None,
    out: Path | str | None = None,
    *,
    name: str | None = None,
    data: AnyData | Path | str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    target_column: str | None = None,
    task: str | None = None,
    model: Path | str | None = None,
    methods: Iterable[str | Mapping[str, object]] | str | None = None,
    seeds: Iterable[int] | int | None = None,
    settings: Mapping[str, object] | None = None,
    save: Save = "best",
    threads: int | None = None,
    lenient: bool = False,
    cache_limit: int | None = None,
    jobs: int | str | None = None,
    executor: Executor | str | None = None,
    progress: bool | None = None,
    on_event: Listener | None = None,
    figures: bool = False,
    command: str | None = None,
    replace: bool = False,
    forecast: bool = False,
) -> Result:
    """Run what the study's folder does not hold yet, then write its summary and its report.

    `study` is a `Study`, a mapping with a study file's keys, or the path of a study file. The keywords up to `settings`
    stand over what it says, or are the whole study: `data` is a file, a folder, a data set's name, a pandas
    DataFrame, a list of (text, label) pairs or of dicts, a mapping of columns, or of `train`, `validation` and `test`
    to such tables; `methods` are names of methods and baselines, or mappings of a `method` with its settings;
    `settings` are those of all runs (`epochs`, `full.learning_rate`) and of the data (`data.train_limit`). Data that
    the program holds are written into the study's folder, so that the study resumes by their content.

    `out` defaults to `whichtune-<name>` in the working directory, and a study without a name is called after its data
    and its model. Rows and seeds that the folder holds stay in the table beside those of `study`; a folder of other
    data, another task or model is refused, or with `replace` moved aside, to `NAME.replaced-1`. `save` keeps the
    trained weights of no run, of the best seed of each row (large ones of the recommended row and of the best run
    alone, see `handover.keep`), or of all. `cache_limit` is the bytes that states
    of frozen blocks may take on disk; None: a quarter of what is free. `jobs` runs are made at a time (None: as the
    study says, or as many as a cluster has room for); `auto` is one a GPU, `auto:2` two. `executor` makes them: an
    `executors.base.Executor`, or a registered one by its name, as `local` (None: this machine), `ray`, or
    `ray://HOST:PORT`. With `lenient`, runs whose model cannot be had are failed rows instead of an error, and several
    lines may mean the same run. `progress` draws a bar; None: in a notebook or a terminal, unless `on_event` is told
    what happens. `figures` writes those of the report as PNG and SVG, too. `command` is kept in study.json, for the
    report's reader. With `forecast`, `on_event` is told what the rows of a longer study are expected to take. Raises a
    WhichtuneError for anything a user can put right, before the first run starts; a run that fails is a row of the
    table. After Ctrl-C the summary holds what is complete, and the same call resumes.
    """
    refuse_in_run_process()
    if save not in get_args(Save):
        raise SettingError(f"save={save!r}: {did_you_mean(str(save), get_args(Save))}")
    keywords = Keywords(name, data, text_column, label_column, target_column, task, model, methods, seeds, settings)
    asked, given = study_from(study, keywords)
    load_plugins(asked)
    asked = with_name(as_registered(asked))
    check_names(asked)
    place = place_of(asked, out)
    if given is not None:
        if not asked.texts:
            raise SettingError(
                "Data that a program holds are kept in the study's folder, which a study without texts may not hold: "
                "give them as a file, or keep texts."
            )
        if replace and (place / "study.json").is_file():
            move_aside(place)  # before its data are written there
        asked = at_place(asked, given, place)
    with ExitStack() as stack:
        tell = on_event or _nobody
        if progress or (progress is None and on_event is None and wanted_here()):
            tell = _both(stack.enter_context(ProgressBar()), tell)
        options = options_of(asked, jobs, threads, cache_limit, remote=executor not in (None, "local"))
        engine = stack.enter_context(executor_of(executor, options))
        engine.warm_up()
        writing = nullcontext() if given is None else given.kept_in(place)
        how = _How(save, lenient, figures, command, replace, forecast)
        return _made(asked, place, writing, engine, tell, how)


@dataclass(frozen=True)
class _How:
    """How a study is made: the options of `compare` of these names."""

    save: Save
    lenient: bool
    figures: bool
    command: str | None
    replace: bool
    forecast: bool


def _made(
    study: Study, place: Path, writing: AbstractContextManager[None], engine: Executor, on_event: Listener, how: _How
) -> Result:
    """The study made in its folder. Within `writing` the data of a program lie there, to stay once it is begun."""
    kept = None
    if place.is_dir() and not how.replace:
        study, kept = resumed(study, StudyFolder(place)), kept_in(StudyFolder(place))
    with writing:
        devices = engine.devices() if isinstance(engine, Elsewhere) else None
        everything, dataset = prepare(
            with_all_seeds(study), how.lenient, devices, lambda text: on_event({"event": "note", "text": text})
        )
        if kept is not None:
            refuse_other(place, kept, study, everything, dataset)
        rounds = Rounds(everything, study.seeds, kept)
        refuse_halving_elsewhere(study, elsewhere=devices is not None)
        search = plan_search(rounds.own, dataset.without_test())
        notes = [*warned_beforehand(rounds.own, dataset), *(search.notes if search is not None else [])]
        if how.replace and (place / "study.json").is_file():
            notes.append(f"The study that was in {place} is kept in {move_aside(place)}.")
        for sentence in notes:
            on_event({"event": "note", "text": sentence})
        folder = StudyFolder(place, create=True)
    _write_study(folder, rounds.table, how.command, search.described() if search else None)
    if not study.texts:
        leave_texts_out(folder)  # of runs that were made with them
    started = 0
    try:
        if search is not None:
            _set_aside(folder, search.specs, on_event)
            settled, rounds.everything = rounds.everything, waiting(rounds.everything, search)
            started = make_draws(search, folder, engine.execute, on_event)
            found = search_figures(search, folder)
            rounds.everything = settle(settled, found, dataset.without_test())
            _write_study(folder, rounds.table, how.command, search.described(found))
        folder.write_examples(examples_of(study, dataset))
        for sentence in rounds.told():
            on_event({"event": "note", "text": sentence})
        forecaster = Forecaster(rounds.own.specs, dataset) if how.forecast else None
        started += _make_runs(rounds.expansion, folder, engine, how.save, on_event, forecaster)
        while (rows := _next_round(rounds.expansion, folder, on_event)) and rounds.add(rows):
            started += _make_runs(rounds.expansion, folder, engine, how.save, on_event, forecaster)
    finally:  # after Ctrl-C too: what is complete is worth a table
        summary = write_summary(folder, rounds.table, how.command, search)
        folder.write_json("study.json", summary.study.model_dump(mode="json"))
        if how.save == "best":
            _keeper(rounds.table, folder).settle(summary.verdict.recommended if summary.verdict else None)
        write_report(folder, how.figures)
    return Result(folder.path, summary, started)


def _nobody(event: Event) -> None:
    """Is told, and does nothing."""


def _both(first: Listener, second: Listener) -> Listener:
    def tell(event: Event) -> None:
        first(event)
        second(event)

    return tell


def _make_runs(
    expansion: Expansion,
    folder: StudyFolder,
    executor: Executor,
    save: Save,
    tell: Listener,
    forecaster: Forecaster | None,
) -> int:
    """Make the study's runs that the folder does not hold yet; gives how many were made now."""
    specs = [spec for spec in expansion.specs if spec.run_id not in expansion.kept]
    _set_aside(folder, specs, tell)
    if save == "all":
        forget_unsaved(folder, specs)
    waiting = [spec.label for spec in specs if not folder.is_complete(spec.run_id)]
    tell(
        {
            "event": "study",
            "name": expansion.study.name,
            "folder": str(folder.path),
            "runs": len(specs),
            "complete": len(specs) - len(waiting),
            "waiting": waiting,
            "baselines": [spec.label for spec in specs if spec.role is Role.BASELINE],
        }
    )
    keeper = _keeper(expansion, folder) if save == "best" else None

    def listen(event: Event) -> None:
        if keeper is not None and event["event"] == "end":
            keeper.keep()
        tell(event)
        if forecaster is not None and (found := forecaster.after(event)) is not None:
            tell(found)

    return executor.execute(_record_missing(folder, expansion), folder, save != "none", listen)


def _keeper(expansion: Expansion, folder: StudyFolder) -> BestKeeper:
    return BestKeeper(folder, expansion.specs, expansion.primary_metric, asked_of(expansion))


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


def prepare(
    study: Study,
    lenient: bool = False,
    devices: frozenset[str] | None = None,
    tell: Callable[[str], None] = lambda sentence: None,
) -> tuple[Expansion, AnyDataset]:
    """Everything that can go wrong before a run starts: names, data, models, settings, device.

    With `lenient` a model that cannot be had stops only the runs that need it, and several lines may come to
    the same run, as a study's model sizes do when all are run on one model. `devices` are the kinds that the machines
    have which make the runs; None: those of this one. `tell` is told, in a sentence each, of models that are fetched.
    """
    load_plugins(study)
    study = as_registered(study)
    check_names(study)
    searched_lines(study)
    study = with_baselines(study)
    if not study.methods and not study.runs and not study.baselines:
        raise SettingError("The study has nothing to run: name methods, runs or baselines.")
    device = choose_device(study.device, devices)
    dataset = with_variants(study, (merged_settings(study, *line) for line in entries(study)), load_asking(study))
    models = inspect_models(study, lenient, tell)
    return expand(study, dataset, models, device, allow_twins=lenient or has_spaces_of_lines(study)), dataset


def _record_missing(folder: StudyFolder, expansion: Expansion) -> list[RunSpec]:
    """Write a failed record for each run whose model cannot be had; gives the runs that can be made."""
    from whichtune.runs.run import base_record

    for spec in expansion.specs:
        if reason := expansion.missing.get(spec.run_id):
            folder.write_run(base_record(spec, RunStatus.FAILED, error=reason))
    able = [spec for spec in expansion.specs if spec.run_id not in {*expansion.missing, *expansion.kept}]
    return [spec for spec in able if spec.label not in expansion.unsettled]


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
    checks = make_checks(study, trials, evidence, folder.curves, near_repeats_in(folder))
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
    record = asked_of(expansion).told(record, folder.predictions)
    return record.model_copy(update={"label": spec.label, "spec": {**record.spec, **said}})
