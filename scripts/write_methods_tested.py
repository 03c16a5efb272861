"""Try every method in tiny models of several families and write docs/methods-tested.md.

python scripts/write_methods_tested.py                        # all, about half an hour on one core
python scripts/write_methods_tested.py --families gpt2,bert   # these anew, the others as they were
python scripts/write_methods_tested.py --methods loha,lokr    # these anew, in all families
python scripts/write_methods_tested.py --types --families gpt2,bert   # the types of PEFT that no method is named after
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import traceback
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE, STORED = ROOT / "docs" / "methods-tested.md", ROOT / "benchmarks" / "methods_tested.json"
Results = dict[str, dict[str, str]]  # by family and method: "passed", a sentence, or what failed
PASSED = "passed"


def main() -> int:
    os.environ["WHICHTUNE_STRICT_SHORTCUTS"] = "1"
    sys.path.insert(0, str(ROOT / "tests"))
    import torch

    from method_matrix import OF_PEFT, ON_FEATURES, TABLE_FAMILIES, nameless_types

    torch.set_num_threads(1)
    options = argparse.ArgumentParser()
    options.add_argument("--families", default=",".join(TABLE_FAMILIES))
    options.add_argument("--methods", default=",".join(ON_FEATURES))
    options.add_argument("--types", action="store_true", help="PEFT's types without a name here, instead of methods")
    options.add_argument("--missing", action="store_true", help="only what has no result yet")
    options.add_argument("--page", action="store_true", help="write the page alone")
    chosen = options.parse_args()
    results: Results = json.loads(STORED.read_text("utf-8"))["results"] if STORED.is_file() else {}
    methods = [OF_PEFT + name for name in nameless_types()] if chosen.types else chosen.methods.split(",")
    for family in chosen.families.split(",") if not chosen.page else []:
        for method in methods:
            known = results.setdefault(family, {})
            if chosen.missing and known.get(method) == PASSED:
                continue
            known[method] = tried(family, method)
            print(f"{family} {method}: {known[method]}", flush=True)
            write(results)
    write(results)
    return int(any(result.startswith("failed") for row in results.values() for result in row.values()))


def tried(family: str, method: str) -> str:
    """`passed`, the sentence by which a model is refused, or `failed: ` and why."""
    from method_matrix import cell_of, check_cell

    with tempfile.TemporaryDirectory() as folder:
        try:
            return check_cell(cell_of(family, method), Path(folder)) or PASSED
        except Exception as error:
            traceback.print_exc()
            return f"failed: {type(error).__name__} {' '.join(str(error).split())[:160]}"


def write(results: Results) -> None:
    """The results with what they were made by, and the page."""
    made_by = {name: version(name) for name in ("peft", "torch", "transformers")}
    STORED.write_text(json.dumps({"versions": made_by, "results": results}, indent=1) + "\n", "utf-8")
    PAGE.write_text(page(results, made_by), "utf-8")


def page(results: Results, made_by: dict[str, str]) -> str:
    methods = list(dict.fromkeys(method for row in results.values() for method in row))
    versions = ", ".join(f"{name} {number}" for name, number in made_by.items())
    lines = [
        "# Methods tested",
        "",
        "Written by `python scripts/write_methods_tested.py` from what it ran: every method in a model of each family",
        f"with random weights, two blocks and width 64, on a CPU in float32, by {versions}. Pretrained models of usual",
        "size were not part of it.",
        "",
        "**yes**: over 20 steps the plan and the plain way differ by at most 1e-5 in every loss (of what takes no",
        "steps: by 1e-4 of the largest logit); nothing moved that does not train; the stored state in a model built",
        "anew gives the same logits; merged adapters give the same logits as unmerged ones; adapters by PEFT have the",
        "same losses, within 1e-5, as a loop written apart around `peft.get_peft_model` (`lora` has its own oracle in",
        "`tests/test_oracle.py`, lora_plus and adalora have theirs, in GPT-2 alone, in `tests/test_peft_methods.py`).",
        "Steps are made at a rate of 1e-3; DEFT's at 1e-5, because rounding grows by its decompositions, to 7e-5 "
        "at 1e-3.",
        "Rows `peft: TYPE` are the types of PEFT that no method is named after, by `method: peft`.",
        "",
        "`zero_shot` and `few_shot` have no head on features: in twelve families of decoders their likelihoods are",
        "those of one sequence at a time, within 1e-4 nats (`tests/tasks/test_prompted.py`).",
        "",
        "A number: the family cannot serve, for the reason below. T5 and other encoder-decoders are refused whatever",
        "the method: whichtune takes decoders and BERT-style encoders.",
        "",
        f"| method | {' | '.join(results)} |",
        f"| --- |{' --- |' * len(results)}",
    ]
    reasons: list[str] = []
    for method in methods:
        cells = []
        for row in results.values():
            result = row.get(method, "not run")
            if result not in (PASSED, "not run") and result not in reasons:
                reasons.append(result)
            cells.append({PASSED: "yes", "not run": "not run"}.get(result) or f"{reasons.index(result) + 1}")
        lines.append(f"| {method} | {' | '.join(cells)} |")
    lines += ["", *[f"{number}. {reason}" for number, reason in enumerate(reasons, 1)]]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    sys.exit(main())
