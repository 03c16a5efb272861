"""The native head is what the family's own class computes, and one start for all methods of a seed."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from models.tiny_families import ENCODERS, FAMILIES, pad_token, tiny_model
from whichtune.compare import compare, prepare
from whichtune.errors import SettingError
from whichtune.models.native import native_head
from whichtune.study.load import parse_study


@pytest.mark.parametrize("family", FAMILIES)
def test_the_head_is_the_family_s_own(family: str) -> None:
    model = tiny_model(family)
    torch.manual_seed(0)
    head = native_head(model.config, 3, getattr(model, "pooler", None)).eval()
    config = copy.deepcopy(model.config)
    config.num_labels, config.pad_token_id = 3, pad_token(model)
    if hasattr(config, "classifier_pooling"):
        config.classifier_pooling = "cls"
    whole = AutoModelForSequenceClassification.from_config(config).eval()
    own = {f"{whole.base_model_prefix}.{name}": value for name, value in model.state_dict().items()}
    state = {name: value for name, value in own.items() if "pooler" not in name} | head.outer.state_dict()
    whole.load_state_dict(state, strict=True)
    ids = torch.randint(3, 900, (2, 7))
    with torch.no_grad():
        states = model(input_ids=ids).last_hidden_state
        found = head(states[:, 0] if family in ENCODERS else states[:, -1])
        torch.testing.assert_close(found, whole(input_ids=ids).logits, rtol=0, atol=1e-6)


def study(model: Path, mail: Path, **settings: object) -> dict:
    shared = {"head": "native", "epochs": 1, "context_length": 30, **settings}
    return {"data": str(mail), "model": str(model), "seeds": [0], "baselines": [], "settings": shared}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"methods": ["linear_probe"]}, "linear_probe solves for a linear head"),
        ({"methods": [{"method": "lora", "lora_head": True}]}, "lora_head adapts a linear head"),
        ({"methods": [{"method": "full", "token_position": "mean_nonpad"}]}, "head native reads the token first"),
        ({"methods": [{"method": "full", "random_streams": "reference"}]}, "draws a linear head"),
    ],
)
def test_what_does_not_go_with_it(tiny_bert: Path, mail: Path, more: dict, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        prepare(parse_study({**study(tiny_bert, mail), **more}, "test"))


@pytest.mark.slow
def test_the_plan_changes_nothing_and_the_first_step_is_shared(tiny_bert: Path, mail: Path, tmp_path: Path) -> None:
    value = study(tiny_bert, mail, learning_rate=3e-3)
    losses = []
    for plan in ("auto", "off"):
        chosen = parse_study({**value, "methods": ["head_only", "last_block"], "plan": plan}, "test")
        result = compare(chosen, tmp_path / plan, threads=1)
        assert all(run.spec["token_position"] == "first" for run in result.records)
        losses.append([run.metrics.test.loss for run in result.records])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_a_linear_head_keeps_its_run_id(tiny_bert: Path, mail: Path) -> None:
    def ids(**settings: object) -> list[str]:
        value = study(tiny_bert, mail, **settings) | {"methods": ["full"]}
        return [spec.run_id for spec in prepare(parse_study(value, "test"))[0].specs]

    plain = study(tiny_bert, mail) | {"methods": ["full"]}
    del plain["settings"]["head"]
    before = [spec.run_id for spec in prepare(parse_study(plain, "test"))[0].specs]
    assert ids(head="linear") == before
    assert ids() != before
