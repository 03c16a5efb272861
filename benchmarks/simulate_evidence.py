"""How often whichtune's statistics are wrong, by simulation; writes evidence.md, evidence.json and a figure.

    python benchmarks/simulate_evidence.py --studies 10000

takes about half an hour on one core. Exits with 1 where a target is missed. What is simulated and what
the figures mean: docs/statistics.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from evidence_simulation import Cell, run_cell, run_estimators, run_power  # noqa: E402

SDS = (0.0, 0.005, 0.01, 0.02, 0.03, 0.04)
# Share of the studies that each part gets: all for the cells that the targets are about.
SHARES = {"identical": 1.0, "other": 0.4, "equivalence": 1.0}
TARGETS = {"family_wise": 0.056, "coverage": 0.93, "equivalence": 0.056}


def identical(sd: float, n_seeds: int, **more: Any) -> Cell:
    mean = more.pop("mean", 0.95)
    name = more.pop("name", f"seed SD {100 * sd:g}")
    return Cell(name, (mean,) * 6, (sd,) * 6, n_seeds, **more)


def main_cells() -> list[Cell]:
    """Six identical methods, all pairs: the cells that the targets are for."""
    return [identical(sd, n_seeds) for sd in SDS for n_seeds in (3, 4, 5)]


def other_cells() -> list[Cell]:
    """Six methods of equal accuracy under other circumstances: how far the method carries."""
    cells = [
        identical(sd, n, own_items=0.3, name=f"30 % own difficulty, seed SD {100 * sd:g}")
        for sd in (0.0, 0.01, 0.02, 0.04)
        for n in (3, 5)
    ]
    cells += [
        identical(sd, n, mean=mean, name=f"accuracy {100 * mean:g} %, seed SD {100 * sd:g}")
        for mean, sd in ((0.80, 0.02), (0.90, 0.02), (0.98, 0.0), (0.98, 0.01))
        for n in (3, 5)
    ]
    cells += [
        identical(sd, n, n_examples=size, name=f"{size:,} examples, seed SD {100 * sd:g}")
        for size, sd in ((100, 0.01), (1000, 0.01), (2000, 0.005))
        for n in (3, 5)
    ]
    uneven = {
        "one method of six with seed SD 4, others 0": (0.0,) * 5 + (0.04,),
        "one method of six with seed SD 4, others 1": (0.01,) * 5 + (0.04,),
        "three methods with seed SD 4, others 0": (0.0,) * 3 + (0.04,) * 3,
        "seed SD 0, 0.5, 1, 2, 3, 4": SDS,
    }
    cells += [Cell(name, (0.95,) * 6, sds, n) for name, sds in uneven.items() for n in (3, 5)]
    cells += [
        Cell(
            f"five methods against a deterministic row, seed SD {100 * sd:g}",
            (0.95,) * 6,
            (sd,) * 5 + (0.0,),
            n,
            baseline=True,
        )
        for sd in (0.01, 0.02)
        for n in (3, 5)
    ]
    cells += [Cell("two methods alone, seed SD 4 and 0", (0.95,) * 2, (0.04, 0.0), n) for n in (3, 5)]
    return cells


def equivalence_cells() -> list[Cell]:
    """The first method is worse by exactly the margin, so "equivalent" is false for its five pairs."""

    def worse(name: str, sd: float, n_seeds: int, mean: float = 0.95, **more: Any) -> Cell:
        return Cell(name, (mean - 0.01,) + (mean,) * 5, (sd,) * 6, n_seeds, outcome="equivalence", **more)

    cells = [worse(f"seed SD {100 * sd:g}", sd, n) for sd in SDS for n in (3, 4, 5)]
    cells += [
        worse(f"3,000 examples, seed SD {100 * sd:g}", sd, n, n_examples=3000)
        for sd in (0.0, 0.0025, 0.005)
        for n in (3, 5)
    ]
    cells += [
        worse(
            f"the same 1 % of {size:,} examples lost with every seed", 0.0, n, mean=mean, sparse=True, n_examples=size
        )
        for size, mean in ((300, 0.999), (1000, 0.999), (3000, 0.95))
        for n in (3, 5)
    ]
    return cells


def power_cells() -> list[tuple[float, Cell]]:
    """One method of six better by 0 to 12 points."""
    return [
        (gap, Cell(f"seed SD {100 * sd:g}", (0.95,) + (0.95 - gap,) + (0.95,) * 4, (sd,) * 6, n))
        for sd in (0.005, 0.01, 0.02)
        for n in (3, 5)
        for gap in (0.0, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12)
    ]


def simulate(studies: int, fraction: float) -> dict[str, Any]:
    """All cells; the estimators that must fail get `fraction` of the studies, for they are slow."""
    started = time.perf_counter()
    results: dict[str, Any] = {"studies": studies}
    for part, cells in (("identical", main_cells()), ("other", other_cells()), ("equivalence", equivalence_cells())):
        results[part] = []
        for number, cell in enumerate(cells):
            n = max(100, int(studies * SHARES[part] * min(1.0, 600 / cell.n_examples)))
            figures = run_cell(cell, n, seed=1000 + number)
            about = {"name": cell.name, "seeds": cell.n_seeds, "examples": cell.n_examples, "studies": n}
            results[part].append(about | figures)
            print(f"{time.perf_counter() - started:6.0f} s  {part}: {cell.name}, {cell.n_seeds} seeds", flush=True)
    few = max(200, int(studies * fraction))
    results["estimators"] = [
        {"name": cell.name, "seeds": cell.n_seeds, "studies": few, "rates": run_estimators(cell, few, seed=5)}
        for cell in main_cells()
        if cell.n_seeds != 4
    ]
    results["power"] = [
        {"gap": gap, "name": cell.name, "seeds": cell.n_seeds, **run_power(cell, few, seed=7)}
        for gap, cell in power_cells()
    ]
    results["seconds"] = time.perf_counter() - started
    return results


def failures(results: dict[str, Any]) -> list[str]:
    """Targets that are missed, and wrong estimators that pass."""
    found = []
    for cell in results["identical"]:
        where = f"{cell['name']}, {cell['seeds']} seeds"
        if cell["family_wise"] > TARGETS["family_wise"]:
            found.append(f"family-wise error {cell['family_wise']:.2%} at {where}")
        if cell["coverage"] < TARGETS["coverage"]:
            found.append(f"coverage {cell['coverage']:.2%} at {where}")
    for cell in results["equivalence"]:
        if cell["family_wise"] > TARGETS["equivalence"]:
            found.append(f"false equivalence {cell['family_wise']:.2%} at {cell['name']}, {cell['seeds']} seeds")
    for name in ("mid-p McNemar, seeds pooled", "hierarchical bootstrap, percentile"):
        rates = [cell["rates"][name]["family_wise"] for cell in results["estimators"]]
        if max(rates) <= TARGETS["family_wise"]:
            found.append(f"{name} passes everywhere, so the simulation cannot tell right from wrong")
    return found


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def cell_table(cells: list[dict[str, Any]], claim: str) -> str:
    header = ["study", "seeds", "examples", "studies", f"false claim of {claim}, corrected, %", "uncorrected pairs, %"]
    header += ["coverage, %", "width, points", "two runs disagree, %"]
    rows = [
        [
            c["name"],
            str(c["seeds"]),
            f"{c['examples']:,}",
            f"{c['studies']:,}",
            percent(c["family_wise"]),
            percent(c["one_pair"]),
            percent(c["coverage"]),
            f"{c['width']:.1f}",
            percent(c["discordant"]),
        ]
        for c in cells
    ]
    return table(header, rows)


def report(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    names = list(results["estimators"][0]["rates"])
    wrong = [
        [e["name"], str(e["seeds"])]
        + [f"{percent(e['rates'][n]['one_pair'])} / {percent(e['rates'][n]['family_wise'])}" for n in names]
        for e in results["estimators"]
    ]
    power = [
        [
            p["name"],
            str(p["seeds"]),
            f"{100 * p['gap']:g}",
            percent(p["alone"]),
            percent(p["corrected"]),
            percent(p["pair_alone"]),
        ]
        for p in results["power"]
    ]
    few = results["estimators"][0]["studies"]
    missed = failures(results)
    return f"""# Evidence: simulated error rates

Made by `python benchmarks/simulate_evidence.py --studies {results["studies"]}` in
{results["seconds"] / 60:.0f} minutes on one core. At {results["studies"]:,} studies the Monte Carlo error of
a rate of 5 % is {100 * (0.05 * 0.95 / results["studies"]) ** 0.5:.1f} points. Targets: false claims in at most
5.6 % of studies, coverage at least 93 %. {"All met." if not missed else "Missed: " + "; ".join(missed) + "."}

## Six identical methods, all 15 pairs

{cell_table(results["identical"], '"better" or "worse"')}
## Six methods of equal accuracy, otherwise unlike

Beyond the targets: how far the method carries.

{cell_table(results["other"], '"better" or "worse"')}
## The first method worse by exactly the margin of 1 point, five pairs

{cell_table(results["equivalence"], '"equivalent"')}
## Other estimators on six identical methods

False claims in % of pairs uncorrected / of studies after Holm; {few:,} studies a line. All but the last miss
the target somewhere; the last (each pair's own seed noise) keeps it, but can show little, as the next
table has it.

{table(["study", "seeds", *names], wrong)}
## Power

Share of studies, in %, that show a true difference between two of six methods: uncorrected, corrected
for 15 pairs, and corrected with each pair's own seed noise instead of the study's; {few:,} studies a line.

![Power](evidence-power.svg)

{table(["study", "seeds", "true difference, points", "uncorrected", "corrected", "corrected, own noise"], power)}"""


def draw_power(results: dict[str, Any], path: Path) -> None:
    """Power against the true difference, a panel for each seed noise."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    matplotlib.rcParams["svg.hashsalt"] = "whichtune"
    names = list(dict.fromkeys(p["name"] for p in results["power"]))
    figure, axes = plt.subplots(1, len(names), figsize=(11, 3.6), sharey=True, layout="constrained")
    for axis, name in zip(axes, names, strict=True):
        for n_seeds, colour in ((3, "#0072B2"), (5, "#D55E00")):
            rows = [p for p in results["power"] if p["name"] == name and p["seeds"] == n_seeds]
            gaps = [100 * p["gap"] for p in rows]
            axis.plot(gaps, [p["alone"] for p in rows], "--", color=colour, label=f"{n_seeds} seeds, one pair")
            axis.plot(
                gaps, [p["corrected"] for p in rows], "-o", ms=3, color=colour, label=f"{n_seeds} seeds, 15 pairs"
            )
        axis.axhline(0.8, color="0.7", lw=0.8)
        axis.set(title=f"{name} (points)", xlabel="true difference (points)", ylim=(0, 1.02))
    axes[0].set_ylabel("share of studies that show it")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncol=4, frameon=False)
    figure.suptitle("Power: 300 test examples, accuracy 95 %, six methods")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=10_000, help="studies for each line of the tables")
    parser.add_argument("--fraction", type=float, default=0.1, help="share of them for other estimators and power")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for evidence.md, evidence.json and the figure")
    arguments = parser.parse_args()
    results = simulate(arguments.studies, arguments.fraction)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "evidence.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (arguments.out / "evidence.md").write_text(report(results), encoding="utf-8")
    draw_power(results, arguments.out / "evidence-power.svg")
    missed = failures(results)
    print("\n".join(missed) or "all targets met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
