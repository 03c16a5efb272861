"""Generate the embedded data sets with their cards, every figure of which is measured here.

python scripts/write_dataset_cards.py            writes src/whichtune/embedded/*/{*.csv,*.jsonl,*.conll,card.md}
"""

from __future__ import annotations

import argparse
import csv
import inspect
from pathlib import Path
from statistics import mean
from types import ModuleType

import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from whichtune.baselines import fitted_baseline
from whichtune.data.label_sets import load_label_sets
from whichtune.data.tagged import load_tagged
from whichtune.embedded import (
    DATASETS,
    LABEL_SETS,
    TAGGED,
    dataset_path,
    generate_booked_trips,
    generate_messages,
    generate_open_matters,
    generate_support_requests,
)
from whichtune.embedded.grammar import LABEL_NOISE, SIZES, write_splits
from whichtune.study.data_settings import DataSettings
from whichtune.tasks.multilabel.evaluate import figures_of, measure
from whichtune.tasks.multilabel.settings import MultilabelSettings
from whichtune.tasks.tagging.evaluate import measure as measure_tags
from whichtune.tasks.tagging.predict import by_sentence

GENERATORS: dict[str, ModuleType] = {
    "messages": generate_messages,
    "support_requests": generate_support_requests,
}
# The settings printed in the cards are these, taken apart by `describe`.
VECTORISERS = {
    "words alone (1-grams)": {"analyzer": "word", "ngram_range": (1, 1), "sublinear_tf": True},
    "words (1-2-grams)": {"analyzer": "word", "ngram_range": (1, 2), "sublinear_tf": True},
    "characters (2-5-grams within words)": {
        "analyzer": "char_wb",
        "ngram_range": (2, 5),
        "sublinear_tf": True,
    },
}
CLASSIFIER = {"C": 10, "max_iter": 2000}


def read_split(name: str, split: str) -> tuple[list[str], list[str]]:
    """Texts and labels of a shipped split."""
    with (dataset_path(name) / f"{split}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["label"] for row in rows]


def baseline_accuracies(name: str) -> dict[str, tuple[float, float]]:
    """Accuracy in per cent on validation and test of the largest class and of the TF-IDF models."""
    splits = {split: read_split(name, split) for split in SIZES}
    models = {"largest class": DummyClassifier()}
    for label, settings in VECTORISERS.items():
        models[label] = make_pipeline(TfidfVectorizer(**settings), LogisticRegression(**CLASSIFIER))
    figures = {}
    for label, model in models.items():
        model.fit(*splits["train"])
        validation, test = (100 * float(model.score(*splits[split])) for split in ("validation", "test"))
        figures[label] = (validation, test)
    return figures


def describe(settings: dict[str, object]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in settings.items())


def card(name: str) -> str:
    """The card of a data set, in Markdown."""
    facts, generator = DATASETS[name], GENERATORS[name]
    splits = {split: read_split(name, split) for split in SIZES}
    lines = [
        f"# {name}",
        "",
        f"{facts.description[0].upper()}{facts.description[1:]}. Every text is made by a",
    ]
    lines += [f"seeded generator of this project (`{generator.__name__}`); no person wrote or received any."]
    lines += ["The same folder's files are made again, byte for byte, by", ""]
    lines += [f"    python -m {generator.__name__} FOLDER", ""]
    lines += ["Columns: `text`, `label`. Licence: Apache-2.0, as the package.", ""]
    lines += ["| split | rows | words a text (mean) | " + " | ".join(facts.classes) + " | labels changed |"]
    lines += ["| --- |" + " --- |" * (3 + len(facts.classes))]
    for split, (texts, labels) in splits.items():
        counts = " | ".join(str(labels.count(label)) for label in facts.classes)
        words = mean(len(text.split()) for text in texts)
        changed = round(LABEL_NOISE * len(texts))
        lines.append(f"| {split} | {len(texts)} | {words:.1f} | {counts} | {changed} |")
    lines += ["", "## How it is made", "", *inspect.getdoc(generator).split("\n\n", 2)[2].splitlines()]
    lines += ["", "## The best that can be expected", ""]
    lines += [f"**{100 * facts.bayes_limit:.2f} %** (Bayes limit). A text belongs to exactly one class; then"]
    lines += [f"{100 * LABEL_NOISE:g} % of the labels of each split, drawn blindly, are changed to another class."]
    lines += ["Who knows the grammar is right on all others and cannot know which these are. A test figure above"]
    lines += ["the limit is chance, and a train figure above it is memory.", ""]
    lines += ["## Baselines", ""]
    lines += ["| baseline | validation accuracy | test accuracy |", "| --- | --- | --- |"]
    for label, (validation, test) in baseline_accuracies(name).items():
        lines.append(f"| {label} | {validation:.2f} % | {test:.2f} % |")
    lines += [
        "",
        "TF-IDF with logistic regression, fitted on train alone, with these settings of scikit-learn:",
        "",
    ]
    for label, settings in VECTORISERS.items():
        lines.append(f"- {label}: `TfidfVectorizer({describe(settings)})`")
    lines += [f"- all: `LogisticRegression({describe(CLASSIFIER)})`", ""]
    lines += ["## Examples", "", "| text | label |", "| --- | --- |"]
    lines += [f"| {text} | {label} |" for text, label in list(zip(*splits["train"], strict=True))[:8]]
    lines += ["", "## Limits", ""]
    lines += ["The grammar is small and its English plain. The sets serve to compare ways of training and to"]
    lines += ["teach; accuracy here says nothing about real messages or requests. The generator was fixed before"]
    lines += ["the embedded model was trained, and was not changed to suit it.", ""]
    lines += ["This card is written by `python scripts/write_dataset_cards.py`.", ""]
    return "\n".join(lines)


LABEL_SET_ROWS = ("label_shares", "labels_word", "labels_char")


def label_set_figures(name: str) -> dict[str, tuple[float, float, float]]:
    """Micro F1, macro F1 and Hamming loss on test in per cent: of whoever knows the grammar, and of the baselines."""
    dataset = load_label_sets(DataSettings(source=name))
    test = dataset.splits["test"].labels
    known = generate_open_matters.open_matters()["test"]
    sure = np.array([[10.0 if label in row.true_labels else -10.0 for label in dataset.labels] for row in known])
    found = {"who knows the grammar": measure(sure, test, np.full(test.shape[1], 0.5))}
    train = dataset.splits["train"]
    for row in LABEL_SET_ROWS:
        fitted = fitted_baseline(row).fit(train.texts, train.labels, dataset.outputs)
        logits = {split: fitted.logits(part.texts) for split, part in dataset.splits.items()}
        found[f"`{row}`"] = figures_of(logits, dataset.splits, MultilabelSettings()).metrics.test
    return {
        row: tuple(100 * figures.value(key) for key in ("labels_f1_micro", "labels_f1_macro", "hamming_loss"))
        for row, figures in found.items()
    }


def label_set_card(name: str) -> str:
    """The card of a data set with several labels a text, in Markdown."""
    facts, generator = LABEL_SETS[name], generate_open_matters
    dataset = load_label_sets(DataSettings(source=name))
    lines = [f"# {name}", "", f"{facts.description[0].upper()}{facts.description[1:]}. Every text is made by a"]
    lines += [f"seeded generator of this project (`{generator.__name__}`); no person wrote or received any."]
    lines += ["The same folder's files are made again, byte for byte, by", ""]
    lines += [f"    python -m {generator.__name__} FOLDER", ""]
    lines += ["Columns: `text`, `labels` (a list). Licence: Apache-2.0, as the package.", ""]
    lines += ["| split | rows | labels a text (mean) | without a label | " + " | ".join(facts.labels) + " |"]
    lines += ["| --- |" + " --- |" * (3 + len(facts.labels))]
    for split, part in dataset.splits.items():
        counts = " | ".join(str(count) for count in part.labels.sum(axis=0))
        none = int((~part.labels.any(axis=1)).sum())
        lines.append(f"| {split} | {len(part)} | {part.labels.sum(axis=1).mean():.2f} | {none} | {counts} |")
    lines += ["", "## How it is made", "", *inspect.getdoc(generator).split("\n\n", 2)[2].splitlines()]
    lines += ["", "## The best that can be expected", ""]
    lines += [
        f"A Hamming loss of **{100 * facts.least_hamming_loss:.2f} %**: of each label {100 * LABEL_NOISE:g} % of the"
    ]
    lines += [
        "decisions in each split, drawn blindly, are turned round. Who knows the grammar is right on all others and"
    ]
    lines += [
        "cannot know which these are; the first line below is what that gives on test.",
        "",
        "## Figures on test",
        "",
    ]
    lines += ["| row | micro F1 | macro F1 | Hamming loss |", "| --- | --- | --- | --- |"]
    for row, figures in label_set_figures(name).items():
        lines.append(f"| {row} | " + " | ".join(f"{figure:.2f} %" for figure in figures) + " |")
    lines += ["", "Thresholds of the baselines are chosen on validation, as whichtune does.", "", "## Limits", ""]
    lines += [
        "The grammar is small and its English plain. The set serves to compare ways of training and to teach; its"
    ]
    lines += ["figures say nothing about real messages.", ""]
    lines += ["This card is written by `python scripts/write_dataset_cards.py`.", ""]
    return "\n".join(lines)


TAG_ROWS = ("all_outside", "word_tag")


def tag_figures(name: str) -> dict[str, tuple[float, float, float]]:
    """Entity F1, macro F1 of types and tag accuracy on test in per cent: of whoever knows the grammar, and of the
    baselines."""
    dataset = load_tagged(DataSettings(source=name))
    train, test = dataset.splits["train"], dataset.splits["test"]
    known = generate_booked_trips.booked_trips()["test"]
    tags = [generate_booked_trips.tags_of(len(trip.words), trip.true) for trip in known]
    sure = [np.eye(dataset.outputs)[[dataset.labels.index(tag) for tag in each]] * 20 for each in tags]
    found = {"who knows the grammar": measure_tags(sure, test.tags)}
    given = np.empty(len(train), dtype=object)
    given[:] = train.tags
    for row in TAG_ROWS:
        fitted = fitted_baseline(row).fit(train.texts, given, dataset.outputs)
        found[f"`{row}`"] = measure_tags(by_sentence(fitted, test.texts), test.tags)
    return {
        row: tuple(100 * figures.value(key) for key in ("entity_f1", "entity_f1_macro", "tag_accuracy"))
        for row, figures in found.items()
    }


def tag_card(name: str) -> str:
    """The card of a data set whose words have tags, in Markdown."""
    facts, generator = TAGGED[name], generate_booked_trips
    dataset = load_tagged(DataSettings(source=name))
    lines = [f"# {name}", "", f"{facts.description[0].upper()}{facts.description[1:]}. Every text is made by a"]
    lines += [f"seeded generator of this project (`{generator.__name__}`); no person wrote or received any."]
    lines += ["The same folder's files are made again, byte for byte, by", ""]
    lines += [f"    python -m {generator.__name__} FOLDER", ""]
    lines += [
        "A word and its tag (IOB2) a line, an empty line between sentences. Licence: Apache-2.0, as the package.",
        "",
    ]
    lines += ["| split | sentences | words | entities | " + " | ".join(facts.types) + " |"]
    lines += ["| --- |" + " --- |" * (3 + len(facts.types))]
    for split, part in dataset.splits.items():
        every = np.concatenate(part.tags)
        counts = [int((every == 1 + 2 * kind).sum()) for kind in range(len(facts.types))]
        lines.append(f"| {split} | {len(part)} | {len(every)} | {sum(counts)} | " + " | ".join(map(str, counts)) + " |")
    lines += ["", "## How it is made", "", *inspect.getdoc(generator).split("\n\n", 2)[2].splitlines()]
    lines += ["", "## The best that can be expected", ""]
    lines += [
        f"An entity F1 of **{100 * facts.best_f1:.2f} %** on test: {100 * facts.noise:g} % of the entities in each"
    ]
    lines += [
        f"split, drawn blindly, lose their tags, and another {100 * facts.noise:g} % get those of another type. Who"
    ]
    lines += ["knows the grammar is right on all others and cannot know which these are: the first line below."]
    lines += [
        "",
        "## Figures on test",
        "",
        "| row | entity F1 | macro F1 | tag accuracy |",
        "| --- | --- | --- | --- |",
    ]
    for row, figures in tag_figures(name).items():
        lines.append(f"| {row} | " + " | ".join(f"{figure:.2f} %" for figure in figures) + " |")
    lines += ["", "## Limits", ""]
    lines += [
        "The grammar is small and its English plain. The set serves to compare ways of training and to teach; its"
    ]
    lines += ["figures say nothing about real messages.", ""]
    lines += ["This card is written by `python scripts/write_dataset_cards.py`.", ""]
    return "\n".join(lines)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for name, generator in GENERATORS.items():
        write_splits(getattr(generator, name)(), dataset_path(name))
        Path(dataset_path(name) / "card.md").write_text(card(name), encoding="utf-8")
    for name in LABEL_SETS:
        generate_open_matters.write_jsonl(generate_open_matters.open_matters(), dataset_path(name))
        Path(dataset_path(name) / "card.md").write_text(label_set_card(name), encoding="utf-8")
    for name in TAGGED:
        generate_booked_trips.write_conll(generate_booked_trips.booked_trips(), dataset_path(name))
        Path(dataset_path(name) / "card.md").write_text(tag_card(name), encoding="utf-8")


if __name__ == "__main__":
    main()
