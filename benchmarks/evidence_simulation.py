"""Simulated studies with a known truth, and what the tests of whichtune and others say about them.

An example's difficulty is normal on the logit scale; a run (one method, one seed) has an ability drawn so
that its true accuracy has a Beta distribution with the given mean and standard deviation: mostly near
the mean, now and then clearly worse, as training runs are. An answer is right with the logistic
probability of ability plus easiness. Everything is drawn from one seeded generator.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import expit

from whichtune.stats.crossed import CrossedTest, Reference, mean_squares, own_noise, satterthwaite, seed_noise

MARGIN = 0.01
SPREAD = 5.0  # standard deviation of difficulty in logits: two runs at 95 % disagree on 3 to 4 % of examples
WIDTH_STUDIES = 40


@dataclass(frozen=True)
class Cell:
    """One kind of study. `means` and `seed_sds` give each method's true accuracy and its spread over seeds.

    `own_items` is the share of an example's difficulty that is the method's own. `sparse` turns the
    first method's deficit into examples that it gets wrong with every seed. `baseline` makes the last
    method deterministic (its seed SD must be 0) and compares all others with it.
    """

    name: str
    means: tuple[float, ...]
    seed_sds: tuple[float, ...]
    n_seeds: int
    n_examples: int = 300
    own_items: float = 0.0
    sparse: bool = False
    baseline: bool = False
    outcome: str = "difference"  # or "equivalence": which false claim is counted

    @property
    def pairs(self) -> list[tuple[int, int]]:
        last = len(self.means) - 1
        if self.baseline:
            return [(i, last) for i in range(last)]
        if self.outcome == "equivalence":
            return [(0, i) for i in range(1, last + 1)]
        return list(itertools.combinations(range(last + 1), 2))


@lru_cache
def _accuracy_of_ability() -> tuple[np.ndarray, np.ndarray]:
    ability = np.linspace(-40, 40, 1601)
    nodes, weights = np.polynomial.hermite_e.hermegauss(199)
    return ability, expit(ability[:, None] + SPREAD * nodes) @ (weights / weights.sum())


def draw(rng: np.random.Generator, cell: Cell, studies: int) -> np.ndarray:
    """Right answers `(studies, methods, seeds, examples)` as 0 and 1."""
    ability, accuracy = _accuracy_of_ability()
    n_methods = len(cell.means)
    runs = np.empty((studies, n_methods, cell.n_seeds))
    for method, (mean, sd) in enumerate(zip(cell.means, cell.seed_sds, strict=True)):
        mean = cell.means[-1] if cell.sparse else mean
        level = np.full((studies, cell.n_seeds), mean)
        if sd > 0:
            strength = mean * (1 - mean) / sd**2 - 1
            level = rng.beta(mean * strength, (1 - mean) * strength, (studies, cell.n_seeds))
        runs[:, method] = np.interp(level, accuracy, ability)
    common = np.sqrt(1 - cell.own_items) * SPREAD
    ease = rng.normal(0, common, (studies, 1, 1, cell.n_examples))
    if cell.own_items > 0:
        ease = ease + rng.normal(0, np.sqrt(cell.own_items) * SPREAD, (studies, n_methods, 1, cell.n_examples))
    right = rng.random((studies, n_methods, cell.n_seeds, cell.n_examples)) < expit(runs[..., None] + ease)
    if cell.baseline:
        right[:, -1] = right[:, -1, :1]
    if cell.sparse:
        lost = rng.random((studies, 1, cell.n_examples)) < (cell.means[-1] - cell.means[0]) / cell.means[-1]
        right[:, 0] &= ~lost
    return right


def all_tests(right: np.ndarray, cell: Cell, pooled: bool = True, first: int | None = None) -> list[CrossedTest]:
    """whichtune's test of each (or the `first` few) pairs, for all studies at once.

    `pooled=False` uses the seed noise of each pair alone.
    """
    by_seed = right.mean(axis=-1).var(axis=-1, ddof=1)
    drawing = [m for m in range(len(cell.means)) if not (cell.baseline and m == len(cell.means) - 1)]
    tests = []
    for a, b in cell.pairs[:first]:
        squares = mean_squares(right[:, a].astype(float) - right[:, b].astype(float))
        noise = own_noise(squares)
        if pooled:
            sides = 1 if cell.baseline else 2
            degrees = [cell.n_seeds - 1] * len(drawing)
            noise = seed_noise(squares, by_seed[:, [a, b]], np.full(len(right), sides), by_seed[:, drawing], degrees)
        tests.append(CrossedTest(squares, Reference.of(squares, noise)))
    return tests


def run_cell(cell: Cell, studies: int, seed: int, batch: int = 200) -> dict[str, float]:
    """Error rates of whichtune's procedure in one kind of study.

    `family_wise`: share of studies with a false claim of the cell's kind after correction; `one_pair`:
    share of uncorrected pairs; `coverage` of the 95 % intervals; `width`: their median in points. The
    first step of the correction decides whether there is any false claim. Claims of the other kind in the
    same family can only make it stricter, so leaving them out counts too many false claims, never too few.
    """
    rng = np.random.default_rng(seed)
    truth = [cell.means[a] - cell.means[b] for a, b in cell.pairs]
    count = {"family_wise": 0, "one_pair": 0.0, "coverage": 0.0, "discordant": 0.0}
    widths: list[float] = []
    for start in range(0, studies, batch):
        n = min(batch, studies - start)
        right = draw(rng, cell, n)
        tests = all_tests(right, cell)
        if cell.outcome == "difference":
            false = np.stack([t.p_difference() for t in tests], axis=1)
        else:
            false = np.stack([t.p_equivalence(MARGIN) for t in tests], axis=1)
        count["one_pair"] += float((false <= 0.05).mean(axis=1).sum())
        count["family_wise"] += float((false.min(axis=1) * len(tests) <= 0.05).sum())
        covered = false > 0.05
        if cell.outcome == "equivalence":
            covered = np.stack([t.p_difference(d) > 0.05 for t, d in zip(tests, truth, strict=True)], axis=1)
        count["coverage"] += float(covered.mean(axis=1).sum())
        count["discordant"] += float((right[:, 0] != right[:, 1]).mean(axis=(1, 2)).sum())
        if len(widths) < WIDTH_STUDIES:
            low, high = tests[0].interval()
            widths += list(100 * (high - low))
    return {key: value / studies for key, value in count.items()} | {"width": float(np.median(widths))}


# -- estimators that must fail the same check ----------------------------------------------------------


def p_satterthwaite(right: np.ndarray, cell: Cell) -> np.ndarray:
    """The same variance with a t and Satterthwaite's degrees of freedom, each pair alone."""
    from scipy.stats import t

    columns = []
    for a, b in cell.pairs:
        squares = mean_squares(right[:, a].astype(float) - right[:, b].astype(float))
        error, df = satterthwaite(squares)
        ratio = np.divide(np.abs(squares.mean), error, out=np.zeros_like(error), where=error > 0)
        columns.append(2 * t.sf(ratio, df))
    return np.stack(columns, axis=1)


def p_pair_alone(right: np.ndarray, cell: Cell) -> np.ndarray:
    """Two parts, but seed noise from the pair alone: honest, with hardly any power at 3 seeds."""
    return np.stack([t.p_difference() for t in all_tests(right, cell, pooled=False)], axis=1)


def p_pooled_mcnemar(right: np.ndarray, cell: Cell) -> np.ndarray:
    """Mid-p McNemar on the answers of all seeds put together."""
    return _mcnemar(right, cell)


def p_one_seed_mcnemar(right: np.ndarray, cell: Cell) -> np.ndarray:
    """Mid-p McNemar on the first seed, read as a statement about methods."""
    return _mcnemar(right[:, :, :1], cell)


def _mcnemar(right: np.ndarray, cell: Cell) -> np.ndarray:
    from scipy.stats import binom

    columns = []
    for a, b in cell.pairs:
        only_a = (right[:, a] & ~right[:, b]).sum(axis=(1, 2))
        only_b = (~right[:, a] & right[:, b]).sum(axis=(1, 2))
        low, n = np.minimum(only_a, only_b), only_a + only_b
        p = 2 * binom.cdf(low, n, 0.5) - binom.pmf(low, n, 0.5)
        columns.append(np.where(only_a == only_b, 1 - 0.5 * binom.pmf(low, n, 0.5), p))
    return np.stack(columns, axis=1)


def p_hierarchical_bootstrap(right: np.ndarray, cell: Cell, resamples: int = 1000) -> np.ndarray:
    """Percentile bootstrap that resamples seeds, then examples; p by the share on the other side of zero."""
    rng = np.random.default_rng(1)
    n_seeds, n_examples = right.shape[2:]
    examples = rng.multinomial(n_examples, np.full(n_examples, 1 / n_examples), resamples) / n_examples
    seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), resamples) / n_seeds
    columns = []
    for a, b in cell.pairs:
        table = right[:, a].astype(np.float32) - right[:, b].astype(np.float32)
        by_seed = np.einsum("ise,re->isr", table, examples.astype(np.float32), optimize=True)
        means = np.einsum("isr,rs->ir", by_seed, seeds)
        below = (means <= 0).mean(axis=1)
        above = (means >= 0).mean(axis=1)
        columns.append(np.minimum(1.0, 2 * np.minimum(below, above)))
    return np.stack(columns, axis=1)


ESTIMATORS = {
    "mid-p McNemar, one seed, read as about methods": p_one_seed_mcnemar,
    "mid-p McNemar, seeds pooled": p_pooled_mcnemar,
    "hierarchical bootstrap, percentile": p_hierarchical_bootstrap,
    "crossed, t with Satterthwaite df": p_satterthwaite,
    "crossed, pair alone": p_pair_alone,
}


def run_estimators(cell: Cell, studies: int, seed: int, batch: int = 100) -> dict[str, dict[str, float]]:
    """Per estimator: `one_pair` false claims (1 - coverage of no difference) and `family_wise` after Holm."""
    rng = np.random.default_rng(seed)
    counts = {name: [0.0, 0.0] for name in ESTIMATORS}
    for start in range(0, studies, batch):
        right = draw(rng, cell, min(batch, studies - start))
        for name, estimator in ESTIMATORS.items():
            p = estimator(right, cell)
            counts[name][0] += float((p <= 0.05).mean(axis=1).sum())
            counts[name][1] += float((p.min(axis=1) * p.shape[1] <= 0.05).sum())
    return {name: {"one_pair": a / studies, "family_wise": b / studies} for name, (a, b) in counts.items()}


def run_power(cell: Cell, studies: int, seed: int, batch: int = 200) -> dict[str, float]:
    """Share of studies that show the first method's difference from the second, alone and in the family."""
    rng = np.random.default_rng(seed)
    shown = {"alone": 0.0, "corrected": 0.0, "pair_alone": 0.0}
    for start in range(0, studies, batch):
        right = draw(rng, cell, min(batch, studies - start))
        p = all_tests(right, cell, first=1)[0].p_difference()
        shown["alone"] += float((p <= 0.05).sum())
        shown["corrected"] += float((p * len(cell.pairs) <= 0.05).sum())
        own = all_tests(right, cell, pooled=False, first=1)[0].p_difference()
        shown["pair_alone"] += float((own * len(cell.pairs) <= 0.05).sum())
    return {key: value / studies for key, value in shown.items()}
