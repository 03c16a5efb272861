"""How often whichtune's statistics are wrong, by simulation; writes evidence.md and evidence.json.

    python benchmarks/simulate_evidence.py --studies 10000

takes about half an hour on one core; with --studies 1000 a tenth of that. Parts that evidence.json holds
already for as many studies are kept, so that it can be interrupted. Exits with 1 where a target is missed. What is
simulated and what the figures mean: docs/statistics.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from evidence_pages import missed, report  # noqa: E402
from evidence_rates import against_baseline, choices, claims, equivalence  # noqa: E402
from evidence_simulation import Cell  # noqa: E402
from evidence_wrong import run_estimators  # noqa: E402

SEEDS = (2, 3, 4, 5, 8)


def equal(k: int, sd: float, n_seeds: int, n: int, **more: Any) -> Cell:
    """Methods of one accuracy, 95 % unless said."""
    mean = more.pop("mean", 0.95)
    return Cell(more.pop("name", f"seed SD {100 * sd:g}"), (mean,) * k, (sd,) * k, n_seeds, n, **more)


def usual() -> Iterable[Cell]:
    """Equal methods that are alike: every number of methods and seeds."""
    for n in (300, 2000):
        for n_seeds in SEEDS:
            yield from (equal(k, 0.01, n_seeds, n) for k in (2, 3, 4, 6))
            yield from (equal(6, sd, n_seeds, n) for sd in ((0.0, 0.005, 0.02, 0.04) if n == 300 else (0.005, 0.02)))


def unlike() -> Iterable[Cell]:
    """Equal accuracies, yet otherwise not alike; the first method is the odd one."""
    for n_seeds in (2, 3, 5, 8):
        for name, sds in {
            "seed SD 4, five others 0.5": (0.04, *(0.005,) * 5),
            "seed SD 4, five others 1": (0.04, *(0.01,) * 5),
            "seed SD 0.5, five others 2": (0.005, *(0.02,) * 5),
            "seed SD 0, 0.5, 1, 2, 3, 4": (0.0, 0.005, 0.01, 0.02, 0.03, 0.04),
            "two alone, seed SD 4 and 0": (0.04, 0.0),
            "two alone, seed SD 2 and 0.5": (0.02, 0.005),
        }.items():
            yield Cell(name, (0.95,) * len(sds), sds, n_seeds, 300)
        yield Cell("one collapses now and then", (0.95,) * 6, (0.08, *(0.01,) * 5), n_seeds, 300)
        yield equal(6, 0.01, n_seeds, 300, own_items=0.3, name="30 % own difficulty, seed SD 1")
        yield equal(6, 0.02, n_seeds, 300, mean=0.8, name="accuracy 80 %, seed SD 2")
        yield equal(6, 0.01, n_seeds, 300, mean=0.98, name="accuracy 98 %, seed SD 1")
        yield equal(6, 0.01, n_seeds, 100, name="seed SD 1")


def baselines() -> Iterable[Cell]:
    """Five equal methods against a sixth."""
    for n_seeds in (2, 3, 5, 8):
        for sd in (0.005, 0.01, 0.02):
            yield equal(6, sd, n_seeds, 300, name=f"against one of seed SD {100 * sd:g} like the others")
            sds = (*(sd,) * 5, 0.0)
            yield Cell(
                f"seed SD {100 * sd:g}, against one that draws nothing", (0.95,) * 6, sds, n_seeds, 300, baseline=True
            )


def margins() -> Iterable[Cell]:
    """The first method worse by exactly the margin, so that "equivalent" is false of its pairs."""
    for n_seeds in (2, 3, 5, 8):
        for sd, n in ((0.0, 300), (0.005, 300), (0.01, 300), (0.0, 2000), (0.0025, 2000), (0.005, 2000)):
            yield Cell(f"seed SD {100 * sd:g}", (0.94, *(0.95,) * 5), (sd,) * 6, n_seeds, n)
    for n in (300, 1000, 3000):
        for n_seeds in (2, 3, 5):
            means = (0.989, *(0.999,) * 5)
            yield Cell("the same 1 % lost with every seed", means, (0.0,) * 6, n_seeds, n, sparse=True)


def gaps() -> Iterable[Cell]:
    """The first method worse than all others by so many points: who shows it."""
    for k, n_seeds, n, sd in (
        (6, 3, 500, 0.005),
        (6, 3, 500, 0.01),
        (6, 5, 500, 0.01),
        (6, 5, 500, 0.02),
        (6, 5, 2000, 0.01),
        (4, 5, 500, 0.01),
        (6, 2, 500, 0.01),
    ):
        for gap in (0.01, 0.02, 0.03, 0.05):
            yield Cell(f"gap {100 * gap:g}", (0.94 - gap, *(0.94,) * (k - 1)), (sd,) * k, n_seeds, n)


TRUTHS = {
    "all equal": (0, 0, 0, 0, 0, 0),
    "the dearest ahead by 0.5": (0, 0, 0, 0, 0, 0.5),
    "the dearest ahead by 1": (0, 0, 0, 0, 0, 1),
    "the dearest ahead by 2": (0, 0, 0, 0, 0, 2),
    "steps of 0.25": (0, 0.25, 0.5, 0.75, 1, 1.25),
    "steps of 0.5": (0, 0.5, 1, 1.5, 2, 2.5),
    "the two cheapest far behind": (-20, -5, 0, 0, 0.5, 0.5),
}


def truths() -> Iterable[Cell]:
    """Six methods, from cheap to dear, 1,000 examples, seed SD 1: fixed truths, then truths that scatter."""
    for n_seeds in (1, *SEEDS):
        for name, points in TRUTHS.items():
            yield Cell(name, tuple(0.93 + 0.01 * x for x in points), (0.01,) * 6, n_seeds, 1000)
        for spread in (0.005, 0.01, 0.02, 0.04):
            yield equal(6, 0.01, n_seeds, 1000, mean=0.93, spread=spread, name=f"scatter of {100 * spread:g}")


PARTS: dict[str, tuple[Callable[..., dict[str, float]], Callable[[], Iterable[Cell]]]] = {
    "usual": (claims, usual),
    "unlike": (claims, unlike),
    "baselines": (against_baseline, baselines),
    "margins": (equivalence, margins),
    "gaps": (claims, gaps),
    "truths": (choices, truths),
}


def simulate(studies: int, kept: dict[str, Any], keep: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Every part; `kept` are results of an earlier call, `keep` writes what there is."""
    results: dict[str, Any] = {"studies": studies, "seconds": kept.get("seconds", 0.0), "cells": kept.get("cells", {})}
    for part, (measure, cells) in PARTS.items():
        for number, cell in enumerate(cells()):
            key = f"{part}: {cell.name}, {cell.rows} methods, {cell.n_seeds} seeds, {cell.n_examples} examples"
            key += f", SD {cell.seed_sds[-1]:g}"
            if key in results["cells"]:
                continue
            began = time.perf_counter()
            about = {"part": part, "name": cell.name, "methods": cell.rows, "seeds": cell.n_seeds}
            about |= {"examples": cell.n_examples, "sd": cell.seed_sds[-1]}
            results["cells"][key] = about | measure(cell, studies, 1000 + number)
            results["seconds"] += time.perf_counter() - began
            keep(results)
            print(f"{results['seconds']:7.0f} s  {key}", flush=True)
    if "estimators" not in kept:
        few = max(200, studies // 10)
        results["estimators"] = [
            {"name": cell.name, "seeds": cell.n_seeds, "studies": few, "rates": run_estimators(cell, few, seed=5)}
            for cell in (equal(6, sd, n_seeds, 300) for sd in (0.0, 0.01, 0.03) for n_seeds in (3, 5))
        ]
        keep(results)
    else:
        results["estimators"] = kept["estimators"]
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=10_000, help="studies for each line of the tables")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for evidence.md and evidence.json")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    place = arguments.out / "evidence.json"
    kept = json.loads(place.read_text(encoding="utf-8")) if place.is_file() else {}
    if kept.get("studies") != arguments.studies or "cells" not in kept:
        kept = {}

    def keep(results: dict[str, Any]) -> None:
        place.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")

    results = simulate(arguments.studies, kept, keep)
    (arguments.out / "evidence.md").write_text(report(results), encoding="utf-8")
    faults = missed(results)
    print("\n".join(faults) or "all targets met")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
