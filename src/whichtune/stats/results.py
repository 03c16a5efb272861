"""What the statistics leave in `summary.json`: frozen, JSON-serialisable, readable without scipy.

Two scales, each said in its field: metrics of runs and methods are fractions, as in the records;
differences of comparisons and candidates are in points (0.01 of a fraction), as readers speak of them.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from whichtune.stats.growth import LearningFigures
from whichtune.stats.tuning import TuningFigures
from whichtune.study.published import Published

Verdict4 = Literal["better", "worse", "equivalent", "undecided", "not_tested"]
BeatsWords = Literal["ahead", "behind", "not_shown"]
Span = tuple[float, float]
RankSpan = tuple[int, int]


def in_text(label: str) -> str:
    """A label as it stands in a sentence: quoted where a comma or a space would make it unclear."""
    return f"'{label}'" if any(mark in label for mark in " ,;:") else label


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RunFigures(_Result):
    """Intervals of one run on the test split, as fractions (loss in nats), for new examples."""

    run_id: str
    label: str
    seed: int | None
    n: int
    accuracy: float | None = None
    accuracy_interval: Span | None = Field(default=None, description="Wilson, 95 %")
    f1_macro: float | None = None
    f1_macro_interval: Span | None = Field(
        default=None, description="BCa bootstrap, 95 %; null where no answer is wrong"
    )
    loss: float | None = None
    loss_interval: Span | None = Field(default=None, description="BCa bootstrap, 95 %")
    figures: dict[str, float] = Field(default={}, description="of written texts: ROUGE, and the loss of a token")
    intervals: dict[str, Span | None] = Field(default={}, description="of these figures, BCa bootstrap, 95 %")


class MethodFigures(_Result):
    """One label over its seeds, primary metric, as fractions."""

    label: str
    role: str
    method: str
    metric: str
    seeds: list[int | None]
    failed: int = Field(default=0, description="runs that did not complete")
    validation: float | None = Field(default=None, description="mean over seeds")
    test: float | None = Field(default=None, description="mean over seeds")
    test_by_seed: list[float] = []
    seed_sd: float | None = Field(default=None, description="standard deviation of the test figure over seeds")
    interval: Span | None = Field(default=None, description="95 %; with two seeds it also rests on the verdict's prior")
    interval_holds_for: (
        Literal[
            "new seeds and new examples", "this trained model and new examples", "new splits, training texts included"
        ]
        | None
    ) = None
    costs: dict[str, float | None] = Field(default={}, description="medians over seeds")


class Power(_Result):
    """What could have been shown, in points, with a chance of 70 to 80 % at the corrected level `alpha`."""

    alpha: float
    detectable: float | None = Field(default=None, description="smallest true difference that would be shown")
    target: float = Field(default=1.0, description="the difference that the next two are for")
    examples_needed: int | None = Field(
        default=None, description="test examples, seeds as they are; null: none would do"
    )
    seeds_needed: int | None = Field(default=None, description="seeds, test set as it is; null: none would do")


class WithoutDuplicates(_Result):
    """The test of a pair on the examples that are not also in train."""

    n_examples: int
    difference: float
    interval: Span = Field(description="95 %")
    p: float = Field(description="uncorrected")
    p_adjusted: float | None = Field(default=None, description="corrected as the pair on all examples is")


class Comparison(_Result):
    """One pair: `a` against `b`. A positive difference means that `a` has the larger figure."""

    a: str
    b: str
    metric: str
    unit: Literal["points", "nats", "units"] = "points"
    difference: float | None = Field(default=None, description="mean over the common seeds, in `unit`")
    interval: Span | None = Field(default=None, description="95 %, of this pair alone, in `unit`")
    interval_90: Span | None = Field(default=None, description="90 %: within the margin where equivalence is shown")
    p: float | None = Field(default=None, description="of no difference, two-sided, uncorrected")
    p_adjusted: float | None = Field(default=None, description="corrected over the pairs of its family")
    p_equivalence: float | None = Field(default=None, description="of a difference of the margin or more")
    p_equivalence_adjusted: float | None = Field(
        default=None, description="Holm over the family's claims of equivalence, apart from those of a difference"
    )
    correction: str | None = Field(default=None, description="how p was corrected")
    verdict: Verdict4
    within_margin: bool = Field(default=False, description="shown to be smaller than the margin, whatever the verdict")
    margin: float | None = None
    cost_ratios: dict[str, float | None] = Field(default={}, description="a divided by b, medians over seeds")
    agrees_with_published: bool | None = Field(default=None, description="null: nothing published, or left open")
    sentence: str = ""
    test: str = "none"
    holds_for: Literal["methods", "models", "splits"] | None = Field(
        default=None,
        description="methods: new seeds and examples; models: these two trained models, new examples; splits: new "
        "seeds, examples and training texts",
    )
    a_figure: float | None = Field(default=None, description="mean over the common seeds, in percent or nats")
    b_figure: float | None = None
    seeds: list[int | None] = []
    a_by_seed: list[float] = []
    b_by_seed: list[float] = []
    n_examples: int = 0
    seed_sd: float | None = Field(default=None, description="of the true difference from seed to seed")
    seed_error: float | None = Field(default=None, description="the seeds' part of the standard error")
    test_set_error: float | None = Field(default=None, description="the test set's part of the standard error")
    only_a_right: int | None = None
    only_b_right: int | None = None
    power: Power | None = None
    family: int = Field(default=0, description="pairs that the correction counts")
    declared: bool = True
    chosen: bool = Field(default=False, description="picked after seeing validation, so corrected for the choice")
    factor: str | None = None
    differs: list[str] = Field(default=[], description="what differs between the two, in words")
    confounds: list[str] = Field(default=[], description="what differs beside the named factor, in words")
    claim: str | None = None
    published: Published | None = None
    without_duplicates: WithoutDuplicates | None = Field(
        default=None,
        description="the same without test examples that stand in train, where that changes the answer",
    )
    notes: list[str] = []


class CandidateFigures(_Result):
    """One line of the selection: the figures by which the rule judged it."""

    label: str
    standing: str
    validation: float | None = Field(default=None, description="mean over seeds, in percent")
    test: float | None = Field(default=None, description="mean over seeds, in percent")
    cost: float | None = Field(description="median over seeds of the chosen cost")
    difference: float | None = Field(default=None, description="test figure minus that of the leader, in points")
    lower_bound: float | None = Field(
        default=None, description="one-sided 95 % bound of the difference on its worse side, uncorrected"
    )
    p: float | None = Field(default=None, description="of being worse than the leader by the margin or more")
    p_adjusted: float | None = Field(default=None, description="Holm over the cheaper candidates")
    expected_regret: float | None = Field(
        default=None, description="what choosing this row is expected to cost against the truly best, in points"
    )
    regret_bound: float | None = Field(default=None, description="it costs at most so much, with a chance of 95 %")
    p_best: float | None = Field(default=None, description="chance to be truly the best")
    p_within: float | None = Field(default=None, description="chance to be within the margin of the truly best")
    p_new_run: float | None = Field(
        default=None, description="chance that a new run of it is truly better than a new run of the leader"
    )
    ranks: RankSpan | None = Field(default=None, description="lowest and highest rank that are not ruled out")
    tie_group: int | None = Field(default=None, description="rows of one number are not told apart from its first")


class Answer(_Result):
    """One of the questions that a study is made for, answered in a sentence."""

    question: Literal["fine_tuning", "cheapest", "words", "sure", "surer"]
    sentence: str


class Question(_Result):
    """What two rows are compared for, and the answer in one sentence with its figures."""

    topic: str = Field(
        description="layers, probe, adapter, method, words or declared, else the setting that differs, in words"
    )
    question: str = Field(description="as it stands over the answer")
    sentence: str
    comparison: Comparison


class Verdict(_Result):
    """The written answer and what it rests on."""

    recommended: str | None
    best: str | None = Field(description="highest on validation")
    leader: str | None = Field(default=None, description="the row with the least expected regret")
    best_fine_tuned: str | None = Field(default=None, description="the same among rows with a language model")
    best_without_model: str | None = Field(default=None, description="the same among rows without one")
    beats_words: BeatsWords | None = Field(
        default=None, description="where the best fine-tuned row stands against the best without a language model"
    )
    margin_reached: bool | None = Field(
        default=None, description="whether the recommended row is expected to cost at most the margin"
    )
    regret_limit: float | None = Field(
        default=None, description="expected regret that the recommended row may have, in points: the margin or less"
    )
    stopped: str | None = Field(default=None, description="why a study that decides added no more seeds")
    answers: list[Answer] = []
    seeds_needed: int | None = Field(
        default=None, description="seeds of each row that would bring the expected regret to a quarter of the margin"
    )
    texts_needed: int | None = Field(default=None, description="test texts that would")
    prior_seed_sd: float | None = Field(
        default=None, description="seed noise that is believed beforehand, a standard deviation in points"
    )
    prior_weight: float | None = Field(default=None, description="how many degrees of freedom that is worth")
    baseline: str | None
    metric: str
    margin: float
    selection_cost: str
    rule: str
    headline: str
    reasons: list[str] = []
    candidates: list[CandidateFigures] = []
    undecided_cheaper: list[str] = []
    outside: dict[str, list[str]] = Field(
        default={}, description="rows that may not be recommended, with what each breaks of what the study requires"
    )
    against_baseline: str | None = Field(default=None, description="the paragraph on best against baseline")
    paragraphs: list[str] = Field(default=[], description="one for each declared pair")
    warnings: list[str] = Field(default=[], description="to be read before the verdict")
    does_not_show: list[str] = []


class Evidence(_Result):
    """Everything that the statistics add to a study."""

    comparisons: list[Comparison]
    verdict: Verdict
    questions: list[Question] = []
    runs: list[RunFigures]
    per_method: list[MethodFigures]
    tuning: TuningFigures | None = Field(default=None, description="the search for settings; null: there was none")
    learning: LearningFigures | None = Field(default=None, description="learning curves; null: no sizes were varied")
