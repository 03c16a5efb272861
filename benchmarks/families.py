"""Try every family of transformers' AutoModel with four methods; what is found stands in families.json.

python benchmarks/families.py                      # all, some ten minutes on one core
python benchmarks/families.py --families gpt2,t5   # these anew, the others as they were
python benchmarks/families.py --missing            # those without a result
python benchmarks/families.py --wrong              # those with a wrong one
python scripts/write_docs.py                       # the page of it, docs/families.md
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
STORED = ROOT / "benchmarks" / "families.json"
SECONDS = 180  # that a family may take
Family = dict[str, Any]  # "kind", "said" where it has no model, and how each method ended


def main() -> int:
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    sys.path.insert(0, str(ROOT / "tests"))
    options = argparse.ArgumentParser()
    options.add_argument("--families", default="")
    options.add_argument("--missing", action="store_true")
    options.add_argument("--wrong", action="store_true")
    options.add_argument("--out", type=Path, default=STORED)
    chosen = options.parse_args()
    import torch

    import family_matrix  # noqa: F401  (imported once, before the forks)

    torch.set_num_threads(1)
    known: dict[str, Family] = json.loads(chosen.out.read_text("utf-8"))["families"] if chosen.out.is_file() else {}
    for family in _chosen(chosen, known):
        begun = time.perf_counter()
        known[family] = _in_own_process(family)
        print(f"{family} ({time.perf_counter() - begun:.0f} s): {_in_short(known[family])}", flush=True)
        _write(known, chosen.out)
    return int(any(_is_wrong(row) for row in known.values()))


def every_family() -> list[str]:
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    return list(MODEL_MAPPING_NAMES)


def _chosen(chosen: argparse.Namespace, known: dict[str, Family]) -> list[str]:
    if chosen.families:
        return str(chosen.families).split(",")
    every = every_family()
    if chosen.missing:
        return [family for family in every if family not in known]
    return [family for family in every if _is_wrong(known[family])] if chosen.wrong else every


def _is_wrong(row: Family) -> bool:
    return row["kind"] == "wrong" or any(each["result"] == "wrong" for each in row.get("methods", {}).values())


def _in_short(row: Family) -> str:
    methods = [f"{m} {each['result']} {each.get('said', '')}".strip() for m, each in row.get("methods", {}).items()]
    return "; ".join([f"{row['kind']} {row.get('said', '')}".strip(), *methods])


def _in_own_process(family: str) -> Family:
    """So that a family that ends its process, or never ends, leaves the others."""
    context = get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(family, sender))
    process.start()
    sender.close()
    row: Family = {"kind": "wrong", "said": f"its process ended, or took more than {SECONDS} seconds"}
    try:
        if receiver.poll(SECONDS):
            row = receiver.recv()
    except EOFError:
        pass  # it ended without a word, as the row says
    process.kill()
    process.join()
    return row


def _send(family: str, sender: Any) -> None:
    sender.send(tried(family))


def tried(family: str) -> Family:
    from family_matrix import TRIED, ended, kind_or_refusal, saved_model, written_texts

    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "default").mkdir()
        kind, said = kind_or_refusal(family, place / "default")
        if kind not in ("decoder", "encoder"):
            return {"kind": kind, "said": said}
        (place / family).mkdir()
        try:
            model = saved_model(family, place / family)
        except Exception as error:
            reason = " ".join(str(error).split())[:160]
            return {"kind": kind, "said": f"no tiny model: {type(error).__name__}: {reason}"}
        texts = written_texts(place / "texts.csv")
        found = {method: ended(method, model, texts, place / "cache") for method in TRIED}
    return {"kind": kind, "methods": {m: {k: v for k, v in vars(each).items() if v} for m, each in found.items()}}


def _write(known: dict[str, Family], out: Path) -> None:
    made_by = {name: version(name) for name in ("peft", "torch", "transformers")}
    every = {family: known[family] for family in sorted(known)}
    out.write_text(json.dumps({"versions": made_by, "families": every}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
