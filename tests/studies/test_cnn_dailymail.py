"""The CNN/DailyMail studies: published settings and claims, LoRA read both ways, and what is no reproduction."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from command import inside
from studies.conftest import small_copy
from whichtune.cli.terminal import print_reproduction
from whichtune.compare import prepare
from whichtune.published.claims import load_published
from whichtune.published.presets import load_preset, row_in_full
from whichtune.published.reproduce import reproduce, reproduction_study

SHEET = Path(__file__).resolve().parents[3] / "shared" / "published" / "cnn-dailymail-gpt-neo.md"
HEAD, PROMPT, LORA, LORA_ALL = (
    "row 1, traditional",
    "row 2, soft prompt",
    "row 3, LoRA on q and v",
    "row 4, LoRA on all matrices",
)


@pytest.fixture(scope="module")
def articles(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = small_copy("cnn_dailymail", collection, tmp_path_factory.mktemp("cnn"))
    assert copy is not None
    return copy


def test_settings_are_those_of_the_fact_sheet() -> None:
    if not SHEET.is_file():
        pytest.skip("the fact sheet lies outside the project and is not here")
    text = SHEET.read_text(encoding="utf-8")
    study = load_preset("cnn-dailymail")
    sizes = re.search(r"([\d,]+) train, ([\d,]+) validation, ([\d,]+) test", text)
    shared = re.search(
        r"batch (\d+) with accumulation (\d+) .*learning rate (\S+), gradient norm clipped at (\S+), (\d+) epochs, "
        r"maximum length (\d+), early stopping with patience (\d+) on the validation (\w+)",
        text,
    )
    assert sizes
    assert shared
    limits = (study.data.train_limit, study.data.validation_limit, study.data.test_limit)
    assert limits == tuple(int(size.replace(",", "")) for size in sizes.groups())
    keys = ("batch_size", "accumulation_steps", "learning_rate", "gradient_clip", "epochs", "context_length")
    assert [study.settings[key] for key in keys] == [float(value) for value in shared.groups()[:6]]
    assert (study.settings["patience"], study.settings["early_stopping"]) == (int(shared[7]), shared[8])
    assert study.model.lower() == "eleutherai/gpt-neo-125m"
    assert "LoRA: rank 8" in text
    assert "soft prompt: 12 virtual tokens" in text
    assert [row_in_full(study, n)["method_settings"]["lora_rank"] for n in (3, 4)] == [8, 8]  # type: ignore[index]
    assert row_in_full(study, 2)["method_settings"]["virtual_tokens"] == 12  # type: ignore[index]


def test_both_readings_of_lora_have_the_parameters_that_they_are_said_to_have() -> None:
    """On GPT-Neo 125M's own shape, without its weights: the published count is that of query and value alone."""
    import torch
    from transformers import GPTNeoConfig, GPTNeoModel

    from whichtune.methods.lora import find_targets

    shape = GPTNeoConfig(
        hidden_size=768, num_layers=12, num_heads=12, attention_types=[[["global", "local"], 6]], vocab_size=50257
    )
    with torch.device("meta"):
        model = GPTNeoModel(shape)
    counts = []
    for entry in load_preset("cnn-dailymail").runs[2:]:
        targets: Any = entry.settings["lora_targets"]
        layers = [model.get_submodule(name) for name in find_targets(model, targets)]
        assert all(isinstance(layer, torch.nn.Linear) for layer in layers)
        rank: Any = entry.settings["lora_rank"]
        counts.append(sum(rank * (layer.in_features + layer.out_features) for layer in layers))  # type: ignore[operator]
    assert counts == [294_912, 1_327_104]
    assert model.get_input_embeddings().weight.numel() == 38_597_376


def test_the_published_claims_are_pairs_with_both_readings() -> None:
    pairs = load_preset("cnn-dailymail").pairs
    found = {
        point: [
            (pair.a, pair.b, pair.metric, pair.published and pair.published.direction)
            for pair in pairs
            if str(pair.claim).startswith(f"point {point}, ")
        ]
        for point in range(1, 6)
    }
    chain = [(HEAD, LORA), (HEAD, LORA_ALL), (LORA, PROMPT), (LORA_ALL, PROMPT)]
    order = [(HEAD, PROMPT), (PROMPT, LORA), (PROMPT, LORA_ALL)]
    assert found[1] == found[2] == [(a, b, None, None) for a, b in chain]
    assert found[3] == [(a, b, "loss", "better") for a, b in order]
    assert found[4] == [(a, b, None, "better") for a, b in order]
    assert found[5] == [(a, "lead_3", "rouge2", None) for a in (HEAD, PROMPT, LORA, LORA_ALL)]
    assert sum(map(len, found.values())) == len(pairs)
    words = {point: next(str(p.claim) for p in pairs if str(p.claim).startswith(f"point {point}")) for point in found}
    assert ["epoch longer" in words[1], "more memory" in words[2], "ROUGE-2 is poor" in words[5]] == [True] * 3


def test_without_printed_counts_there_is_nothing_to_check() -> None:
    assert all(row.test is None for row in load_published("cnn-dailymail").rows)
    said = inside("studies", "cnn-dailymail", "--check", code=2).stderr
    assert said.startswith("Error: --check: 'cnn-dailymail' was published without counts")


def test_what_is_a_reproduction(articles: Path) -> None:
    def marks(**changes: Any) -> list[str | None]:
        study = reproduction_study("cnn-dailymail", device="cpu", **changes)
        assert study.published is not None
        return [row["why_not"] for row in study.published["rows"].values()]

    assert marks() == [None] * 4  # both readings of LoRA
    assert marks(model="embedded") == ["the model is 'embedded'"] * 4
    assert marks(assignments=["tied=untie"]) == ["settings were changed (tied=untie)"] * 4
    few = "the local copy has 16 + 16 training and 16 test examples, not 300,481 and 11,490"
    assert marks(data=str(articles)) == [few] * 4


@pytest.mark.slow  # a study of its own
def test_another_model_is_made_and_called_no_reproduction(articles: Path, tmp_path: Path) -> None:
    quick = ["epochs=1", "context_length=32", "max_target_tokens=8", "max_new_tokens=2"]
    study = reproduction_study(
        "cnn-dailymail", rows=[2, 3], model="embedded", data=str(articles), assignments=quick, device="cpu"
    )
    few = study.model_copy(update={"baselines": ["lead_3"]})
    result = reproduce(few, tmp_path / "out", threads=1)
    console = Console(file=io.StringIO(), width=400)
    print_reproduction(result.summary, console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "This is not a reproduction of the published figures: " in said
    assert "the model is 'embedded'" in said
    assert "ROUGE-2 %" in said  # the usual table, since no figure was published
    assert "of memory" in said
    assert "Published table: LoRA stands here twice" in said
    text = (tmp_path / "out" / "reproduction.md").read_text(encoding="utf-8")
    assert "This is not a reproduction" in text
    assert "ROUGE-2 %" in text
    assert "Differences are in points" not in text
    summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    judged = {pair["claim"][:7]: pair for pair in summary["comparisons"] if pair["claim"]}
    assert set(judged) == {"point 1", "point 2", "point 3", "point 4", "point 5"}
    for point in ("point 1", "point 2", "point 5"):
        assert judged[point]["sentence"].endswith("no claim about which is better.")
    assert "training time" in judged["point 1"]["sentence"]
    assert "peak memory" in judged["point 2"]["sentence"]
    assert (judged["point 5"]["b"], judged["point 5"]["metric"]) == ("lead_3", "rouge2")
    assert {pair["family"] for pair in judged.values()} == {4}  # loss, ROUGE-L, and ROUGE-2 of two rows


# -- cnn-dailymail-tuned ----------------------------------------------------------------------------


def test_alpha_and_layers_are_asked_one_at_a_time(articles: Path) -> None:
    study = reproduction_study("cnn-dailymail-tuned", data=str(articles), model="embedded", seeds="0", device="cpu")
    specs = {spec.label: spec for spec in prepare(study)[0].specs}
    assert {spec.epochs for spec in specs.values() if spec.role == "run" and spec.label != "untuned"} == {10}
    usual = specs["LoRA"].method_settings
    assert (usual["lora_rank"], usual["lora_alpha"], usual["lora_targets"]) == (8, 8, ["q_proj", "v_proj"])
    changed = {}
    for pair in study.pairs:
        if pair.factor in ("lora_alpha", "lora_targets"):
            assert pair.b == "LoRA"
            mine, base = (specs[label].model_dump(exclude={"label"}) for label in (pair.a, pair.b))
            changed[pair.factor] = mine["method_settings"].pop(pair.factor)
            base["method_settings"].pop(pair.factor)
            assert mine == base
    assert changed == {"lora_alpha": 16, "lora_targets": ["q_proj", "k_proj", "v_proj"]}


def test_only_the_rate_is_searched() -> None:
    from whichtune.tuning.search import searched_lines

    lines = searched_lines(load_preset("cnn-dailymail-tuned"))
    assert {(line.label, tuple(line.spaces)) for line in lines if line.spaces} == {
        (entry.label, ("learning_rate",)) for entry in load_preset("cnn-dailymail-tuned").runs
    }
