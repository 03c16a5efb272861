"""How the rungs of successive halving were chosen: every draw is judged at a quarter, a half and the end of its steps.

    python benchmarks/halving_rungs.py --limit 1000 --methods head_only --seeds 20

Takes the options of `halving.py`. Prints how the ranks of draws on the way go with those at the end, and what several
shares of draws would have found at the cost of six, ranked by accuracy and by loss, as differences to random draws.
"""

from __future__ import annotations

import statistics
import sys

from scipy.stats import spearmanr

from halving import Bench, Part, options
from whichtune.compare import prepare
from whichtune.study.load import parse_study
from whichtune.tuning.halving import SHARES, rung_spec
from whichtune.tuning.search import draws_of

DRAWS = 14
PLANS = ((12, 6, 3), (10, 6, 4), (8, 6, 5))
Parts = list[Part]  # one for each rung


def judged(study: dict[str, object], method: str) -> list[Parts]:
    """Every draw of a method, from its first part to its end."""
    expansion, dataset = prepare(parse_study(study, "benchmark"))
    bench, found = Bench(dataset), list[Parts]()
    for draw in draws_of(expansion, dataset.without_test(), range(1, DRAWS + 1))[method]:
        parts = Parts()
        for rung in range(len(SHARES)):
            parts.append(bench.train(rung_spec(draw, rung), parts[-1] if parts else None))
        found.append(parts)
    return found


def best_of(draws: list[Parts], plan: tuple[int, ...], by_loss: bool) -> float:
    """The best score at the end in %, of the draws that a plan leaves."""
    for rung, kept in enumerate(plan):
        if rung == 0:
            left = draws[:kept]
        else:
            before = rung - 1
            left = sorted(left, key=lambda d: d[before].loss if by_loss else -d[before].score)[:kept]
    return 100 * max(parts[-1].score for parts in left)


def main() -> None:
    asked, study_of = options(sys.argv[1:])
    for method in asked.methods.split(","):
        all_draws = [judged(study_of(seed), method) for seed in range(asked.first, asked.first + asked.seeds)]
        for rung, share in enumerate(SHARES[:-1]):
            ranks = [
                spearmanr([d[rung].score for d in draws], [d[-1].score for d in draws]).statistic for draws in all_draws
            ]
            print(f"{method}: rank correlation of {share} with the end {statistics.mean(ranks):.2f}")
        for plan in PLANS:
            for by_loss in (False, True):
                gaps = [
                    best_of(draws, plan, by_loss) - 100 * max(d[-1].score for d in draws[:6]) for draws in all_draws
                ]
                how = "loss" if by_loss else "accuracy"
                print(f"{plan} by {how}: median {statistics.median(gaps):+.2f}, mean {statistics.mean(gaps):+.2f}")


if __name__ == "__main__":
    main()
