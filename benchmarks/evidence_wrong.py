"""Estimators that people use and that are wrong, on the same simulated studies: they show that it can tell."""

from __future__ import annotations

import numpy as np

from evidence_simulation import Cell, FloatArray, answers, holm_rows, run_levels
from whichtune.stats.squares import mean_squares, satterthwaite


def _satterthwaite(right: FloatArray, cell: Cell) -> FloatArray:
    """The crossed variance with a t and Satterthwaite's degrees of freedom, each pair alone."""
    from scipy.stats import t

    columns = []
    for a, b in cell.pairs:
        squares = mean_squares(right[:, a].astype(float) - right[:, b].astype(float))
        error, df = satterthwaite(squares)
        ratio = np.divide(np.abs(squares.mean), error, out=np.zeros_like(error), where=error > 0)
        columns.append(2 * t.sf(ratio, df))
    return np.stack(columns, axis=1)


def _pooled_mcnemar(right: FloatArray, cell: Cell) -> FloatArray:
    """Mid-p McNemar on the answers of all seeds put together."""
    return _mcnemar(right, cell)


def _one_seed_mcnemar(right: FloatArray, cell: Cell) -> FloatArray:
    """Mid-p McNemar on the first seed, read as a statement about methods."""
    return _mcnemar(right[:, :, :1], cell)


def _mcnemar(right: FloatArray, cell: Cell) -> FloatArray:
    from scipy.stats import binom

    columns = []
    for a, b in cell.pairs:
        only_a = (right[:, a] > right[:, b]).sum(axis=(1, 2))
        only_b = (right[:, a] < right[:, b]).sum(axis=(1, 2))
        low, n = np.minimum(only_a, only_b), only_a + only_b
        p = 2 * binom.cdf(low, n, 0.5) - binom.pmf(low, n, 0.5)
        columns.append(np.where(only_a == only_b, 1 - 0.5 * binom.pmf(low, n, 0.5), p))
    return np.stack(columns, axis=1)


def _hierarchical_bootstrap(right: FloatArray, cell: Cell, resamples: int = 1000) -> FloatArray:
    """Percentile bootstrap that resamples seeds, then examples; p by the share on the other side of zero."""
    rng = np.random.default_rng(1)
    n_seeds, n_examples = right.shape[2:]
    examples = rng.multinomial(n_examples, np.full(n_examples, 1 / n_examples), resamples) / n_examples
    seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), resamples) / n_seeds
    columns = []
    for a, b in cell.pairs:
        by_seed = np.einsum("ise,re->isr", right[:, a] - right[:, b], examples.astype(np.float32), optimize=True)
        means = np.einsum("isr,rs->ir", by_seed, seeds)
        below, above = (means <= 0).mean(axis=1), (means >= 0).mean(axis=1)
        columns.append(np.minimum(1.0, 2 * np.minimum(below, above)))
    return np.stack(columns, axis=1)


ESTIMATORS = {
    "mid-p McNemar, one seed, read as about methods": _one_seed_mcnemar,
    "mid-p McNemar, seeds pooled": _pooled_mcnemar,
    "hierarchical bootstrap, percentile": _hierarchical_bootstrap,
    "crossed, t with Satterthwaite df": _satterthwaite,
}


def run_estimators(cell: Cell, studies: int, seed: int, batch: int = 100) -> dict[str, dict[str, float]]:
    """Of identical methods, per estimator: false claims of pairs uncorrected, and of studies after Holm."""
    rng = np.random.default_rng(seed)
    counts = {name: [0.0, 0.0] for name in ESTIMATORS}
    for start in range(0, studies, batch):
        n = min(batch, studies - start)
        levels = [
            run_levels(rng, np.full(n, mean), sd, cell.n_seeds)
            for mean, sd in zip(cell.means, cell.seed_sds, strict=True)
        ]
        right = answers(rng, cell, np.stack(levels, axis=1))
        for name, estimator in ESTIMATORS.items():
            p = estimator(right, cell)
            counts[name][0] += float((p <= 0.05).mean(axis=1).sum())
            counts[name][1] += float((holm_rows(p).min(axis=1) <= 0.05).sum())
    return {name: {"one_pair": a / studies, "family": b / studies} for name, (a, b) in counts.items()}
