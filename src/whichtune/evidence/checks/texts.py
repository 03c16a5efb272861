"""Whether the texts and their labels bear the figures: small classes, repeats, doubtful labels, cut texts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whichtune.evidence.checks.base import Finding, Material, not_applicable, passed, register, warned
from whichtune.evidence.warnings import repeats_warning
from whichtune.metrics import METRICS, metric_title
from whichtune.metrics.tag_names import types_of
from whichtune.records.record import SPLITS, AnyMetrics, LabelSetMetrics, TagMetrics, TextMetrics
from whichtune.stats.answers import Row, TestSet
from whichtune.stats.results import in_text
from whichtune.wording import listed, listing, number, plural

NOTHING_TESTED = "No run completed, so there is nothing to look at."
LEAST_TEXTS = 5  # of a class in test
LEAST_SUSPECTS = 3
BY_SIZE = ("f1_micro", "f1_weighted", "mcc", "kappa")  # weigh classes by their texts
EACH_TYPE = "entity_f1_macro"  # weighs every type of entities the same
EACH_LABEL = ("labels_f1_macro", "mean_average_precision")  # weigh every label the same
SURE = 0.001  # chance of so many texts that all get wrong, if rows erred independently
DOUBTED = 0.1  # mean probability of the given label, below which rows are sure that it is wrong
CUT = 0.05  # share of a split's texts


@register("small_class", "Small class")
def small_class(material: Material) -> Finding:
    """Does a class with fewer than five test texts weigh as much as any other in the primary metric?"""
    test, metric = material.test, METRICS[material.metric]
    if test is None:
        return not_applicable(NOTHING_TESTED)
    names, things = material.study.labels, "test texts"
    if metric.name in EACH_LABEL:
        counts, kind = _texts_of_labels(material), "label"
    elif metric.name == EACH_TYPE:
        counts, kind, names, things = _entities_of_types(material), "type", types_of(names), "true entities on test"
    elif metric.resampling != "confusion" or metric.name in BY_SIZE:
        return not_applicable(f"{metric.title[:1].upper()}{metric.title[1:]} does not weigh every class the same.")
    else:
        counts, kind = np.bincount(test.labels, minlength=test.classes), "class"
    occur = int((counts > 0).sum())
    small = [int(c) for c in np.flatnonzero((counts > 0) & (counts < LEAST_TEXTS))]
    if not small:
        return passed(f"Every {kind} has {LEAST_TEXTS} {things} or more.")
    few = [names[c] if c < len(names) else f"class {c}" for c in small]
    least = int(counts[small].min())
    which = f"{plural(len(small), kind, kind + ('es' if kind == 'class' else 's'))} of {occur:,}"
    text = f"{which} {'has' if len(small) == 1 else 'have'} fewer than {LEAST_TEXTS} {things} ({listed(few)})"
    weight = (
        f"each weighs 1/{occur} of {metric.title}, so one answer can move it by about {number(100 / occur / least)}"
    )
    return warned(f"{text}; {weight} points.", classes=few)


def _texts_of_labels(material: Material) -> NDArray[np.int64]:
    """How many test texts each label has `(L,)`, of texts with sets of labels."""
    for row in material.rows.values():
        for run in row.completed.values():
            if isinstance(run.metrics.test, LabelSetMetrics):
                counts = np.array(run.metrics.test.label_counts, dtype=np.int64).reshape(-1, 3)
                return np.asarray(counts[:, 0] + counts[:, 2])
    return np.zeros(0, dtype=np.int64)


def _entities_of_types(material: Material) -> NDArray[np.int64]:
    """How many true entities of each type test has `(K,)`, of tagged words."""
    for row in material.rows.values():
        for run in row.completed.values():
            if isinstance(run.metrics.test, TagMetrics):
                counts = np.array(run.metrics.test.type_counts, dtype=np.int64).reshape(-1, 3)
                return np.asarray(counts[:, 0] + counts[:, 2])
    return np.zeros(0, dtype=np.int64)


@register("repeats", "Repeats between splits")
def repeats(material: Material) -> Finding:
    """Do test or validation texts stand in train, too?"""
    if material.test is None:
        return not_applicable(NOTHING_TESTED)
    parts = [sentence] if (sentence := repeats_warning(material.test)) else []
    counts = [
        (figures.duplicates_of_train, figures.n)
        for row in material.rows.values()
        for run in row.completed.values()
        if (figures := run.metrics.validation) is not None
    ]
    repeated, n = max(counts, default=(0, 0))
    if repeated:
        stand = "stands" if repeated == 1 else "stand"
        parts.append(f"{repeated:,} of {plural(n, 'validation example')} also {stand} in train.")
    return warned(" ".join(parts)) if parts else passed("No test or validation text stands in train.")


@register("near_repeats", "Near repeats between splits")
def near_repeats(material: Material) -> Finding:
    """Do test or validation texts nearly repeat a training text?"""
    near = material.near
    if near is None:
        return not_applicable("It was not asked which texts nearly repeat others, or there are too many.")
    told = [
        f"{len(ids):,} of {plural(near.sizes[split], f'{split} text')} nearly "
        f"{'repeats' if len(ids) == 1 else 'repeat'} a training text"
        for split, ids in near.ids.items()
        if ids
    ]
    if not told:
        return passed("No test or validation text nearly repeats a training text.")
    return warned(
        f"{', and '.join(told)}: a row that learns texts by heart is favoured by them, and a group_column or a "
        "split by time keeps what belongs together on one side.",
        examples=list(near.ids.get("test", ())),
    )


@register("label_noise", "Label noise suspected")
def label_noise(material: Material) -> Finding:
    """Are there more test texts that every row and seed gets wrong, in the same way and surely, than chance gives?"""
    test = material.test
    if test is None:
        return not_applicable(NOTHING_TESTED)
    if test.test_by_train is not None:
        return not_applicable("Each split has test texts of its own, which few runs have answered.")
    voices = [row for row in material.rows.values() if _has_a_say(row)]
    if test.classes < 2 or len(voices) < 2:
        return not_applicable("Fewer than two rows answered with classes, and not always the same one.")
    wrong = np.stack([_always_wrong(row, test) for row in voices])  # (R, E)
    expected = _by_chance(wrong, test)
    suspects = np.flatnonzero(wrong.all(axis=0) & _agree(voices) & (_probability_of_label(voices) < DOUBTED))
    chance = _poisson_tail(len(suspects), expected)
    told = (
        f"{plural(len(suspects), 'test text') if len(suspects) else 'No test text'} of {test.n:,} "
        f"{'are' if len(suspects) > 1 else 'is'} given the same other label by every row and seed"
    )
    told += f", where chance would give {number(expected, 1)}" if len(suspects) else ""
    if len(suspects) < LEAST_SUSPECTS or chance > SURE:
        return passed(f"{told}.")
    ids = [str(test.ids[e]) for e in suspects]
    return warned(
        f"{told}: their labels may be wrong, and no row can then reach more than "
        f"{number(100 * (1 - len(suspects) / test.n))} %.",
        examples=ids,
    )


def _has_a_say(row: Row) -> bool:
    """Whether the row answered with classes, and not with one alone."""
    answers = [each.predictions for each in row.answers.values()]
    return bool(answers) and all(len(a) and (a != a[0]).any() for a in answers)


def _always_wrong(row: Row, test: TestSet) -> NDArray[np.bool_]:
    """`(E,)`: every seed of the row is wrong."""
    wrong = np.stack([each.predictions != test.labels for each in row.answers.values()])
    return np.asarray(wrong.all(axis=0))


def _by_chance(wrong: NDArray[np.bool_], test: TestSet) -> float:
    """How many texts all rows would get wrong if, within a class, they erred independently of one another."""
    expected = 0.0
    for c in np.unique(test.labels):
        of_class = wrong[:, test.labels == c]
        expected += of_class.shape[1] * float(np.prod(of_class.mean(axis=1)))
    return expected


def _agree(voices: list[Row]) -> NDArray[np.bool_]:
    """`(E,)`: all rows and seeds answer the same."""
    every = np.stack([each.predictions for row in voices for each in row.answers.values()])
    return np.asarray((every == every[0]).all(axis=0))


def _probability_of_label(voices: list[Row]) -> NDArray[np.float64]:
    """`(E,)`: the geometric mean over rows and seeds of the probability of the given label; 0 where none has any."""
    losses = [each.losses for row in voices for each in row.answers.values() if np.isfinite(each.losses).all()]
    return np.exp(-np.mean(losses, axis=0)) if losses else np.zeros(len(next(iter(voices[0].answers.values())).losses))


def _poisson_tail(count: int, expected: float) -> float:
    """The chance of `count` or more where `expected` are expected."""
    from scipy.stats import poisson

    return float(poisson.sf(count - 1, expected)) if expected > 0 else float(count == 0)


@register("length_cut", "Texts cut")
def length_cut(material: Material) -> Finding:
    """Is a twentieth or more of a split's texts, or of its targets, cut to the row's context length?"""
    shares: dict[str, tuple[float, str]] = {}
    seen = most = 0.0
    for row in material.tuned_rows:
        for run in row.completed.values():
            for split in SPLITS:
                figures = run.metrics.of(split)
                if figures is None or not figures.n:
                    continue
                seen += 1
                share = _cut(figures) / figures.n
                most = max(most, share)
                if share >= CUT and share > shares.get(row.label, (0.0, ""))[0]:
                    shares[row.label] = (share, split)
    if not seen:
        return not_applicable("No row reads texts to a context length.")
    if not most:
        return passed("No text was cut to the context length.")
    if not shares:
        return passed(f"At most {number(100 * most)} % of a split's texts were cut to the context length.")
    by_label = [f"{in_text(label)} ({number(100 * share)} % of {split})" for label, (share, split) in shares.items()]
    return warned(
        f"Texts are cut to the context length: {listing(by_label, most=6)}. What was cut is not learned from: "
        "a longer context_length, or long_texts_keep, changes what is read.",
        list(shares),
    )


def _cut(figures: AnyMetrics) -> int:
    """Texts, or targets, that were cut, whichever are more."""
    return max(figures.truncated, figures.targets_cut if isinstance(figures, TextMetrics) else 0)


@register("metrics_disagree", "Metrics disagree on the winner")
def metrics_disagree(material: Material) -> Finding:
    """Is another row best on validation by another metric, each ahead by more than a tenth of the margin?"""
    wanted = METRICS[material.metric]
    others = [m for m in METRICS.values() if m.answers == wanted.answers and m.unit == "points" and m is not wanted]
    others = [m for m in others if not m.on_request]
    rows = [row for row in material.rows.values() if row.mean_metric("validation", wanted.name) is not None]
    if wanted.unit != "points" or not others or len(rows) < 2:
        return not_applicable("Fewer than two rows, or two metrics, can be compared on validation.")
    best = max(rows, key=lambda row: _points(row, wanted.name))
    least = material.study.margin / 10
    for metric in others:
        able = [row for row in rows if row.mean_metric("validation", metric.name) is not None]
        if best not in able:
            continue
        other = max(able, key=lambda row: _points(row, metric.name))
        lost = _points(other, metric.name) - _points(best, metric.name)
        won = _points(best, wanted.name) - _points(other, wanted.name)
        if lost > least and won > least:
            return warned(
                f"{in_text(best.label)} is the best on validation by {metric_title(wanted.name)} (by {number(won)} "
                f"points) and {in_text(other.label)} by {metric.title} (by {number(lost)} points): which is better "
                "depends on what counts.",
                [best.label, other.label],
            )
    return passed(f"By every metric {in_text(best.label)} is the best on validation, or about as good as the best.")


def _points(row: Row, metric: str) -> float:
    """A row's mean on validation in points, the sign turned where less is better."""
    value = row.mean_metric("validation", metric) or 0.0
    return 100 * value if METRICS[metric].higher_is_better else -100 * value
