"""A study as a program or a notebook has it: its table, its rows, its verdict, its figures and its saved runs.

Nothing here computes anything: all is told from what the study's folder holds. Loading it needs no torch; only
`Result.predictor` does.
"""

from __future__ import annotations

import html
import webbrowser
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from whichtune.errors import StoreError, UnknownNameError
from whichtune.evidence.summary import Summary
from whichtune.interactive.notebook import in_notebook, show_html
from whichtune.metrics import METRICS
from whichtune.records.ranked import validation_rank
from whichtune.records.record import RunRecord, RunStatus
from whichtune.records.store import StudyFolder
from whichtune.registry import did_you_mean
from whichtune.report.figures import all_figures
from whichtune.report.frame import row_status
from whichtune.report.picture import Picture, pictures
from whichtune.report.rows import TableRow
from whichtune.report.so_far import summary_of
from whichtune.report.view import View
from whichtune.report.write import view_of, whole_table
from whichtune.stats.results import Comparison, Question, Verdict
from whichtune.study.roles import Role
from whichtune.study.spec import Settings
from whichtune.wording import plural, shown

if TYPE_CHECKING:
    import pandas as pd

    from whichtune.handover.export import Exported, FormName
    from whichtune.runs.predictor import Predictor

PAGE = "report.html"


@dataclass(frozen=True)
class Row:
    """One row of a study, whatever its seeds.

    `score` is the mean over seeds of the study's primary metric on test, a share of 1 (or nats where that is the
    loss); `interval` its 95 % interval; `ranks` the lowest and the highest rank that are not ruled out. `status` is
    `completed`, `partial` or what became of its runs. `settings` are those of its runs, every default filled in.
    """

    label: str
    method: str
    role: Role
    status: str
    seeds: tuple[int, ...]  # of completed runs that draw anything
    metric: str
    score: float | None
    interval: tuple[float, float] | None
    ranks: tuple[int, int] | None
    tie_group: int | None
    runs: tuple[RunRecord, ...] = field(repr=False)
    settings: dict[str, JsonValue] = field(repr=False)

    def __str__(self) -> str:
        return self.label


@dataclass(frozen=True, repr=False)
class Result:
    """A study that was made, or as far as it was: where it is stored and what its runs show.

    Given by `compare` and `open_study`. A notebook shows its headline, answers, table and scores. Rows are named by
    their labels; wherever one is given, a `Row` will do, too.
    """

    folder: Path
    summary: Summary
    started: int = 0  # runs made by the call of compare that gave this; 0 when all were there

    # -- what it says -----------------------------------------------------------------------------

    @property
    def verdict(self) -> Verdict | None:
        """The written answer and what it rests on; None where nothing was judged."""
        return self.summary.verdict

    @property
    def comparisons(self) -> list[Comparison]:
        """Each pair that was compared: difference in points, interval, p values, verdict and a sentence."""
        return self.summary.comparisons

    @property
    def questions(self) -> list[Question]:
        """What rows ask of one another by how they differ, each answered in a sentence with its comparison."""
        return self.summary.questions

    @property
    def recommended(self) -> Row | None:
        """The row to use: by the rule that the verdict prints, the cheapest that is good enough."""
        return self._row_or_none(None if self.verdict is None else self.verdict.recommended)

    @property
    def best(self) -> Row | None:
        """The best row on the evidence, whatever it costs: that of the least expected regret."""
        return self._row_or_none(None if self.verdict is None else self.verdict.leader or self.verdict.best)

    @property
    def best_fine_tuned(self) -> Row | None:
        """The best on the evidence among rows with a language model."""
        return self._row_or_none(None if self.verdict is None else self.verdict.best_fine_tuned)

    @property
    def cheapest(self) -> Row | None:
        """The cheapest row that is expected to be within the margin of the truly best; None where no row is."""
        return self.recommended if self.verdict is not None and self.verdict.margin_reached else None

    # -- rows and runs ----------------------------------------------------------------------------

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """Every row in the study's order, failed ones too."""
        return tuple(_row(self._view, row) for row in self._view.rows)

    def row(self, label: str) -> Row:
        """The row of that label. Raises UnknownNameError with the nearest one."""
        return self._row(label)

    @property
    def runs(self) -> list[RunRecord]:
        """The record of every run, whatever became of it."""
        return self.summary.runs

    records = runs  # the name that release 0.1 gave it

    @cached_property
    def table(self) -> pd.DataFrame:
        """One line a row of the study, numbers throughout; the index holds the rows' labels.

        Scores (`test_accuracy`, `validation_loss`, ...) are means over seeds: shares of 1, losses in nats. Costs are
        medians over seeds in the records' units (`training_seconds`, `training_flops`, `peak_memory_bytes`,
        `inference_ms`, ...). `interval_low` and `interval_high` are the 95 % interval of the primary metric on test.
        What is not there is missing.
        """
        from whichtune.report.frame import study_frame

        return study_frame(self._view)

    def to_markdown(self) -> str:
        """The table, the verdict and the notes in Markdown, as table.md has them."""
        return whole_table(self._view)

    # -- figures ----------------------------------------------------------------------------------

    @property
    def figures(self) -> tuple[str, ...]:
        """The names of the study's figures."""
        return tuple(self._pictures)

    def figure(self, name: str) -> Picture:
        """A figure by its name: a notebook shows it, `save` writes it. Raises UnknownNameError for another name."""
        if name not in self._pictures:
            raise UnknownNameError(f"There is no figure '{shown(name)}': {did_you_mean(str(name), self._pictures)}")
        return self._pictures[name]

    # -- saved runs -------------------------------------------------------------------------------

    def predictor(
        self, row: str | Row | None = None, *, seed: int | None = None, remote_code: bool = False
    ) -> Predictor:
        """A saved run, loaded and ready for new texts. It stays loaded as long as you keep it.

        `row` is a row or its label, or the id of a run; None: the recommended row. `seed` names one of its runs; None:
        of those that were saved the best on validation. `remote_code` lets the model's own Python code run. Raises
        UnknownNameError for another row, StoreError where the run was not saved or is not as it was written.
        """
        from whichtune.runs.predict import find_run
        from whichtune.runs.predictor import Predictor

        place = StudyFolder(self.folder)
        if row is None and (row := self.recommended) is None:
            raise StoreError(f"'{self.folder}' recommends no row: name the one to predict with.")
        if isinstance(row, str) and row not in self._view.groups:
            if seed is None:
                return Predictor(place, find_run(place, row), remote_code)  # the id of a run, LABEL:SEED
            self._row(row)
        return Predictor(place, self._saved_run(place, self._row(row), seed), remote_code)

    def export(
        self,
        row: str | Row | None,
        out: Path | str,
        *,
        seed: int | None = None,
        form: FormName = "auto",
        merge: bool = False,
        texts: bool = True,
        remote_code: bool = False,
    ) -> Exported:
        """Write a row to the folder `out` for plain transformers, peft or onnxruntime; see `whichtune.export_row`.

        `row` is a row or its label; None: the recommended row. Raises a WhichtuneError, with nothing left at `out`, for
        whatever a user can put right.
        """
        from whichtune.handover.export import export_row

        if row is None and (row := self.recommended) is None:
            raise StoreError(f"'{self.folder}' recommends no row: name the one to export.")
        label = row.label if isinstance(row, Row) else row
        return export_row(
            self.folder, label, out, seed=seed, form=form, merge=merge, texts=texts, remote_code=remote_code
        )

    def _saved_run(self, place: StudyFolder, row: Row, seed: int | None) -> RunRecord:
        """The run of a row that is meant: of that seed; else of those that were saved the best on validation."""
        if seed is not None:
            found = next((run for run in row.runs if run.seed == seed), None)
            if found is None:
                seeds = ", ".join(str(run.seed) for run in row.runs)
                raise UnknownNameError(f"The row '{row.label}' has no seed {seed}: its seeds are {seeds}.")
            return found
        saved = [run for run in row.runs if place.weight_files(run.run_id)]
        return max(
            saved or row.runs, key=lambda run: validation_rank(run, row.metric)
        )  # one that was not saved is refused with the reason

    # -- the page ---------------------------------------------------------------------------------

    @property
    def report(self) -> Path:
        """Where the report's page lies, or will lie."""
        return self.folder / PAGE

    def show(self) -> Path:
        """Show the whole report: inside a notebook, else in the web browser. Gives the page's path.

        A page that is not there yet is written first. Raises StoreError where the folder is gone or cannot be written.
        """
        if not self.report.is_file():
            from whichtune.report.page import render_page

            place = StudyFolder(self.folder)
            place.write_text(PAGE, render_page(self._view, place))
        if in_notebook():
            page = html.escape(self.report.read_text(encoding="utf-8"))
            show_html(f'<iframe srcdoc="{page}" title="report" style="width: 100%; height: 42rem; border: 0"></iframe>')
        else:
            webbrowser.open(self.report.resolve().as_uri())
        return self.report

    def _repr_html_(self) -> str:
        """For notebooks: everything inside, every text escaped."""
        from whichtune.report.card import render_card

        return render_card(self._view, self.report)

    def __repr__(self) -> str:
        said = "nothing was judged yet" if self.verdict is None else self.verdict.headline
        many = f"{plural(len(self._view.groups), 'row')}, {plural(len(self.runs), 'run')}"
        failed = f", {len(self._view.failed)} not completed" if self._view.failed else ""
        return f"<Result '{self.summary.study.name}' in {self.folder}: {many}{failed}. {said}>"

    # -- inside -----------------------------------------------------------------------------------

    @cached_property
    def _view(self) -> View:
        return view_of(self.summary, StudyFolder(self.folder))

    @cached_property
    def _pictures(self) -> dict[str, Picture]:
        return pictures(all_figures(self._view, StudyFolder(self.folder)))

    @cached_property
    def _by_label(self) -> dict[str, Row]:
        return {row.label: row for row in self.rows}

    def _row(self, row: str | Row) -> Row:
        label = str(row)
        if label not in self._by_label:
            raise UnknownNameError(
                f"'{self.folder}' has no row '{shown(label)}': {did_you_mean(label, self._by_label)}"
            )
        return self._by_label[label]

    def _row_or_none(self, label: str | None) -> Row | None:
        return None if label is None else self._by_label.get(label)


def open_study(folder: Path | str) -> Result:
    """A study from its folder, finished or cut off; nothing is run and nothing is written.

    What is stored is verified as `whichtune show` does: what was changed since it was written is told before the
    verdict, in `verdict.warnings`. Of a study that was killed before it wrote a summary, the runs that are complete are
    judged. Raises StoreError for a folder that is not there or no study's.
    """
    place = StudyFolder(folder)
    return Result(place.path, summary_of(place))


def _row(view: View, row: TableRow) -> Row:
    """A row with what was judged of it."""
    metric = view.verdict.metric if view.verdict is not None else view.study.primary_metric
    judged = [] if view.verdict is None else view.verdict.candidates
    place = next((each for each in judged if each.label == row.label), None)
    figures = next((each for each in view.method_figures if each.label == row.label), None)
    runs = tuple(view.groups[row.label])
    example = next((run for run in runs if run.status is RunStatus.COMPLETED), runs[0])
    return Row(
        label=row.label,
        method=row.method,
        role=row.role,
        status=row_status(row),
        seeds=tuple(seed for seed in row.seeds if seed is not None),
        metric=metric,
        score=row.mean("test", metric) if metric in METRICS else None,
        interval=None if figures is None else figures.interval,
        ranks=None if place is None or place.ranks is None else (min(place.ranks), max(place.ranks)),
        tie_group=None if place is None else place.tie_group,
        runs=runs,
        settings=_settings(example.spec),
    )


def _settings(spec: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """The factors of a run, its method's and its task's among them."""
    found = {name: spec[name] for name in Settings.model_fields if name in spec}
    for part in ("task_settings", "method_settings"):
        own = spec.get(part)
        found |= own if isinstance(own, dict) else {}
    return found
