"""The page's section on test texts: two rows side by side, label suspects, answers that change between seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from whichtune.records.store import StudyFolder
from whichtune.report.answered import Answered, IntArray, RowAnswers, keeps_texts, read_answers, texts_of_test
from whichtune.report.disagreement import Disagreements, disagreements
from whichtune.report.packed import Packed, drawn, fitted, in_percent, pack, step_of
from whichtune.report.templates import Section, render
from whichtune.report.view import View
from whichtune.report.words import few
from whichtune.wording import listing, plural

MOST_NAMES = 6
NO_TEXTS = "This study keeps no texts (texts: false), so examples stand here by their id."


@dataclass(frozen=True)
class Churn:
    """A row's answers from seed to seed: test texts whose answer is not the same in all, and in two on average."""

    label: str
    seeds: int
    changed: int
    share: str
    pairwise: str


def examples_section(view: View, folder: StudyFolder) -> Section | None:
    """The page's section; None where fewer than two rows have test answers."""
    answered = read_answers(view, folder)
    if answered is None:
        return None
    texts = texts_of_test(view, folder)
    packed, examples = packed_answers(view, answered, texts), disagreements(answered, texts)
    html = render(
        "examples.html.j2",
        examples=examples,
        notes=[_lead(examples), *_notes(answered, texts, packed, keeps_texts(view, folder))],
        left_out=any(row.left_out for row in answered.rows),
        churn=[_churn(row) for row in answered.rows if len(row.runs) > 1],
        data=packed.data,
    )
    return Section("examples", "Examples", html)


def _lead(examples: Disagreements) -> str:
    """How much the rows agree."""
    if not examples.unanimous:
        return f"On none of the {examples.n:,} test examples do all {examples.rows} rows agree."
    return (
        f"On {examples.unanimous:,} of {examples.n:,} test examples all {examples.rows} rows give the same answer in "
        "every seed."
    )


def _notes(answered: Answered, texts: Mapping[str, str], packed: Packed, keeps: bool) -> list[str]:
    """What a reader must know of what is shown: who is left out, which texts they are, how they are cut."""
    found = []
    if answered.elsewhere:
        found.append(_of_one_test_split(answered))
    if out := [row.label for row in answered.rows if row.left_out]:
        found.append(
            f"Left out at first, and of what is said of all rows: {few(out, MOST_NAMES)} (rows with random weights, "
            "and rows that always answer the same class)."
        )
    if len(packed.places) < answered.n:
        found.append(sampled(answered, packed.places))
    if (step := step_of(sum(len(row.runs) for row in answered.rows))) > 1:
        found.append(f"Probabilities are told to the nearest {step} %, for the page's size.")
    if not keeps:
        found.append(NO_TEXTS)
    elif cut_note := told_cut([texts.get(answered.ids[e], "") for e in packed.places], packed.longest):
        found.append(cut_note)
    return found


def _of_one_test_split(answered: Answered) -> str:
    """Which runs are shown where not all were tested on the same texts, as with folds."""
    seeds = [run.seed for row in answered.rows for run in row.runs]
    known = sorted({seed for seed in seeds if seed is not None})
    which = f" (seed {listing([str(seed) for seed in known])})" if known else ""
    return (
        f"Not all runs were tested on the same texts: here are {plural(len(seeds), 'run')}{which} on one test split, "
        f"and {plural(answered.elsewhere, 'run')} on other texts left out, of this section alone."
    )


def told_cut(texts: list[str], longest: int) -> str | None:
    """How many texts are cut, and where they are whole."""
    count = sum(len(text) > longest for text in texts)
    if not count:
        return None
    return (
        f"{count:,} of {len(texts):,} texts are cut to their first {longest:,} characters, for the page's size; a "
        "search looks into these alone, and examples.parquet has the whole texts."
    )


def sampled(answered: Answered, places: IntArray) -> str:
    """Which of the test texts a page carries that cannot carry all."""
    here = np.zeros(answered.n, dtype=bool)
    here[places] = True
    parts = [
        f"{_of(here[group].sum(), group.sum())} {what}"
        for group, what in zip(
            _groups(answered),
            ("that every row gets wrong in every seed", "on which answers differ", "that all get right"),
            strict=True,
        )
        if group.any()
    ]
    return (
        f"Of {answered.n:,} test texts {len(places):,} are here, since a page cannot carry all: {'; '.join(parts)}. "
        "What is left of a kind was drawn by its share of each true class, with a fixed seed. Counts below are of "
        "these."
    )


def _of(here: int, all_: int) -> str:
    return f"all {all_:,}" if here == all_ else f"{here:,} of {all_:,}"


def _groups(answered: Answered) -> list[np.ndarray]:
    """Texts that all get wrong, other texts that are answered in different ways, and those that all get right."""
    wrong, divided = answered.always_wrong, answered.divided
    return [wrong, divided & ~wrong, ~divided & ~wrong]


def _churn(row: RowAnswers) -> Churn:
    seeds, changed = len(row.runs), int(row.changed.sum())
    n = row.classes.shape[1]
    pairs = [(row.classes[i] != row.classes[j]).sum() for i in range(seeds) for j in range(i)]
    return Churn(row.label, seeds, changed, f"{100 * changed / n:.1f} %", f"{np.mean(pairs):,.1f}")


# -- what the script reads -------------------------------------------------------------------------------


def packed_answers(view: View, answered: Answered, texts: Mapping[str, str]) -> Packed:
    """What rows answered to the test texts, or to as many of them as fit a page."""
    groups = [np.flatnonzero(group) for group in _groups(answered)]

    def choose(most: int) -> IntArray:
        return np.arange(answered.n) if answered.n <= most else drawn(groups, answered.truth, most)

    def build(places: IntArray, longest: int) -> str:
        return pack(_meta(view, answered, texts, places, longest), _cells(answered, places))

    return fitted(choose, build)


def _meta(
    view: View, answered: Answered, texts: Mapping[str, str], places: IntArray, longest: int
) -> dict[str, object]:
    ids = [answered.ids[e] for e in places]
    whole = [texts.get(name, "") for name in ids]
    return {
        "kind": "classes",
        "classes": answered.names,
        "step": step_of(sum(len(row.runs) for row in answered.rows)),
        "rows": [
            {"label": row.label, "out": row.left_out, "seeds": [run.seed for run in row.runs]} for row in answered.rows
        ],
        "start": first_two(view, [(row.label, row.left_out) for row in answered.rows]),
        "ids": ids,
        "truth": answered.truth[places].tolist(),
        "texts": [text[:longest] for text in whole] if texts else None,
        "cut": {str(i): len(text) for i, text in enumerate(whole) if len(text) > longest},
    }


def first_two(view: View, rows: list[tuple[str, bool]]) -> list[int]:
    """The rows that are compared at first: the recommended one, and the best of the others; by their places."""
    verdict = view.verdict
    named = [] if verdict is None else [verdict.recommended, verdict.leader, verdict.best]
    scored = [row.label for row in view.scored]
    order = [label for label in [*named, *scored] if label is not None]
    able = {label: place for place, (label, out) in enumerate(rows) if not out}
    wanted = dict.fromkeys(able[label] for label in [*order, *able] if label in able)
    return list(wanted)[:2]


def _cells(answered: Answered, places: IntArray) -> np.ndarray:
    """Bytes, run by run and in each text by text: confidence in percent, then the true class's probability where the
    answer is wrong, then the answer (0: the true class, else 1 + its number) as its low bytes and its high bytes."""
    runs = [run for row in answered.rows for run in row.runs]
    truth = answered.truth[places]
    step = step_of(len(runs))
    confidence = np.stack([in_percent(run.confidence[places], step) for run in runs])
    wrong = np.stack([run.classes[places] != truth for run in runs])
    of_truth = np.where(wrong, np.stack([in_percent(run.of_truth[places], step) for run in runs]), 0)
    answers = np.where(wrong, 1 + np.stack([run.classes[places] for run in runs]), 0)
    return np.concatenate(
        [part.astype(np.uint8).ravel() for part in (confidence, of_truth, answers % 256, answers // 256)]
    )
