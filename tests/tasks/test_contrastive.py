"""Contrastive tuning: the pairs, the losses of a loop written apart, and what a run counts and keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertModel

from whichtune.compare import prepare
from whichtune.errors import SettingError
from whichtune.methods.contrastive import ContrastiveSettings, drawn_pairs
from whichtune.runs.run import run_one
from whichtune.seeding import DATA_ORDER, generator
from whichtune.study.load import parse_study
from whichtune.study.spec import RunSpec
from whichtune.tasks import task_of

STEPS, BATCH, RATE, SEED = 8, 6, 1e-3, 5


def spec_of(mail: Path, model: Path, plan: str = "auto", **settings: Any) -> RunSpec:
    value = {
        "data": str(mail), "model": str(model), "seeds": [SEED], "baselines": [], "plan": plan,
        "methods": [{"method": "contrastive", "pairs_per_text": 2}],
        "settings": {
            "max_steps": STEPS, "batch_size": BATCH, "learning_rate": RATE, "evaluation_interval": 1,
            "schedule": "constant", "warmup_steps": 0, "gradient_clip": None, "context_length": 40, **settings,
        },
    }  # fmt: skip
    (spec,) = prepare(parse_study(value, "a test"))[0].specs
    return spec


def test_pairs_are_of_both_kinds_and_drawn_by_the_seed() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    pairs = drawn_pairs(labels, 4, 7)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    np.testing.assert_array_equal(labels[pairs[:, 0]] == labels[pairs[:, 1]], pairs[:, 2] == 1)
    per_text = [int(((pairs[:, 0] == row) & (pairs[:, 2] == 1)).sum()) for row in range(6)]
    assert per_text == [4, 4, 4, 4, 4, 0], "the only text of its label has no partner"
    assert all(((pairs[:, 0] == row) & (pairs[:, 2] == 0)).sum() == 4 for row in range(6))
    of_first = pairs[(pairs[:, 0] == 0) & (pairs[:, 2] == 0), 1]
    assert len(set(of_first[:3])) == 3, "partners come again only once all were there"
    assert not np.array_equal(pairs, drawn_pairs(labels, 4, 8))
    assert ContrastiveSettings().of_each_kind(16) == 8
    assert ContrastiveSettings().of_each_kind(1000) == 2
    assert ContrastiveSettings().of_each_kind(100_000) == 1


@pytest.mark.parametrize("plan", ["auto", pytest.param("off", marks=pytest.mark.slow)])
def test_training_is_a_plain_loop(mail: Path, tiny_bert: Path, plan: str) -> None:
    spec = spec_of(mail, tiny_bert, plan)
    result = run_one(spec)
    data = task_of(spec).load(spec.data)
    train, test = data.splits["train"], data.splits["test"]
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    model = BertModel.from_pretrained(tiny_bert, attn_implementation="eager", add_pooling_layer=False).eval()

    def feature(text: str) -> torch.Tensor:
        ids = torch.tensor([tokenizer(text)["input_ids"][:40]])
        return model(ids).last_hidden_state[0].mean(0)

    pairs, order = drawn_pairs(train.labels, 2, SEED), generator(SEED, DATA_ORDER)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    rows, losses = torch.randperm(len(pairs), generator=order).tolist(), []
    for step in range(STEPS):
        each = []
        for a, b, same in pairs[rows[step * BATCH : (step + 1) * BATCH]]:
            likeness = torch.cosine_similarity(feature(train.texts[a]), feature(train.texts[b]), dim=0)
            each.append((likeness - float(same)) ** 2)
        loss = torch.stack(each).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    np.testing.assert_allclose([point["train_loss"] for point in result.curves], losses, atol=1e-5)
    cost = result.record.cost
    assert (cost.optimiser_steps, cost.examples_seen) == (STEPS, STEPS * BATCH)
    # The head is the logistic regression of the tuned features: found again from those of the plain loop.
    from whichtune.methods.fitting import Features, logistic

    class Holder:
        head = torch.nn.Linear(32, 2)

    with torch.no_grad():
        found = [np.stack([feature(t).numpy() for t in data.splits[s].texts]) for s in ("train", "validation", "test")]
    logistic(Holder(), Features(found[0], train.labels, found[1], data.splits["validation"].labels, 2))  # type: ignore[arg-type]
    with torch.no_grad():
        expected = Holder.head(torch.from_numpy(found[2])).numpy()
    rows_of_test = result.predictions[result.predictions["split"] == "test"]
    logits = np.stack(list(rows_of_test["logits"]))
    np.testing.assert_allclose(
        logits - logits.mean(1, keepdims=True), expected - expected.mean(1, keepdims=True), atol=2e-3
    )
    assert len(test.texts) == len(logits)


def test_a_texts_operations_are_counted_once_a_batch(mail: Path, tiny_bert: Path) -> None:
    """Those of a step over pairs are full fine-tuning's over the texts that stand in them."""
    spec = spec_of(mail, tiny_bert, "off")
    task, device = task_of(spec), torch.device("cpu")
    data = task.load(spec.data)
    model, tokenizer = task.build(spec, data)
    encoded = task.encode(spec, data, tokenizer, model.backbone.config)
    from whichtune.training.forward import PlainForward

    objective = task.objective(spec, model, PlainForward(model, encoded, device, "float32"))
    rows = [0, 1, 2, 3]
    texts = sorted({int(text) for pair in objective.steps_on.pairs[rows] for text in pair[:2]})
    assert len(texts) < 2 * len(rows)
    model.head = torch.nn.Identity()
    alone = PlainForward(model, encoded, device, "float32")
    assert objective.steps_on.training_flops(rows) == alone.training_flops(texts)


@pytest.mark.slow
def test_what_is_saved_gives_the_same_answers(mail: Path, tiny_bert: Path, tmp_path: Path) -> None:
    result = run_one(spec_of(mail, tiny_bert, epochs=1))
    assert result.save is not None
    result.save(tmp_path)  # asks


def test_what_does_not_go_with_it_is_refused(mail: Path, tiny_bert: Path) -> None:
    with pytest.raises(SettingError, match="can watch the loss of pairs alone"):
        spec_of(mail, tiny_bert, early_stopping="primary")
    with pytest.raises(SettingError, match="fits a linear head"):
        spec_of(mail, tiny_bert, head="native")


@pytest.mark.slow
def test_it_can_be_stopped_by_the_loss_of_pairs(mail: Path, tiny_bert: Path) -> None:
    assert run_one(spec_of(mail, tiny_bert, early_stopping="loss", patience=1)).record.stopping is not None
