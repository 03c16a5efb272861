"""The shipped data sets are what their generators make, and are neither trivial nor a keyword match."""

from __future__ import annotations

import csv
import random
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from whichtune.embedded import (
    LABEL_SETS,
    TAGGED,
    dataset_path,
    generate_booked_trips,
    generate_messages,
    generate_open_matters,
    generate_support_requests,
)
from whichtune.embedded.grammar import LABEL_NOISE, SIZES, Example, only_words, write_splits

FOLDER = Path(generate_messages.__file__).parent
GENERATORS = {
    "messages": (generate_messages.draw, generate_messages.LABELS),
    "support_requests": (generate_support_requests.draw, generate_support_requests.LABELS),
}
SPLITS = {
    "messages": generate_messages.messages,
    "support_requests": generate_support_requests.support_requests,
}


@pytest.fixture(params=sorted(GENERATORS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_generator_reproduces_the_shipped_files_byte_for_byte(name: str, tmp_path: Path) -> None:
    write_splits(SPLITS[name](), tmp_path)
    for split in SIZES:
        assert (tmp_path / f"{split}.csv").read_bytes() == (FOLDER / name / f"{split}.csv").read_bytes(), split


def test_another_seed_makes_other_data(name: str) -> None:
    one: Callable[[int], dict[str, list[Example]]] = SPLITS[name]
    assert one(1)["train"] != one(2)["train"]


def test_sizes_balance_and_label_noise(name: str) -> None:
    labels = GENERATORS[name][1]
    for split, rows in SPLITS[name]().items():
        assert len(rows) == SIZES[split]
        assert sum(row.label != row.true_label for row in rows) == round(LABEL_NOISE * len(rows))
        counts = [sum(row.true_label == label for row in rows) for label in labels]
        assert max(counts) - min(counts) <= 1


def test_no_text_stands_twice_in_any_split(name: str) -> None:
    texts = []
    for split in SIZES:
        with (FOLDER / name / f"{split}.csv").open(encoding="utf-8", newline="") as file:
            texts += [row["text"] for row in csv.DictReader(file)]
    assert len(set(texts)) == len(texts) == sum(SIZES.values())


def test_the_text_decides_its_class(name: str) -> None:
    """The Bayes limit rests on this: among many draws no wording comes from two classes."""
    draw, labels = GENERATORS[name]
    rng = random.Random(5)
    seen: dict[str, str] = {}
    for index in range(20_000):
        label = labels[index % len(labels)]
        wording = only_words(draw(rng, label))
        assert seen.setdefault(wording, label) == label, wording
    assert len(seen) < 20_000  # wordings do repeat, so the assertion above had something to compare


def test_sets_of_labels_are_what_their_generator_makes_and_their_best_is_known(tmp_path: Path) -> None:
    made = generate_open_matters.open_matters()
    generate_open_matters.write_jsonl(made, tmp_path)
    for split, rows in made.items():
        shipped = dataset_path("open_matters") / f"{split}.jsonl"
        assert (tmp_path / f"{split}.jsonl").read_bytes() == shipped.read_bytes(), split
        turned = [len(set(row.labels) ^ set(row.true_labels)) for row in rows]
        wrong = sum(turned) / (len(rows) * len(generate_open_matters.LABELS))
        assert wrong == pytest.approx(LABEL_SETS["open_matters"].least_hamming_loss)
        assert {len(row.labels) for row in rows} >= {0, 1, 2, 3}


def test_tagged_words_are_what_their_generator_makes_and_their_best_is_known(tmp_path: Path) -> None:
    made = generate_booked_trips.booked_trips()
    generate_booked_trips.write_conll(made, tmp_path)
    for split, trips in made.items():
        shipped = dataset_path("booked_trips") / f"{split}.conll"
        assert (tmp_path / f"{split}.conll").read_bytes() == shipped.read_bytes(), split
        entities = sum(len(trip.true) for trip in trips)
        lost = sum(len(trip.true) - len(trip.entities) for trip in trips)
        other = sum(len(set(trip.entities) - set(trip.true)) for trip in trips)
        assert (lost, other) == (round(0.02 * entities),) * 2
    facts = TAGGED["booked_trips"]
    assert generate_booked_trips.best_f1(made["test"]) == pytest.approx(facts.best_f1, abs=5e-5)
    assert len({tuple(word.lower() for word in trip.words) for trips in made.values() for trip in trips}) == 1800


def test_the_words_decide_their_tags() -> None:
    """The best that is told of `booked_trips` rests on this."""
    rng = random.Random(5)
    seen: dict[tuple[str, ...], object] = {}
    for _ in range(20_000):
        trip = generate_booked_trips.draw(rng)
        words = tuple(word.lower() for word in trip.words)
        assert seen.setdefault(words, trip.true) == trip.true, words
    assert len(seen) < 20_000


@pytest.mark.slow
def test_the_card_of_tagged_words_tells_what_is_measured() -> None:
    sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
    import write_dataset_cards

    card = (dataset_path("booked_trips") / "card.md").read_text(encoding="utf-8")
    assert write_dataset_cards.tag_card("booked_trips") == card


@pytest.mark.slow
def test_the_card_of_sets_of_labels_tells_what_is_measured() -> None:
    sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
    import write_dataset_cards

    card = (dataset_path("open_matters") / "card.md").read_text(encoding="utf-8")
    for row, figures in write_dataset_cards.label_set_figures("open_matters").items():
        found = re.search(rf"^\| {re.escape(row)} \| ([\d.]+) % \| ([\d.]+) % \| ([\d.]+) % \|$", card, re.MULTILINE)
        assert found, row
        assert [float(each) for each in found.groups()] == pytest.approx(figures, abs=1.0)
