"""What the published SMS-spam tables show by themselves."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from whichtune.errors import UnknownNameError
from whichtune.published.claims import check_published, declared_pairs, load_published, published_names

SHARED = Path(__file__).resolve().parents[3] / "shared" / "published"


def test_only_the_drops_differ_from_row_1() -> None:
    check = check_published("sms-spam")
    assert [row.row for row in check.rows if row.differs] == [2, 3, 6, 13]
    assert len(check.rows) == 18
    assert "only rows 2, 3, 6 and 13 differ" in check.summary


def test_the_earlier_table_shows_the_same_drops() -> None:
    check = check_published("sms-spam-v100")
    assert [row.row for row in check.rows if row.differs] == [2, 3, 5, 8]


def test_counts_are_the_printed_percentages_of_300() -> None:
    for name in published_names():
        facts = load_published(name)
        for row in facts.rows:
            if row.test is None:  # claims alone were published
                continue
            assert 100 * facts.right(row.row) / facts.test_examples == pytest.approx(row.test, abs=0.0051)


@pytest.mark.parametrize("name, file", [("sms-spam", "sms-spam-a100.csv"), ("sms-spam-v100", "sms-spam-v100.csv")])
def test_figures_are_those_of_the_fact_sheet(name: str, file: str) -> None:
    if not (SHARED / file).is_file():
        pytest.skip(f"the fact sheet {file} lies outside the project and is not here")
    with (SHARED / file).open(encoding="utf-8") as handle:
        expected = list(csv.DictReader(handle))
    ours = load_published(name).rows
    assert [
        (r.row, r.model, r.weights, r.token_position, r.trains, r.context, r.train, r.validation, r.test, r.minutes)
        for r in ours
    ] == [
        (
            int(e["row"]),
            e["model"],
            e["weights"],
            e["token_position"],
            e["trainable_layers"],
            e["context"],
            float(e["train_accuracy"]),
            float(e["validation_accuracy"]),
            float(e["test_accuracy"]),
            float(e["train_minutes"]),
        )
        for e in expected
    ]


@pytest.mark.parametrize("name, page", [("sms-spam", "a100"), ("sms-spam-v100", "v100")])
def test_every_published_claim_is_answered(name: str, page: str) -> None:
    file = SHARED / "sms-spam-claims.csv"
    if not file.is_file():
        pytest.skip("the fact sheet sms-spam-claims.csv lies outside the project and is not here")
    with file.open(encoding="utf-8") as handle:
        expected = {
            (int(line["point"]), frozenset(int(x) for x in pair.split("-")))
            for line in csv.DictReader(handle)
            if line["page"] == page
            for pair in line["comparisons"].split(";")
        }
    answered = {(claim.point, frozenset((claim.a, claim.b))) for claim in check_published(name).claims}
    assert answered == expected


@pytest.mark.parametrize(
    "a, b, answer",
    [
        (1, 2, "shown"),
        (13, 1, "shown"),
        (4, 1, "not shown"),
        (11, 5, "the table says otherwise"),
        (16, 15, "not contradicted"),
        (12, 9, "about time only"),
    ],
)
def test_answers_from_the_counts(a: int, b: int, answer: str) -> None:
    claims = check_published("sms-spam").claims
    assert next(claim.answer for claim in claims if (claim.a, claim.b) == (a, b)) == answer


def test_fishers_p_is_the_hypergeometric_tail() -> None:
    from scipy.stats import hypergeom

    # Row 4 against row 1: 295 and 285 of 300. Two-sided: all tables no likelier than the one seen.
    law = hypergeom(600, 580, 300)
    outcomes = range(280, 301)
    p = sum(law.pmf(k) for k in outcomes if law.pmf(k) <= law.pmf(295) * (1 + 1e-9))
    row = next(row for row in check_published("sms-spam").rows if row.row == 4)
    assert row.p == pytest.approx(p)


def test_tables_are_printable() -> None:
    check = check_published("sms-spam")
    for header, cells in (check.row_table(), check.claim_table()):
        assert cells
        assert all(len(line) == len(header) for line in cells)
        assert all(isinstance(cell, str) for line in cells for cell in line)


def test_claims_become_pairs_of_a_study() -> None:
    pairs = declared_pairs("sms-spam", {1: "last block", 4: "last two blocks", 12: "xl, LoRA", 9: "xl, all"})
    assert [(pair["a"], pair["b"]) for pair in pairs] == [("last two blocks", "last block"), ("xl, LoRA", "xl, all")]
    assert pairs[0]["published"]["a"] == 98.33
    assert pairs[0]["published"]["direction"] == "better"


def test_an_unknown_study_gets_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'sms-spam'"):
        check_published("sms-spm")
