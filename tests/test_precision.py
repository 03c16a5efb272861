"""bf16 is an opt-in that says what it changes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from test_oracle import spec_of
from whichtune.data.splits import load_dataset
from whichtune.runs.run import run_one
from whichtune.tasks.classification.task import build_classifier, encode_for
from whichtune.training.forward import PlainForward


def told(notes: list[str]) -> list[tuple[int, int, str]]:
    """Changed predictions, of how many, of which split, as the notes tell them."""
    found = [re.match(r"bf16 changes (\d+) of (\d+) (\w+) predictions", note) for note in notes]
    return [(int(match[1]), int(match[2]), match[3]) for match in found if match]


@pytest.mark.parametrize("plan", ["auto", "off"])
@pytest.mark.parametrize("method", ["head_only", "last_block"])
def test_changed_predictions_are_counted(tiny_gpt2: Path, mail: Path, tmp_path: Path, plan: str, method: str) -> None:
    """The count is that of the saved weights, loaded anew and used in float32. Two classes that lie close together
    make bf16 change some predictions."""
    spec = spec_of(tiny_gpt2, mail, plan, method=method, precision="bf16", max_steps=2, learning_rate=1e-5)
    result = run_one(spec, cache={"folder": tmp_path / "cache"})
    assert result.save is not None
    assert result.predictions is not None
    result.save(tmp_path)
    dataset = load_dataset(spec.data)
    classifier, tokenizer = build_classifier(spec, 2)
    classifier.load_state_dict(load_file(tmp_path / "weights.safetensors"), strict=False)
    encoded = encode_for(spec, dataset, tokenizer, classifier.backbone.config)
    forward = PlainForward(classifier.eval(), encoded, torch.device("cpu"), "float32")
    expected = []
    for name in ("validation", "test"):
        with torch.no_grad():
            exact = torch.cat([forward.logits(name, [row]) for row in range(len(encoded.splits[name]))]).argmax(1)
        own = result.predictions[result.predictions["split"] == name]["prediction"]
        expected.append((int((exact.numpy() != own.to_numpy()).sum()), len(own), name))
    assert told(result.record.notes) == expected


def test_float32_has_nothing_to_tell(tiny_gpt2: Path, mail: Path) -> None:
    assert told(run_one(spec_of(tiny_gpt2, mail, "off", max_steps=1)).record.notes) == []
