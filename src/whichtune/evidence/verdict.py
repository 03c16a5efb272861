"""The study's verdict: which row to use, by the printed rule, and what must be read with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from whichtune.evidence import decision_sentences as said
from whichtune.evidence.tuning_sentences import crossing_sentence, tuning_limits, tuning_warnings
from whichtune.evidence.warnings import margin_warning, repeats_warning
from whichtune.metrics import METRICS
from whichtune.stats.answers import Row, TestSet
from whichtune.stats.choice import TARGET_SHARE, Choice, told_apart
from whichtune.stats.correction import holm
from whichtune.stats.crossed import MIN_SEEDS
from whichtune.stats.results import Answer, BeatsWords, CandidateFigures, Comparison, Verdict, in_text
from whichtune.stats.rounds import LEAST_CHANCE, next_round
from whichtune.stats.selection import Candidate, best_on_validation
from whichtune.stats.trials import POINT, Trials
from whichtune.stats.tuning import TuningFigures
from whichtune.study.constraints import violations
from whichtune.study.price import Price, parse_price
from whichtune.study.recorded import Recorded
from whichtune.study.resolved import ResolvedStudy
from whichtune.study.roles import Role
from whichtune.wording import listing, plural

LEAST_SPLITS = 5  # fewer leave the variance between them hardly known


def outside(rows: Iterable[Row], require: Sequence[str]) -> dict[str, list[str]]:
    """Rows that are not recommended, whatever their scores, with what each breaks of what the study requires."""
    return {row.label: broken for row in rows if row.completed and (broken := violations(row.costs, require))}


def candidates(rows: Iterable[Row], metric: str, cost: str, require: Sequence[str] = ()) -> list[Candidate]:
    """Rows that completed with a validation figure (negated where less is better, so that larger is), and keep what is
    required."""
    found, rows = [], list(rows)
    left_out = outside(rows, require)
    for row in (row for row in rows if row.label not in left_out):
        validation = row.mean_metric("validation", metric)
        if row.can(metric) and validation is not None:
            found.append(Candidate(row.label, _sign(metric) * validation, row.costs.get(cost)))
    return found


def _sign(metric: str) -> float:
    return 1.0 if METRICS[metric].higher_is_better else -1.0


def _shown(metric: str, value: float) -> float:
    """A figure as it is told: points, or nats as they are."""
    return value / POINT if METRICS[metric].unit == "points" else value


def fixed_seeds(study: ResolvedStudy) -> list[int] | None:
    """The seeds that p values are of, where seeds were added after figures were seen; None where all are.

    A test is for a number of seeds that nobody chose by what was seen before. Fewer than three allow hardly any test,
    so those that were added to as few count all the same, and that is said.
    """
    if study.decide is not None:
        return study.seeds
    first = study.first_seeds
    return first if first is not None and len(first) >= MIN_SEEDS and set(first) != set(study.seeds) else None


def asked_regret(study: ResolvedStudy) -> float | None:
    """The expected regret in points that a study which decides asks for; None for others."""
    return None if study.decide is None else study.decide.target or TARGET_SHARE * study.margin


def best_row(rows: Iterable[Row], metric: str, cost: str, require: Sequence[str] = ()) -> str | None:
    """The label that is best on validation, None where no row completed and keeps what is required."""
    able = candidates(rows, metric, cost, require)
    return best_on_validation(able).label if able else None


def make_verdict(
    study: ResolvedStudy,
    trials: Trials,
    choice: Choice | None,
    best: str | None,
    baseline: str | None,
    comparisons: Sequence[Comparison],
    tuning: TuningFigures | None = None,
) -> Verdict:
    """Apply the selection rule and put the sentences together. `best` is the row that is best on validation."""
    metric, cost, margin = study.primary_metric, study.selection_cost, study.margin
    left_out = outside(trials.rows.values(), study.require)
    warnings = [
        *_warnings(trials.rows, trials.test, comparisons, margin),
        *_seed_warnings(study, trials),
        *(tuning_warnings(tuning) if tuning else []),
    ]
    blank = Verdict(
        recommended=None,
        best=best,
        baseline=baseline,
        metric=metric,
        margin=margin,
        selection_cost=cost,
        rule=said.rule_text(metric, cost, asked_regret(study) or margin, study.require),
        headline=said.no_verdict(left_out, metric, any(row.completed for row in trials.rows.values())),
        outside=left_out,
        paragraphs=[c.sentence for c in comparisons if c.declared],
        warnings=warnings,
        prior_seed_sd=study.prior_seed_sd,
        prior_weight=study.prior_weight,
    )
    if best is None or trials.test is None:
        return blank
    if choice is None:
        few = f"Use {in_text(best)}, the best on validation: {plural(trials.test.n, 'test example')} decide nothing."
        return blank.model_copy(update={"recommended": best, "headline": few})
    figures = _candidate_figures(choice, trials, metric, cost)
    by_label = {figure.label: figure for figure in figures}
    chosen, leader = by_label[choice.recommended], by_label[choice.leader]
    cheaper = [f for f in figures if f.cost is not None and chosen.cost is not None and f.cost < chosen.cost]
    tuned = _fine_tuned(trials, figures)
    crossings = [crossing_sentence(crossing, metric) for crossing in (tuning.crossings if tuning else [])]
    price = parse_price(study.price) if study.price else None
    words = _against_words(metric, choice, trials, tuned)
    verdict = blank.model_copy(
        update={
            "recommended": choice.recommended,
            "leader": choice.leader,
            "best_fine_tuned": tuned[0].label if tuned else None,
            "best_without_model": words.words if words else None,
            "beats_words": words.standing if words else None,
            "margin_reached": choice.weighed.reached,
            "regret_limit": _shown(metric, choice.weighed.limit),
            "stopped": _stopped(study, choice, trials),
            "seeds_needed": choice.seeds_needed,
            "texts_needed": choice.texts_needed,
            "candidates": figures,
            "undecided_cheaper": [f.label for f in cheaper if f.standing == "undecided"],
            "reasons": [
                *(said.candidate_sentence(metric, figure) for figure in figures),
                *(said.outside_sentence(*each) for each in left_out.items()),
                *crossings,
                *_claim(trials),
            ],
            "against_baseline": _against_baseline(metric, choice.leader, baseline, trials.rows, comparisons),
            "does_not_show": [*_limits(trials, choice), *(tuning_limits(tuning) if tuning else [])],
        }
    )
    return verdict.model_copy(
        update={
            "headline": said.headline(verdict, chosen, leader, bool(cheaper)),
            "answers": _answers(verdict, choice, trials, chosen, leader, tuned, words, price),
        }
    )


def _seed_warnings(study: ResolvedStudy, trials: Trials) -> list[str]:
    """That p values are of some seeds only, where rows have others."""
    fixed = fixed_seeds(study)
    if trials.fixed is not None and all(
        row.seeds == trials.fixed.rows[label].seeds for label, row in trials.rows.items()
    ):
        fixed = None
    return said.seed_warnings(fixed, study.first_seeds)


def _stopped(study: ResolvedStudy, choice: Choice, trials: Trials) -> str | None:
    """Why a study that decides added no more seeds; None where it is another study, or goes on."""
    if study.decide is None:
        return None
    found = next_round(choice.weighed, trials, study.primary_metric, study.decide.max_seeds)
    target = said.amount(study.primary_metric, _shown(study.primary_metric, choice.weighed.target))
    return said.stopped(found.reason, target, study.decide, choice.texts_needed)


def _candidate_figures(choice: Choice, trials: Trials, metric: str, cost: str) -> list[CandidateFigures]:
    """Every row that was judged, the cheapest first."""
    figures, sign = [], _sign(metric)
    adjusted = _not_worse(choice, trials, metric, cost)
    for label, placed in choice.placed.items():
        row, against = trials.rows[label], None
        if label != choice.leader:
            against = trials.tested(label, choice.leader, metric)
        test = float(trials.seen(metric, [label])[0].scores.per_seed.mean())
        validation = row.mean_metric("validation", metric)
        enough = placed.expected_regret <= choice.weighed.limit
        worse = "undecided" if placed.p_within >= LEAST_CHANCE else "shown worse"
        figures.append(
            CandidateFigures(
                label=label,
                standing="best" if label == choice.leader else "good enough" if enough else worse,
                validation=None if validation is None else _shown(metric, validation),
                test=_shown(metric, sign * test),
                cost=row.costs.get(cost),
                difference=None if against is None else _shown(metric, against.difference),
                lower_bound=None
                if against is None or against.interval_90 is None
                else _shown(metric, against.interval_90[0 if sign > 0 else 1]),
                p=adjusted.get(label, (None, None))[0],
                p_adjusted=adjusted.get(label, (None, None))[1],
                expected_regret=_shown(metric, placed.expected_regret),
                regret_bound=_shown(metric, placed.regret_bound),
                p_best=placed.p_best,
                p_within=placed.p_within,
                p_new_run=choice.new_run.get((label, choice.leader)),
                ranks=placed.ranks,
                tie_group=placed.tie_group,
            )
        )
    infinite = float("inf")
    return sorted(figures, key=lambda f: (infinite if f.cost is None else f.cost, f.label))


def _not_worse(choice: Choice, trials: Trials, metric: str, cost: str) -> dict[str, tuple[float, float]]:
    """Of each row that costs less than the leader: p of "worse than it by the margin or more", raw and by Holm."""
    dear = trials.rows[choice.leader].costs.get(cost)
    found = {}
    for label in choice.placed:
        own = trials.rows[label].costs.get(cost)
        if label == choice.leader or own is None or dear is None or own >= dear:
            continue
        pair = (label, choice.leader) if METRICS[metric].higher_is_better else (choice.leader, label)
        test = trials.tested(*pair, metric)
        if test is not None and test.p_not_worse is not None:
            found[label] = test.p_not_worse
    return dict(zip(found, zip(found.values(), holm(list(found.values())), strict=True), strict=True))


def _fine_tuned(trials: Trials, figures: Sequence[CandidateFigures]) -> list[CandidateFigures]:
    """Rows with a language model, that of the least expected regret first; those that saw no example in training, as
    a model that is asked as it is, where there are no others."""
    able = [figure for figure in figures if trials.rows[figure.label].role is not Role.BASELINE]
    trained = [figure for figure in able if trials.rows[figure.label].median_count("examples_seen") != 0]
    able = trained or able
    return sorted(able, key=lambda figure: (figure.expected_regret or 0.0, figure.label))


def _answers(
    verdict: Verdict,
    choice: Choice,
    trials: Trials,
    chosen: CandidateFigures,
    leader: CandidateFigures,
    tuned: Sequence[CandidateFigures],
    words: AgainstWords | None,
    price: Price | None,
) -> list[Answer]:
    metric = verdict.metric
    ahead = choice.new_run.get((tuned[0].label, tuned[1].label)) if len(tuned) > 1 else None
    close = [f.label for f in verdict.candidates if f.label != chosen.label and (f.p_within or 0.0) >= LEAST_CHANCE]
    found: list[tuple[str, str | None]] = [
        ("fine_tuning", said.best_fine_tuned(metric, tuned, ahead)),
        ("cheapest", said.cheapest(verdict, chosen, leader)),
        ("words", None if words is None else _words_sentence(metric, words)),
        ("sure", said.how_sure(verdict, chosen, close)),
        ("surer", _surer(verdict, choice, trials, chosen, price)),
    ]
    return [Answer.model_validate({"question": name, "sentence": text}) for name, text in found if text is not None]


@dataclass(frozen=True)
class AgainstWords:
    """The best fine-tuned row against the best row without a language model. `gap` is in favour of the former, with
    its interval; `shown` whether the two are told apart."""

    tuned: str | None
    words: str
    gap: float | None = None
    span: list[float] | None = None
    shown: bool = False

    @property
    def standing(self) -> BeatsWords | None:
        if self.gap is None:
            return None
        return "not_shown" if not self.shown else "ahead" if self.gap > 0 else "behind"


def _against_words(
    metric: str, choice: Choice, trials: Trials, tuned: Sequence[CandidateFigures]
) -> AgainstWords | None:
    free = [label for label in choice.placed if trials.rows[label].role is Role.BASELINE]
    if not free:
        return None
    words = min(free, key=lambda label: (choice.placed[label].expected_regret, label))
    if not tuned:
        return AgainstWords(None, words)
    pair = (tuned[0].label, words) if METRICS[metric].higher_is_better else (words, tuned[0].label)
    test = trials.tested(*pair, metric)
    if test is None:
        return AgainstWords(tuned[0].label, words)
    apart = {frozenset(pair) for pair in told_apart(trials, metric, list(choice.placed))}
    span = None if test.interval is None else [_shown(metric, end) for end in test.interval]
    return AgainstWords(tuned[0].label, words, _shown(metric, test.difference), span, frozenset(pair) in apart)


def _words_sentence(metric: str, words: AgainstWords) -> str | None:
    return said.against_words(metric, words.tuned, words.words, words.gap, words.span, words.shown)


def _surer(verdict: Verdict, choice: Choice, trials: Trials, chosen: CandidateFigures, price: Price | None) -> str:
    drawing = [row for label, row in trials.rows.items() if label in choice.placed and not row.deterministic]
    seeds = max((len(row.seeds) for row in drawing), default=0)
    spent = [seconds for row in drawing if (seconds := row.median_seconds()) is not None]
    texts = trials.test.n if trials.test is not None else 0
    target = _shown(verdict.metric, choice.weighed.target)
    return said.surer(verdict, target, seeds, texts, sum(spent) if spent else None, chosen.expected_regret, price)


def _against_baseline(
    metric: str, leader: str, baseline: str | None, rows: Mapping[str, Row], comparisons: Sequence[Comparison]
) -> str | None:
    if baseline is None:
        return None
    if leader == baseline:
        kind = "a row without a language model" if rows[leader].role is Role.BASELINE else "the baseline"
        return f"{in_text(leader)}, {kind}, is itself the best row."
    for comparison in comparisons:
        if {comparison.a, comparison.b} == {leader, baseline} and comparison.metric == metric:
            return comparison.sentence
    return None


def _warnings(
    rows: Mapping[str, Row], test: TestSet | None, comparisons: Sequence[Comparison], margin: float
) -> list[str]:
    """What a reader must know before the verdict."""
    warnings = []
    failed = [row for row in rows.values() if row.failed]
    for row in failed:
        total = len(row.failed) + len(row.completed)
        warnings.append(f"{len(row.failed)} of {plural(total, 'run')} of {in_text(row.label)} did not complete.")
    if test is None:
        return warnings
    seeds = max((len(row.answers) for row in rows.values() if not row.deterministic), default=0)
    if seeds == 1:
        warnings.append(
            "One seed: how much another seed would change the figures is unknown, so trained models are "
            "compared, not methods."
        )
    elif test.test_by_train is not None:
        if seeds < LEAST_SPLITS:
            warnings.append(
                f"{seeds} splits: how much another split would change the figures is hardly known, so intervals are "
                f"wide; {LEAST_SPLITS} splits or more show more."
            )
    elif seeds == 2:
        warnings.append(
            "Two seeds: intervals and tests of methods rest on what is believed of seed noise beforehand, too; three "
            "seeds need no such belief."
        )
    found = [margin_warning(comparisons, test.n, margin), repeats_warning(test)]
    warnings += [sentence for sentence in found if sentence is not None]
    return warnings


def _claim(trials: Trials) -> list[str]:
    """What is said beyond a study of one split, where each seed has a split of its own."""
    if trials.test is None or trials.test.test_by_train is None:
        return []
    return [
        "Each seed has its own split, so figures hold for new seeds, new examples and other training texts of this "
        "size: a stronger claim than that of one split."
    ]


def _limits(trials: Trials, choice: Choice) -> list[str]:
    """What the verdict does not show, so that it is not taken for more."""
    limits, rows = [], trials.rows
    if trials.test is not None and trials.test.test_by_train is not None:
        limits.append("Another data set or model may order the rows differently.")
    else:
        if any(len(row.seeds) > 1 for row in rows.values()):
            limits.append("Statements about methods hold for new seeds and new examples, with this training split.")
        limits.append("Another training split, data set or model may order the rows differently.")
    untuned = [
        in_text(row.label)
        for row in rows.values()
        if row.role is not Role.BASELINE
        and any(Recorded.of(run.spec).learning_rate_source == "card" for run in row.completed.values())
    ]
    if untuned:
        which = listing(untuned)
        limits.append(
            f"The learning rate of {which} is the method's default, not tuned on this data: a tuned one may do better."
        )
    if len(choice.placed) > 1:
        limits.append(
            f"{in_text(choice.recommended)} was chosen by figures on these test texts, so its own figure may owe a "
            "little to luck."
        )
    return limits
