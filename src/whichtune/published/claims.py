"""What a published table can show by itself, and its claims as pairs for our own runs.

A table prints accuracies of one seed and no predictions, so all that can be tested is whether two
counts differ if the rows had been judged on separate samples of messages (Fisher's exact test,
Holm-corrected). That gives up the pairing, which was not published, and says nothing about seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from whichtune.errors import SettingError, UnknownNameError
from whichtune.registry import did_you_mean

FOLDER = Path(__file__).parent
SUFFIX = "-published.yaml"
ALPHA = 0.05

Direction = Literal["better", "worse", "equal"]
Answer = Literal[
    "shown", "not shown", "not contradicted", "contradicted", "the table says otherwise", "about time only"
]


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PublishedRow(_Facts):
    """One row as printed: accuracies and F1 in percent, training time in minutes; None where nothing was printed, or
    where it means nothing for the task.

    `training_loss` is the curve that was published: the mean loss since the step before, by optimiser step.
    """

    row: int
    model: str
    weights: str
    token_position: str | None = None
    trains: str
    context: str
    train: float | None = None
    validation: float | None = None
    test: float | None = None
    minutes: float | None = None
    f1_macro: float | None = None
    steps: int | None = None
    training_loss: dict[int, float] | None = None


class PublishedPair(_Facts):
    """Row `a` against row `b`, or against a baseline by its name. `direction` is what is claimed of a, null where the
    claim is about something else, such as its time. `metric` where it is about another than the study's."""

    a: int
    b: int | str
    direction: Direction | None
    factor: str
    time_ratio: float | None = None
    metric: str | None = None


class PublishedClaim(_Facts):
    point: int
    text: str
    comparisons: list[PublishedPair]


class PublishedStudy(_Facts):
    """A published table with its claims, read from the package's YAML."""

    source: str
    url: str
    device: str
    unit: str = Field("message", description="what an example is called")
    seeds: int
    test_examples: int
    baseline_row: int | None = Field(None, description="null: the best of the task's baselines")
    notes: list[str]
    bar_charts: bool = Field(False, description="whether its figures were bar charts, which a report draws beside")
    rows: list[PublishedRow]
    claims: list[PublishedClaim]

    def row(self, number: int) -> PublishedRow:
        return next(row for row in self.rows if row.row == number)

    def test(self, number: int) -> float:
        """A row's printed test accuracy, in percent. Raises SettingError where none was printed."""
        if (printed := self.row(number).test) is None:
            raise SettingError(f"No figure was printed of row {number} of '{self.source}': there is nothing to check.")
        return printed

    def right(self, number: int) -> int:
        """Test messages answered rightly: the printed percentage as a count."""
        return round(self.test(number) / 100 * self.test_examples)

    def time_ratio(self, pair: PublishedPair) -> float | None:
        """Training time of row a divided by that of row b, as printed; without times what was claimed of it."""
        if isinstance(pair.b, str):
            return pair.time_ratio
        a, b = self.row(pair.a).minutes, self.row(pair.b).minutes
        return pair.time_ratio if a is None or b is None else a / b

    def figures(self, number: int) -> dict[str, JsonValue]:
        """What was printed of a row, for the study that runs it again."""
        keys = {"row", "train", "validation", "test", "minutes", "f1_macro", "steps", "training_loss"}
        return self.row(number).model_dump(mode="json", include=keys, exclude_none=True)


class CheckedRow(_Facts):
    """A row against the table's baseline row."""

    row: int
    test: float = Field(description="percent")
    difference: float = Field(description="points")
    p: float
    p_adjusted: float
    differs: bool


class CheckedClaim(_Facts):
    """One comparison of a claim. `answer` is what the counts say of it."""

    point: int
    text: str
    a: int
    b: int
    difference: float = Field(description="points, a minus b")
    p: float
    p_adjusted: float
    claimed: Direction | None
    answer: Answer
    time_ratio: float | None = Field(description="a divided by b, as printed; null without printed times")
    claimed_time_ratio: float | None = None


class PublishedCheck(_Facts):
    """What the published counts show."""

    study: str
    source: str
    url: str
    summary: str
    rows: list[CheckedRow]
    claims: list[CheckedClaim]
    notes: list[str]

    def row_table(self) -> tuple[list[str], list[list[str]]]:
        """Header and cells: every row against the baseline row."""
        header = ["row", "test %", "difference", "p", "p (Holm)", "differs"]
        cells = [
            [
                str(r.row),
                f"{r.test:.2f}",
                f"{r.difference:+.2f}",
                _p(r.p),
                _p(r.p_adjusted),
                "yes" if r.differs else "no",
            ]
            for r in self.rows
        ]
        return header, cells

    def claim_table(self) -> tuple[list[str], list[list[str]]]:
        """Header and cells: every comparison that a claim makes."""
        header = ["point", "rows", "claimed", "difference", "p", "p (Holm)", "from the counts", "time", "claim"]
        cells = []
        for c in self.claims:
            time = "-" if c.time_ratio is None else f"x {c.time_ratio:.2f}"
            if c.claimed_time_ratio is not None:
                time += f" (claimed {c.claimed_time_ratio:g})"
            claimed = c.claimed or "-"
            cells.append(
                [
                    str(c.point),
                    f"{c.a}-{c.b}",
                    claimed,
                    f"{c.difference:+.2f}",
                    _p(c.p),
                    _p(c.p_adjusted),
                    c.answer,
                    time,
                    c.text,
                ]
            )
        return header, cells


def published_names() -> list[str]:
    """Studies whose published figures the package holds."""
    return sorted(path.name.removesuffix(SUFFIX) for path in FOLDER.glob(f"*{SUFFIX}"))


@cache
def load_published(study: str) -> PublishedStudy:
    """The published table of a study. Raises UnknownNameError where the package holds none."""
    import yaml

    path = FOLDER / f"{study}{SUFFIX}"
    if study not in published_names():
        raise UnknownNameError(f"No published figures of '{study}': {did_you_mean(study, published_names())}")
    return PublishedStudy.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def check_published(study: str) -> PublishedCheck:
    """Test the published counts of a study, unpaired, Holm-corrected within each of the two tables.

    Raises UnknownNameError where the package holds no published figures of that name, and SettingError where what it
    holds are claims without printed counts.
    """
    facts = load_published(study)
    if facts.baseline_row is None or any(row.test is None for row in facts.rows):
        raise SettingError(
            f"--check: '{study}' was published without counts, so they show nothing by themselves: "
            f"whichtune studies {study} has its claims."
        )
    rows = _check_rows(facts, facts.baseline_row)
    return PublishedCheck(
        study=study,
        source=facts.source,
        url=facts.url,
        summary=_summary(facts, rows, facts.baseline_row),
        rows=rows,
        claims=_check_claims(facts),
        notes=facts.notes,
    )


def declared_pairs(study: str, labels: Mapping[int, str]) -> list[dict[str, object]]:
    """The published claims as a study's `pairs`; `labels` maps row numbers to our labels.

    Comparisons with a row that `labels` leaves out are left out.
    """
    facts = load_published(study)
    return [
        _declared(facts, claim, pair, labels)
        for claim in facts.claims
        for pair in claim.comparisons
        if pair.a in labels and (isinstance(pair.b, str) or pair.b in labels)
    ]


def _declared(
    facts: PublishedStudy, claim: PublishedClaim, pair: PublishedPair, labels: Mapping[int, str]
) -> dict[str, object]:
    return {
        "a": labels[pair.a],
        "b": labels[pair.b] if isinstance(pair.b, int) else pair.b,
        "factor": pair.factor,
        "claim": f"point {claim.point}, {claim.text}",
        "metric": pair.metric,
        "published": {
            "rows": [pair.a, pair.b] if isinstance(pair.b, int) else [pair.a],
            "a": facts.row(pair.a).test,
            "b": facts.row(pair.b).test if isinstance(pair.b, int) else None,
            "direction": pair.direction,
            "time_ratio": None if (times := facts.time_ratio(pair)) is None else round(times, 3),
        },
    }


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _unpaired(facts: PublishedStudy, a: int, b: int) -> float:
    from whichtune.stats import unpaired_p

    n = facts.test_examples
    return unpaired_p(facts.right(a), facts.right(b), n, n)


def _check_rows(facts: PublishedStudy, base: int) -> list[CheckedRow]:
    from whichtune.stats import holm

    others = [row.row for row in facts.rows if row.row != base]
    p = [_unpaired(facts, row, base) for row in others]
    return [
        CheckedRow(
            row=row,
            test=facts.test(row),
            difference=round(facts.test(row) - facts.test(base), 2),
            p=raw,
            p_adjusted=adjusted,
            differs=adjusted <= ALPHA,
        )
        for row, raw, adjusted in zip(others, p, holm(p), strict=True)
    ]


def _check_claims(facts: PublishedStudy) -> list[CheckedClaim]:
    from whichtune.stats import holm

    pairs = [(claim, pair, pair.b) for claim in facts.claims for pair in claim.comparisons if isinstance(pair.b, int)]
    p = [_unpaired(facts, pair.a, other) for _, pair, other in pairs]
    checked = []
    for (claim, pair, other), raw, adjusted in zip(pairs, p, holm(p), strict=True):
        a, b = facts.row(pair.a), facts.row(other)
        difference = facts.test(pair.a) - facts.test(other)
        checked.append(
            CheckedClaim(
                point=claim.point,
                text=claim.text,
                a=pair.a,
                b=other,
                difference=round(difference, 2),
                p=raw,
                p_adjusted=adjusted,
                claimed=pair.direction,
                answer=_answer(pair.direction, difference, adjusted),
                time_ratio=a.minutes / b.minutes if a.minutes is not None and b.minutes is not None else None,
                claimed_time_ratio=pair.time_ratio,
            )
        )
    return checked


def _answer(direction: Direction | None, difference: float, p: float) -> Answer:
    """What the counts say. Equality cannot be shown from them, only not contradicted."""
    if direction is None:
        return "about time only"
    if direction == "equal":
        return "contradicted" if p <= ALPHA else "not contradicted"
    if difference == 0 or (difference > 0) != (direction == "better"):
        return "contradicted" if p <= ALPHA else "the table says otherwise"
    return "shown" if p <= ALPHA else "not shown"


def _summary(facts: PublishedStudy, rows: list[CheckedRow], base: int) -> str:
    from whichtune.wording import listing, plural

    differing = [str(row.row) for row in rows if row.differs]
    if not differing:
        found = "no row differs"
    else:
        found = f"only row {differing[0]} differs" if len(differing) == 1 else f"only rows {listing(differing)} differ"
    return (
        f"From the published counts alone ({plural(facts.test_examples, f'test {facts.unit}')}, "
        f"{plural(facts.seeds, 'seed')}, unpaired, Holm-corrected over {plural(len(rows), 'row')}): against row "
        f"{base}, {found}. Predictions were not published, so the pairing is lost; with it, smaller "
        "differences might show. One seed says nothing about how much another would change."
    )
