"""A row of a study as a folder that runs on plain transformers, peft or onnxruntime."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from whichtune.errors import ExportError, StoreError
from whichtune.handover.card import Card, write_card
from whichtune.handover.choose import Chosen, choose_run, refuse_answers, refuse_formless
from whichtune.handover.families import NotExactError
from whichtune.handover.forms import FORMS, Form
from whichtune.handover.remake import Tell, named, weights_of
from whichtune.handover.texts import Texts, texts_for
from whichtune.handover.told import FILE, write_told
from whichtune.records.record import RunRecord
from whichtune.records.store import StudyFolder
from whichtune.records.verify import spec_of
from whichtune.study.roles import Role
from whichtune.tasks import task_of
from whichtune.wording import listing, path_problem, shown_path

if TYPE_CHECKING:
    from whichtune.handover.answered import Answered
    from whichtune.handover.trained import Trained

FormName = Literal["transformers", "peft", "onnx", "auto"]
NEEDS = {
    "transformers": ("torch", "transformers", "tokenizers", "safetensors"),
    "peft": ("torch", "transformers", "tokenizers", "safetensors", "peft"),
    "onnx": ("onnxruntime", "numpy", "transformers", "tokenizers"),
}


@dataclass(frozen=True)
class Exported:
    """What was written: the folder, its form and why that, the run, and the largest difference of a logit (a
    probability of TF-IDF and of tags) to the recorded ones; None where none were recorded."""

    folder: Path
    form: str
    why: str
    record: RunRecord
    difference: float | None
    notes: list[str] = field(default_factory=list)


def export_row(
    folder: StudyFolder | Path | str,
    row: str,
    out: Path | str,
    *,
    seed: int | None = None,
    form: FormName = "auto",
    merge: bool = False,
    texts: bool = True,
    remote_code: bool = False,
    threads: int | None = None,
    tell: Tell = lambda sentence: None,
) -> Exported:
    """Write a row of the study in `folder` to `out`, so that it runs without whichtune.

    `row` is a label, a run's id, or LABEL:SEED; without `seed` the saved run of the row is taken, or the best on
    validation. `form` is how it is loaded: by `transformers` (adapters merged), `peft`, or `onnx`runtime; `auto` takes
    the first of these that computes exactly what the row does. `merge` asks for plain weights of a row with an adapter.
    Without `texts` the self-test has invented texts instead of ten of the study's. A run that was not saved is made
    again; `tell` is told so, in a sentence.

    What is written has answered the self-test's texts as the run's saved weights do, within 1e-5 of a logit. Raises a
    WhichtuneError, with nothing left at `out`, for whatever a user can put right.
    """
    study = folder if isinstance(folder, StudyFolder) else StudyFolder(folder)
    wanted = _wanted_forms(form, merge)
    with _beside(Path(out).expanduser()) as place:
        chosen = choose_run(study, row, seed)
        spec = spec_of(chosen.record)
        if spec.remote_code and not remote_code:
            raise StoreError(
                f"The run '{chosen.record.label}' was made with Python code of its model '{spec.model}': if you trust "
                "that code, let it run with --remote-code."
            )
        refuse_answers(spec, "export")
        refuse_formless(spec)
        is_baseline = chosen.record.role is Role.BASELINE
        if is_baseline:
            _check_baseline(chosen.record, wanted)
        elif not study.weight_files(chosen.record.run_id):
            _rehearse(chosen.record, place, wanted)
        with weights_of(study, chosen.record, tell, threads) as weights:
            known = texts_for(study, chosen.record, texts)
            make = _export_baseline if is_baseline else _export_model
            written = make(chosen, weights, place, wanted, known)
    return replace(written, folder=Path(out).expanduser())


def _wanted_forms(form: str, merge: bool) -> tuple[str, ...]:
    """The forms to try, in order. Raises ExportError for a name that is none, and for an adapter that is merged."""
    if form not in (*FORMS, "auto"):
        raise ExportError(f"--format {form} is none: there are {listing([*FORMS, 'auto'])}.")
    if merge and form in ("peft", "auto"):
        return ("transformers",)  # merged, an adapter is plain weights
    return FORMS if form == "auto" else (form,)


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its place at the end; nothing stays of it where something is raised.

    Raises ExportError where `out` cannot be a new folder.
    """
    try:
        if out.is_symlink() or (out.exists() and not (out.is_dir() and not any(out.iterdir()))):
            raise ExportError(f"'{shown_path(out)}' is there already and not an empty folder: choose another.")
        if not out.parent.is_dir():
            raise ExportError(f"There is no folder '{shown_path(out.parent)}': make it, or choose another.")
        partial = out.with_name(f".{out.name}.{os.getpid()}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
    except (OSError, ValueError) as error:
        raise ExportError(
            f"'{shown_path(out)}' cannot be written ({path_problem(error)}): choose another folder."
        ) from error
    try:
        yield partial
        partial.replace(out)
    except OSError as error:
        raise ExportError(f"'{shown_path(out)}' cannot be written ({path_problem(error)}).") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


# -- models ------------------------------------------------------------------------------------------


def _export_model(chosen: Chosen, weights: Path, place: Path, wanted: tuple[str, ...], known: Texts) -> Exported:
    from whichtune.handover.answered import ask_classes, ask_tags, ask_words
    from whichtune.handover.graphs import inputs_of
    from whichtune.handover.inputs import numbered_template
    from whichtune.handover.tokens import cut_sentence, save_tokenizer
    from whichtune.handover.trained import load_trained

    trained = load_trained(chosen.record, weights)
    known, notes = _short_texts(trained, known)
    form, reasons = _write_first_exact(trained, place, wanted)
    form = replace(form, template=numbered_template(trained.fields), inputs=tuple(inputs_of(trained)))
    save_tokenizer(trained, place)
    if trained.writes:
        _save_writing(trained, place)
        answered = ask_words(trained, weights, place, form, known)
    elif trained.tag_token is not None:
        answered = ask_tags(trained, weights, place, form, known)
    else:
        answered = ask_classes(chosen.record, weights, place, form, known, trained.context_length)
    if (sentence := cut_sentence(trained, known.texts)) is not None:
        notes = [sentence, *notes]
    return _finish(chosen, place, trained, form, answered, reasons, notes)


def _rehearse(record: RunRecord, place: Path, wanted: tuple[str, ...]) -> None:
    """Raise ExportError for a form that the row cannot have, by its untrained model, before hours are spent on it."""
    from whichtune.handover.trained import load_trained

    _write_first_exact(load_trained(record, None), place, wanted)
    _empty(place)


def _write_first_exact(trained: Trained, place: Path, wanted: tuple[str, ...]) -> tuple[Form, list[str]]:
    """Write the first form that computes what the row does, and why those before it do not. Raises ExportError where
    none does."""
    reasons: list[str] = []
    for name in wanted:
        _empty(place)
        try:
            return _writer(name, sequences_only=len(wanted) > 1)(trained, place), reasons
        except NotExactError as error:
            reasons.append(f"not {name}, because {error.reason}")
            last = error
    raise ExportError(_refusal(trained.record, wanted[-1], last, len(wanted) > 1)) from last


def _writer(name: str, sequences_only: bool) -> Callable[[Trained, Path], Form]:
    if name == "transformers":
        from whichtune.handover.plain_models import write_plain

        return write_plain
    if name == "onnx":
        from whichtune.handover.graphs import write_graph

        return write_graph
    from whichtune.handover.adapters import write_adapter

    return lambda trained, folder: write_adapter(trained, folder, sequences_only)


def _short_texts(trained: Trained, known: Texts) -> tuple[Texts, list[str]]:
    """The texts that the tokenizer reads as the study did: without those that lose their middle, or words that are
    tagged."""
    from whichtune.handover.texts import invented
    from whichtune.handover.tokens import cuts_otherwise, whole_rows

    if not cuts_otherwise(trained) and trained.tag_token is None:
        return known, []
    rows = whole_rows(trained, known.texts)
    if not rows:
        return _short_texts(trained, invented(trained.spec)) if not known.are_invented else (known, [])
    recorded = None if known.recorded is None else known.recorded.iloc[rows].reset_index(drop=True)
    return Texts([known.texts[row] for row in rows], recorded), []


def _refusal(record: RunRecord, name: str, error: NotExactError, tried_all: bool) -> str:
    if tried_all:
        return f"{named(record)} cannot be exported in any form: {error.reason}."
    instead = f"use --format {error.instead}" if error.instead else "leave --format out"
    if error.of_head and "head" not in task_of(spec_of(record)).unused:
        instead += ", or train it with --set head=native"
    return f"{named(record)} cannot be exported as {name}: {error.reason}; {instead}."


def _save_writing(trained: Trained, place: Path) -> None:
    """How texts are written, as `generate` reads it."""
    from whichtune.data.pair_encoding import Room
    from whichtune.handover.texts import in_float32
    from whichtune.tasks.text.model import writing_of

    assert trained.record.room is not None  # recorded of every run that writes
    spec = in_float32(trained.spec)
    writing_of(spec, Room.of(trained.record.room), trained.tokenizer).config().save_pretrained(place)


def _empty(place: Path) -> None:
    for entry in place.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


# -- baselines ---------------------------------------------------------------------------------------


def _check_baseline(record: RunRecord, wanted: tuple[str, ...]) -> None:
    from whichtune.handover.word_graphs import why_no_graph

    if (reason := why_no_graph(spec_of(record))) is not None:
        raise ExportError(f"{named(record)} cannot be exported: {reason}.")
    if "onnx" not in wanted:
        raise ExportError(
            f"{named(record)} cannot be exported as {wanted[0]}: it has no language model; use --format onnx."
        )


def _export_baseline(chosen: Chosen, weights: Path, place: Path, wanted: tuple[str, ...], known: Texts) -> Exported:
    from whichtune.handover.answered import ask_classes
    from whichtune.handover.word_graphs import write_word_graph

    record = chosen.record
    form = write_word_graph(spec_of(record), record, weights, place)
    answered = ask_classes(record, weights, place, form, known, 0, kind="texts")
    reasons = ["it has no language model"] if len(wanted) > 1 else []
    return _finish(chosen, place, None, form, answered, reasons, [])


# -- what stands beside ------------------------------------------------------------------------------


def _finish(
    chosen: Chosen,
    place: Path,
    trained: Trained | None,
    form: Form,
    answered: Answered,
    reasons: list[str],
    notes: list[str],
) -> Exported:
    """Card, self-test and requirements."""
    if answered.told.answers_from == "again":
        notes = [*notes, "The self-test has the answers of the saved weights computed again, in float32 on a CPU."]
    write_told(answered.told, place)
    write_card(Card(chosen.summary, chosen.record, answered.told, trained, notes, answered.difference), place)
    (place / "requirements.txt").write_text(_requirements(answered.told.kind, form), encoding="utf-8")
    why = "; ".join([f"{form.name} ({form.loader})", *reasons])
    chose = [] if chosen.why is None else [f"Taken: {chosen.why}."]
    return Exported(place, form.name, why, chosen.record, answered.difference, [*chose, *notes])


def _requirements(kind: str, form: Form) -> str:
    """The versions that the folder was checked with."""
    needed = ("onnxruntime", "numpy") if kind == "texts" else NEEDS[form.name]
    lines = []
    for package in needed:
        try:
            lines.append(f"{package}=={version(package).partition('+')[0]}")
        except PackageNotFoundError:
            lines.append(package)
    return "\n".join([f"# The versions that {FILE} was answered with.", *lines]) + "\n"
