"""The rows that a server answers with: loaded once, and what is known of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from whichtune.data.label_cells import sign_between
from whichtune.data.sources import TEXT_NAMES
from whichtune.data.streamed import TextFile
from whichtune.data.tagged_texts import SentenceFile
from whichtune.errors import SettingError
from whichtune.evidence.stored import believed_summary
from whichtune.handover.choose import Chosen, choose_run, refuse_answers
from whichtune.handover.outcomes import AnswerKind, answers_of, given_labels, outputs_of
from whichtune.handover.serve.choose import served_run
from whichtune.handover.serve.schema import Evidence, Metadata, Prediction, RowInfo, SaidFigures
from whichtune.handover.serve.tags import Tags, tag_columns, tags_as_sent, tags_in
from whichtune.handover.tagged import one_blank_between
from whichtune.measure.environment import package_versions
from whichtune.records.record import AnyMetrics, LabelSetMetrics, Metrics
from whichtune.records.verify import spec_of
from whichtune.runs.predict import Opened, open_run
from whichtune.study.fields import FIELD_END, columns_of
from whichtune.study.roles import Role
from whichtune.tasks import task_of
from whichtune.version import VERSION

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from whichtune.evidence.summary import Summary
    from whichtune.handover.serve.limits import Limits
    from whichtune.records.record import RunRecord
    from whichtune.records.store import StudyFolder
    from whichtune.study.spec import RunSpec

MOST_TEXTS = 64  # of one forward pass, unless a request has more
Said = str | float | tuple[str, ...]
# One text's answer by one row: the class, written text, number, labels or tags, and the probabilities in the classes'
# order, or of each tag.
Answer = tuple[Said, tuple[float, ...]]


@dataclass(frozen=True)
class Picked:
    """The study and the runs that are to be served, not loaded yet."""

    folder: StudyFolder
    summary: Summary
    chosen: list[Chosen]


def pick(folder: StudyFolder, row: str | None, seed: int | None, compare: str | None) -> Picked:
    """Raises StoreError and SettingError as `choose_run` does, and SettingError for a row beside itself."""
    summary = believed_summary(folder)
    chosen = [served_run(folder, row, seed)]
    if compare is not None:
        chosen.append(choose_run(folder, compare))
        if chosen[0].record.run_id == chosen[1].record.run_id:
            raise SettingError(f"--compare {compare} is the row that is served already: name another.")
    return Picked(folder, summary, chosen)


@dataclass(frozen=True)
class Served:
    """Rows, loaded: `answering` gives the table of `Task.predict` for texts. `names` are distinct."""

    answering: list[Callable[[list[str]], pd.DataFrame]]
    names: list[str]
    why: list[str]  # each is served
    classes: list[str]  # or labels; none where texts are written, and of numbers
    labels: list[str]  # the classes, where every row gives their probabilities
    about: Callable[[Limits], Metadata]
    alone: bool = False  # what is drawn at random depends on what is written beside it
    text_column: str | None = None  # of files
    usual_columns: tuple[str, ...] = TEXT_NAMES
    kind: AnswerKind = "classes"
    fields: tuple[str, ...] = ()  # of a text, where it has several
    thresholds: tuple[tuple[float, ...], ...] = ()  # of each row, where labels are given

    def answers(self, texts: list[str]) -> list[tuple[Answer, ...]]:
        """For each text what each row answers."""
        if self.kind == "tags":
            texts = one_blank_between(texts)
        rows = [self._of_row(place, row(texts)) for place, row in enumerate(self.answering)]
        return list(zip(*rows, strict=True))

    def _of_row(self, place: int, table: pd.DataFrame) -> list[Answer]:
        if self.kind == "numbers":
            if "number" in table:  # of ordered classes
                numbers = table["number"].tolist()
                return [(str(name), (number,)) for name, number in zip(table["prediction"], numbers, strict=True)]
            return [(float(value), ()) for value in table["prediction"]]
        if self.kind == "tags":
            return [*tags_in(table)]
        said: list[Said] = [str(value) for value in table["prediction"]]
        if not self.labels:
            return [(text, ()) for text in said]
        shares = list(zip(*(table[f"probability of {name}"].tolist() for name in self.labels), strict=True))
        if self.kind == "labels":
            said = [tuple(given_labels(self.labels, self.thresholds[place], row)) for row in shares]
        return list(zip(said, shares, strict=True))

    def texts_in(self, file: Path, column: str | None) -> TextFile:
        """A file's texts, in a column that is named or as usual. Raises DataError."""
        return SentenceFile(file, column) if self.kind == "tags" else TextFile(file, column, self.usual_columns)

    @property
    def most_texts(self) -> int:
        """Of one forward pass."""
        return 1 if self.alone else MOST_TEXTS

    def prediction(self, text: str, answer: Answer) -> Prediction:
        """As it is sent."""
        if isinstance(answer, Tags):
            return tags_as_sent(text, answer)
        said, shares = answer
        if isinstance(said, float):
            return {"number": said}
        if self.kind == "numbers":
            return {"label": str(said), "number": shares[0]}
        if self.kind == "texts":
            return {"text": str(said)}
        probabilities = dict(zip(self.labels, shares, strict=True))
        if isinstance(said, tuple):
            return {"labels": list(said), "probabilities": probabilities}
        return {"label": said, "probabilities": probabilities}

    def table(self, texts: list[str], answers: Sequence[tuple[Answer, ...]]) -> pd.DataFrame:
        """Texts and answers as a table: the columns of `predict`, by row where there are two."""
        import pandas as pd

        if self.kind == "tags":
            texts = one_blank_between(texts)
        columns: dict[str, list[str] | list[float] | list[str | float]] = {**columns_of(texts, self.fields)}
        between = sign_between(self.labels, None)
        for place, name in enumerate(self.names):
            by = f" by {name}" if len(self.names) > 1 else ""
            tags = [one for each in answers if isinstance(one := each[place], Tags)]
            if self.kind == "tags":
                columns |= tag_columns(texts, tags, by)
                continue
            said = [each[place][0] for each in answers]
            columns[f"prediction{by}"] = [between.join(one) if isinstance(one, tuple) else one for one in said]
            if self.kind == "numbers" and isinstance(said[0], str):
                columns[f"number{by}"] = [each[place][1][0] for each in answers]
            for number, label in enumerate(self.labels):
                columns[f"probability of {label}{by}"] = [each[place][1][number] for each in answers]
        return pd.DataFrame(columns)

    def metadata(self, limits: Limits) -> Metadata:
        """What is known of what is served."""
        return self.about(limits)


def _about(picked: Picked, names: list[str], limits: Limits) -> Metadata:
    """What is known of a study and of these rows."""
    summary, verdict = picked.summary, picked.summary.verdict
    spec = spec_of(picked.chosen[0].record)
    evidence = None
    if verdict is not None:
        evidence = Evidence(
            recommended=verdict.recommended,
            headline=verdict.headline,
            reasons=verdict.reasons,
            warnings=verdict.warnings,
        )
    return Metadata(
        study=summary.study.name,
        task=summary.study.task,
        metric=summary.study.primary_metric,
        answers=kind_of(spec),
        fields=list(several_fields(spec)),
        classes=list(picked.chosen[0].record.labels),
        rows=[row_info(name, chosen) for name, chosen in zip(names, picked.chosen, strict=True)],
        evidence=evidence,
        limits=limits,
        versions={"whichtune": VERSION, **package_versions()},
    )


def load(picked: Picked, remote_code: bool) -> Served:
    """Load the runs, each of which proves itself first. Raises StoreError where one was not saved or is changed."""
    opened = [open_run(picked.folder, chosen.record, remote_code) for chosen in picked.chosen]
    for row in opened:
        refuse_answers(row.spec, "serve")
    records = [row.record for row in opened]
    labels = [record.label for record in records]
    names = labels if len(set(labels)) == len(labels) else [_with_seed(record) for record in records]
    return Served(
        answering=[row.answer for row in opened],
        names=names,
        why=[chosen.why or "as asked for" for chosen in picked.chosen],
        classes=list(records[0].labels),
        labels=_labels(opened),
        about=partial(_about, picked, names),
        alone=any(row.spec.task_settings.get("generation") == "sample" for row in opened),
        text_column=opened[0].spec.data.text_column,
        usual_columns=tuple(task_of(opened[0].spec).columns.texts),
        kind=kind_of(opened[0].spec),
        fields=several_fields(opened[0].spec),
        thresholds=tuple(outputs_of(row.spec, row.record).thresholds for row in opened),
    )


def _labels(opened: list[Opened]) -> list[str]:
    """The classes that every row gives probabilities of; none where one gives none, as a task of one's own may.

    The text that is answered for it is the first, which takes longest.
    """
    labels = list(opened[0].record.labels)
    wanted = {f"probability of {label}" for label in labels}
    text = FIELD_END.join(["a text"] * max(1, len(several_fields(opened[0].spec))))
    return labels if all(wanted <= set(row.answer([text]).columns) for row in opened) else []


def kind_of(spec: RunSpec) -> AnswerKind:
    """What a run answers with."""
    return "texts" if task_of(spec).answers == "texts" else answers_of(spec)


def several_fields(spec: RunSpec) -> tuple[str, ...]:
    """The names of a text's fields, where it has several."""
    return spec.data.text_columns if len(spec.data.text_columns) > 1 else ()


def _with_seed(record: RunRecord) -> str:
    return record.label if record.seed is None else f"{record.label}:{record.seed}"


def row_info(name: str, chosen: Chosen) -> RowInfo:
    """What a record says of a run."""
    record = chosen.record
    test = record.metrics.test
    names = task_of(spec_of(record)).metrics
    figures = {} if test is None else {name: value for name in names if (value := test.value(name)) is not None}
    made = record.environment
    return RowInfo(
        row=name,
        run_id=record.run_id,
        seed=record.seed,
        method=record.method,
        model=None if record.role is Role.BASELINE else str(record.spec.get("model") or "") or None,
        chosen=chosen.why or "as asked for",
        test_texts=None if test is None else test.n,
        test=figures,
        said=_said(record, test),
        made_with={} if made is None else {"whichtune": made.whichtune, **made.packages},
    )


def _said(record: RunRecord, test: AnyMetrics | None) -> dict[str, SaidFigures]:
    """For each class or label how many test texts it was given to, and how many of these rightly."""
    if isinstance(test, LabelSetMetrics):
        each = zip(record.labels, test.label_counts, strict=False)
        return {label: SaidFigures(texts=right + wrong, right=right) for label, (right, wrong, _) in each}
    if not isinstance(test, Metrics):
        return {}
    matrix = test.confusion_matrix
    if len(matrix) != len(record.labels):
        return {}
    return {
        label: SaidFigures(texts=sum(row[place] for row in matrix), right=matrix[place][place])
        for place, label in enumerate(record.labels)
    }
