"""Two things that `simulate_evidence.py` leaves out: macro F1, and rows picked by their validation figures.

    python benchmarks/simulate_evidence_more.py --studies 2000

writes evidence-more.md and takes some minutes on one core. Exits with 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import numpy as np  # noqa: E402

from evidence_simulation import MARGIN, Cell, all_tests, draw  # noqa: E402
from whichtune.metrics import METRICS  # noqa: E402
from whichtune.stats import Candidate, StudyNoise, class_scores, compare_scores, select  # noqa: E402
from whichtune.stats.crossed import CrossedTest, Reference, mean_squares  # noqa: E402
from whichtune.stats.pairs import pooled_noise  # noqa: E402
from whichtune.stats.scores import Scores  # noqa: E402

VALIDATION = 150
TARGET = 0.056


def crossed(a: Scores, b: Scores, noise: StudyNoise) -> CrossedTest:
    """The test that `compare_scores` makes, without the intervals and forecasts that take most of its time."""
    squares = mean_squares(a.values - b.values)
    return CrossedTest(squares, Reference.of(squares, pooled_noise(squares, (a, b), noise)))


def f1_rates(cell: Cell, positives: float, studies: int, seed: int) -> dict[str, float]:
    """Error rates for macro F1 of two classes; the methods are identical, so every difference is false."""
    rng = np.random.default_rng(seed)
    count = {"family_wise": 0.0, "coverage": 0.0, "one_model": 0.0}
    for _ in range(studies):
        right = draw(rng, cell, 1)[0]
        labels = (rng.random(cell.n_examples) < positives).astype(np.int64)
        methods = [class_scores(METRICS["f1_macro"], labels, np.where(rows, labels, 1 - labels), 2) for rows in right]
        noise = StudyNoise.of(methods)
        p = np.array([float(crossed(methods[a], methods[b], noise).p_difference()) for a, b in cell.pairs])
        count["family_wise"] += float(p.min() * len(p) <= 0.05)
        count["coverage"] += float((p > 0.05).mean())
        first, second = (Scores(methods[i].values[:1], methods[i].weight) for i in (0, 1))
        count["one_model"] += float((compare_scores(first, second, None, False).p or 1.0) <= 0.05)
    return {key: value / studies for key, value in count.items()}


def picked_rates(cell: Cell, studies: int, seed: int, batch: int = 100) -> float:
    """Share of studies in which the best on validation is called different from another of six alike rows.

    Validation and test are answered by the same runs, so the pick favours lucky seeds. The correction
    counts all 15 pairs, as whichtune does.
    """
    rng = np.random.default_rng(seed)
    wide = Cell(cell.name, cell.means, cell.seed_sds, cell.n_seeds, cell.n_examples + VALIDATION)
    false = 0
    for start in range(0, studies, batch):
        right = draw(rng, wide, min(batch, studies - start))
        best = right[..., :VALIDATION].mean(axis=(2, 3)).argmax(axis=1)
        p = np.stack([t.p_difference() for t in all_tests(right[..., VALIDATION:], cell)], axis=1)
        involves_best = np.array([[pick in pair for pair in cell.pairs] for pick in best])
        false += int((np.where(involves_best, p, 1.0).min(axis=1) * len(cell.pairs) <= 0.05).sum())
    return false / studies


def selection_rates(cell: Cell, studies: int, seed: int) -> dict[str, float]:
    """Share of studies that recommend a cheaper row although it is worse by exactly the margin.

    The last row is dear and best; the five others are cheaper and worse by the margin.
    """
    rng = np.random.default_rng(seed)
    wrong = 0
    for _ in range(studies):
        tables = [Scores(rows.astype(float), 1.0) for rows in draw(rng, cell, 1)[0]]
        noise = StudyNoise.of(tables)
        rows = [Candidate(str(i), 1.0 if i == 5 else 0.5, float(i)) for i in range(6)]
        p = {str(i): float(crossed(tables[i], tables[5], noise).p_above(-MARGIN)) for i in range(5)}
        wrong += select(rows, p).recommended != "5"
    return {"wrong": wrong / studies}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=HERE)
    arguments = parser.parse_args()
    lines = [
        "# Evidence: macro F1 and picked rows",
        "",
        f"Made by `python benchmarks/simulate_evidence_more.py --studies {arguments.studies}`; "
        f"{arguments.studies:,} studies a line, accuracy 95 %. Targets: false claims in at most 5.6 % of studies, "
        "coverage at least 93 %.",
        "",
        "## Macro F1 of six identical methods, all 15 pairs",
        "",
        "| share of positives | seed SD | seeds | examples | false claims, corrected, % | coverage, % | "
        "one model each, seeds ignored: false, % |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    missed = []
    for positives, sd, n_seeds, n in (
        (0.13, 0.0, 3, 300),
        (0.13, 0.0, 5, 300),
        (0.13, 0.02, 3, 300),
        (0.5, 0.01, 5, 300),
    ):
        cell = Cell("", (0.95,) * 6, (sd,) * 6, n_seeds, n)
        rates = f1_rates(cell, positives, max(1, arguments.studies // 2), seed=21)
        figures = " | ".join(f"{100 * rates[key]:.1f}" for key in ("family_wise", "coverage", "one_model"))
        lines.append(f"| {100 * positives:g} % | {100 * sd:g} | {n_seeds} | {n} | {figures} |")
        print(lines[-1], flush=True)
        if rates["family_wise"] > TARGET or rates["coverage"] < 0.93:
            missed.append(lines[-1])
    lines += ["", "## The best of six identical rows on validation against the others", ""]
    lines += ["| seed SD | seeds | false claims, corrected, % |", "| --- | --- | --- |"]
    for sd in (0.0, 0.01, 0.02, 0.04):
        for n_seeds in (3, 5):
            rate = picked_rates(Cell("", (0.95,) * 6, (sd,) * 6, n_seeds), arguments.studies, seed=22)
            lines.append(f"| {100 * sd:g} | {n_seeds} | {100 * rate:.1f} |")
            print(lines[-1], flush=True)
            if rate > TARGET:
                missed.append(lines[-1])
    lines += ["", "## A cheaper row that is worse by exactly the margin of 1 point, recommended all the same", ""]
    lines += ["| seed SD | seeds | examples | studies, % |", "| --- | --- | --- | --- |"]
    for sd, n_seeds, n in ((0.0, 3, 300), (0.0, 5, 3000), (0.005, 3, 3000), (0.005, 5, 3000)):
        cell = Cell("", (0.94,) * 5 + (0.95,), (sd,) * 6, n_seeds, n)
        rate = selection_rates(cell, max(1, arguments.studies // 4), seed=23)["wrong"]
        lines.append(f"| {100 * sd:g} | {n_seeds} | {n:,} | {100 * rate:.1f} |")
        print(lines[-1], flush=True)
        if rate > TARGET + 0.02:  # a quarter of the studies: twice the Monte Carlo error is 2 points
            missed.append(lines[-1])
    (arguments.out / "evidence-more.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(missed) or "all targets met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
