"""What a CUDA device must not change: losses, predictions, what a study records; and what it must give back."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch

from planned_runs import Cell, make_classifier, run
from whichtune.compare import compare
from whichtune.records.record import RunRecord, RunStatus
from whichtune.study.load import parse_study
from whichtune.training import captured

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here"),
]
CELLS = [
    Cell(family, method, "last_nonpad", padding, False)
    for family in ("gpt2", "bert", "llama")
    for method in ("head_only", "last_block", "full", "lora", "soft_prompt", "prefix_tuning")
    for padding in ("dynamic", "none", "right")
]
CELLS = [cell for cell in CELLS if cell.is_valid]


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_plan_and_device_change_no_loss(cell: Cell, tmp_path: Path) -> None:
    """Float32: the plan on the device, the plain way on it, and the plain way on the CPU."""
    planned, plain = (run(cell, plan, tmp_path / "cache", device="cuda") for plan in ("auto", "off"))
    assert planned.difference(plain) < 1e-4
    assert plain.difference(run(cell, "off", tmp_path / "cache")) < 1e-4


DRAWING = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "resid_pdrop": 0.1, "attn_pdrop": 0.1}


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("method", ["last_block", "full", "lora"])
@pytest.mark.parametrize("family", ["gpt2", "bert", "llama"])
def test_recorded_steps_are_the_steps(
    family: str, method: str, dropout: float, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most steps are played, and have the losses and draws of dropout of steps that are launched one kernel a time."""
    cell = Cell(family, method, "last_nonpad", "right" if dropout else "dynamic", False)
    found = []
    for most in (captured.MOST_RECORDINGS, 0):
        monkeypatch.setattr(captured, "MOST_RECORDINGS", most)
        config = dict.fromkeys(DRAWING, dropout) if dropout else {}
        classifier = make_classifier(cell, **config)
        settings = {"precision": precision, "max_steps": 30, "epochs": 6}
        found.append(run(cell, "auto", tmp_path / "cache", classifier, device="cuda", **settings))
    played, launched = found
    assert played.training is not None
    assert played.training.why_not_recorded is None
    assert played.training.recorded_steps >= 15
    assert launched.training is not None
    assert launched.training.recorded_steps == 0
    assert played.difference(launched) < (1e-4 if precision == "float32" else 2e-2)


def test_texts_of_their_own_lengths_have_few_shapes(tmp_path: Path) -> None:
    """A head on a mean over each text: padded rows are not packed otherwise than the plain way reads them."""
    cell = Cell("bert", "full", "mean_nonpad", "dynamic", False)
    played = run(cell, "auto", tmp_path / "cache", device="cuda", max_steps=30, epochs=6)
    plain = run(cell, "off", tmp_path / "cache", device="cuda", max_steps=30, epochs=6)
    assert played.training is not None
    assert played.training.recorded_steps >= 15
    assert played.difference(plain) < 1e-4


def study(model: Path, data: Path, **fields: object) -> object:
    value = {"name": "gpu", "model": str(model), "data": {"source": str(data)}, "baselines": ["majority"], "seeds": [0]}
    return parse_study({**value, **fields}, "test")


def records(folder: Path) -> list[RunRecord]:
    return [RunRecord.model_validate_json(path.read_text()) for path in sorted(folder.glob("runs/*/run.json"))]


def test_a_study_on_the_device(tiny_bert: Path, mail: Path, tmp_path: Path) -> None:
    """Every run completes, says where it ran, and its memory is the device's own."""
    methods = ["head_only", "last_block", "full", "lora", "linear_probe", "bitfit"]
    compare(study(tiny_bert, mail, methods=methods, device="cuda"), out=tmp_path / "study")  # type: ignore[arg-type]
    found = records(tmp_path / "study")
    assert [record.status for record in found] == [RunStatus.COMPLETED] * 7
    for record in found:
        if record.method != "majority":
            assert record.environment is not None
            assert record.environment.device == torch.cuda.get_device_name()
            assert record.cost.peak_memory_bytes
    holding = subprocess.run(
        ["nvidia-smi", "--query-compute-apps=pid", "--format=csv,noheader"], capture_output=True, text=True, check=True
    )
    assert len(holding.stdout.split()) <= 1, "a run left a process on the device"


def test_text_to_text_on_the_device(tiny_gpt2: Path, notes: Path, tmp_path: Path) -> None:
    value = {"task": "text_to_text", "methods": ["last_block", "lora"], "device": "cuda", "baselines": []}
    compare(study(tiny_gpt2, notes, **value), out=tmp_path / "study")  # type: ignore[arg-type]
    assert [record.status for record in records(tmp_path / "study")] == [RunStatus.COMPLETED] * 2


def test_out_of_memory_is_a_row(tiny_bert: Path, mail: Path, tmp_path: Path) -> None:
    """What does not fit fails with a sentence; the row after it has the device's memory again."""
    free, _ = torch.cuda.mem_get_info()
    held = torch.empty(max(0, free - 5000 * 2**20), dtype=torch.uint8, device="cuda")
    methods = [
        {"method": "full", "label": "too large", "batch_size": 4096, "padding": "right", "context_length": 128},
        {"method": "full", "label": "fits"},
    ]
    wide = {"methods": methods, "device": "cuda", "baselines": [], "settings": {"max_steps": 2}}
    with torch.random.fork_rng():
        compare(study(_wide(tiny_bert, tmp_path), mail, **wide), out=tmp_path / "study")  # type: ignore[arg-type]
    del held
    torch.cuda.empty_cache()
    found = {record.label: record for record in records(tmp_path / "study")}
    assert found["fits"].status is RunStatus.COMPLETED
    assert found["too large"].status is RunStatus.OUT_OF_MEMORY
    assert "memory" in (found["too large"].error or "")


def _wide(tiny_bert: Path, folder: Path) -> Path:
    """A BERT of which 120 texts of 128 tokens at a time take gigabytes."""
    from transformers import BertConfig, BertModel

    from saved_models import save_with_embedded_tokenizer

    config = BertConfig(
        vocab_size=4096, hidden_size=1024, num_hidden_layers=8, num_attention_heads=16, intermediate_size=4096,
        max_position_embeddings=128,
    )  # fmt: skip
    return save_with_embedded_tokenizer(BertModel(config), folder / "wide")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_counts_what_it_changes(tiny_bert: Path, mail: Path, tmp_path: Path, precision: str) -> None:
    value = {"methods": ["full", "head_only"], "device": "cuda", "settings": {"precision": precision}}
    compare(study(tiny_bert, mail, **value), out=tmp_path / "study")  # type: ignore[arg-type]
    for record in records(tmp_path / "study"):
        assert record.status is RunStatus.COMPLETED
        if record.method != "majority":
            assert any(note.startswith(f"{precision} changes ") for note in record.notes)
