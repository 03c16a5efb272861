"""What `--decide` gives: runs made and regret, against a fixed number of seeds on the same draws.

    python benchmarks/simulate_decide.py --studies 300

writes evidence-decide.md and takes about ten minutes on one core. Six methods from cheap to dear, true accuracies
around 93 %, seed SD 1 point, 1,000 test examples; every study begins with three seeds and may have ten.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import numpy as np  # noqa: E402

from evidence_pages import points, table  # noqa: E402
from evidence_simulation import Cell, answers, run_levels  # noqa: E402
from simulate_evidence import TRUTHS  # noqa: E402
from whichtune.stats.answers import Answers, Row, TestSet  # noqa: E402
from whichtune.stats.choice import Weighed, weigh  # noqa: E402
from whichtune.stats.rounds import next_round  # noqa: E402
from whichtune.stats.trials import Trials  # noqa: E402
from whichtune.study.roles import Role  # noqa: E402

FIRST, MOST, FIXED = 3, 10, 8
TARGET = 0.25
EXAMPLES = 1000
COSTS = {str(row): float(row) for row in range(6)}
FloatArray = np.ndarray


def drawn(truth: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Right answers `(K, S, E)` of one study with as many seeds as a row may have."""
    sd = 0.01
    cell = Cell("", tuple(truth), (sd,) * len(truth), MOST, EXAMPLES)
    levels = run_levels(rng, truth, sd, MOST)
    return answers(rng, cell, levels[None])[0]


def seen(right: FloatArray, seeds: list[int]) -> Trials:
    """A study in which each row has been given so many seeds."""
    test = TestSet(np.arange(EXAMPLES).astype(str).astype(object), np.ones(EXAMPLES, int), np.zeros(EXAMPLES, bool), 2)
    rows = {
        str(row): Row(
            str(row),
            Role.RUN,
            "",
            answers={s: Answers(right[row, s].astype(np.int64), np.full(EXAMPLES, np.nan)) for s in range(seeds[row])},
        )
        for row in range(len(right))
    }
    return Trials(rows, test, 1.0)


def weighed(right: FloatArray, seeds: list[int], target: float) -> tuple[Trials, Weighed]:
    trials = seen(right, seeds)
    found = weigh(trials, "accuracy", COSTS, target=target)
    assert found is not None
    return trials, found


def decide(right: FloatArray) -> tuple[int, int, str]:
    """Runs made, the row that is used, and why it ended."""
    seeds = [FIRST] * len(right)
    while True:
        trials, found = weighed(right, seeds, TARGET)
        step = next_round(found, trials, "accuracy", MOST)
        if not step.rows:
            return sum(seeds), found.place, str(step.reason)
        for row in step.rows:
            seeds[int(row)] += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=300, help="studies of each truth")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for evidence-decide.md")
    arguments = parser.parse_args()
    rows = []
    for number, (name, gaps) in enumerate(TRUTHS.items()):
        truth = 0.93 + 0.01 * np.array(gaps)
        regret = 100 * (truth.max() - truth)
        rng = np.random.default_rng(500 + number)
        made, found, fixed, few, ends = [], [], [], [], Counter[str]()
        for _ in range(arguments.studies):
            right = drawn(truth, rng)
            runs, place, reason = decide(right)
            made.append(runs)
            found.append(regret[place])
            ends[reason] += 1
            for seeds, kept in ((FIXED, fixed), (FIRST, few)):
                kept.append(regret[weighed(right, [seeds] * len(right), TARGET)[1].place])
        why = ", ".join(f"{reason} {100 * n / arguments.studies:.0f} %" for reason, n in ends.most_common())
        figures = [f"{np.mean(made):.1f}", points(float(np.mean(found))), points(float(np.mean(fixed)))]
        rows.append([name, *figures, points(float(np.mean(few))), why])
        print(rows[-1], flush=True)
    header = ["true accuracies", "runs made", "regret", f"{FIXED} seeds: regret", f"{FIRST} seeds: regret", "ended by"]
    text = f"""# Evidence: seeds where they are needed

Made by `python benchmarks/simulate_decide.py --studies {arguments.studies}`, studies of each truth.
Six methods from cheap to dear, seed SD 1 point, 1,000 test examples. `--decide` begins with {FIRST} seeds, adds up to
{MOST} and asks for an expected regret of {TARGET} points (a quarter of the margin); regret is what the row that it
uses truly costs, in points, a mean over studies. Beside it the same rule with {FIXED} seeds for every row
({6 * FIXED} runs) and with {FIRST} ({6 * FIRST} runs), on the same draws.

{table(header, rows)}"""
    (arguments.out / "evidence-decide.md").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
