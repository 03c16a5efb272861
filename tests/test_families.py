"""Every family of transformers' AutoModel that a tiny model can be made of is right or refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STORED = json.loads((ROOT / "benchmarks" / "families.json").read_text(encoding="utf-8"))["families"]
TRIED = {family: row["methods"] for family, row in STORED.items() if "methods" in row}
# Usual ones, and one of each odd kind: a state space, experts, pictures beside text, no mask, other keys.
SAMPLE = ("gpt2", "bert", "mamba", "mixtral", "gemma3", "fnet", "deepseek_v3", "falcon", "jamba", "t5")


# Beyond 1e-5 by rounding: two steps by the plan and by the plain way, in a model whose experts add up in other order.
ROUNDED = {("ernie4_5_moe", "full")}


def test_every_family_is_right_or_refused() -> None:
    wrong = {(f, m): each["said"] for f, row in TRIED.items() for m, each in row.items() if each["result"] == "wrong"}
    assert len(TRIED) > 100
    assert set(wrong) <= ROUNDED
    assert all(said.endswith("e-05") for said in wrong.values())
    for row in STORED.values():
        said = [row.get("said", ""), *(each.get("said", "") for each in row.get("methods", {}).values())]
        assert all("\n" not in text and "Traceback" not in text for text in said)


def test_the_page_counts_what_is_stored() -> None:
    page = (ROOT / "docs" / "families.md").read_text(encoding="utf-8")
    right = sum(row["lora"]["result"] == "right" for row in TRIED.values())
    counted = next(line for line in page.splitlines() if line.startswith("| right |"))
    assert counted.split(" | ")[3] == str(right)
    assert all(f"\n| {family} | " in page for family in TRIED)


@pytest.mark.slow
@pytest.mark.parametrize("family", SAMPLE)
def test_a_family_ends_as_it_is_told(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import families

    found = families.tried(family)
    assert {k: v["result"] for k, v in found.get("methods", {}).items()} == {
        k: v["result"] for k, v in STORED[family].get("methods", {}).items()
    }
    assert found["kind"] == STORED[family]["kind"]
