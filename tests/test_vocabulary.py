"""Training the rows of a word embedding that training texts have is training all of them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models.tiny_families import ENCODERS, FAMILIES, VOCABULARY, pad_token
from planned_runs import Cell, made_up_texts, make_classifier, make_spec
from whichtune.compare import prepare
from whichtune.data.encoding import Encoded
from whichtune.measure.cost import Timers
from whichtune.models.course import Course
from whichtune.models.heads import Classifier
from whichtune.runs.preview import preview_run
from whichtune.runs.run import run_one
from whichtune.shortcuts.prepared import CacheSettings, prepare_forward
from whichtune.shortcuts.self_check import STRICT, ShortcutError
from whichtune.shortcuts.vocabulary import UsedRows, used_rows
from whichtune.study.load import parse_study
from whichtune.tasks.classification.evaluate import predict_split
from whichtune.tasks.classification.objective import ClassificationObjective
from whichtune.training.trainer import Trainer

CPU = torch.device("cpu")
SCALED = ("gemma3",)  # its embedding is none of torch's own, and trained as it is
KNOWN = VOCABULARY // 3  # tokens from here on are in no training text


def cell_of(family: str, method: str = "full") -> Cell:
    return Cell(family, method, "mean_nonpad" if family in ENCODERS else "last_nonpad", "dynamic", False)


def half_known(classifier: Classifier) -> Encoded:
    """Made-up texts whose tokens of the training split are the first ones alone."""
    encoded = made_up_texts(pad_token(classifier.backbone))
    train = encoded.splits["train"]
    train.tokens[:] = [[3 + token % (KNOWN - 3) for token in ids] for ids in train.tokens]
    return encoded


def trained(
    classifier: Classifier, cache: Path, narrow: bool, family: str = "gpt2", **settings: Any
) -> tuple[np.ndarray, dict[str, Any], Any]:
    """Losses of every step and point, logits of every split, and what was narrowed."""
    encoded, timers = half_known(classifier), Timers(CPU)
    spec = make_spec(cell_of(family), "auto", **{"weight_decay": 0.1, "learning_rate": 1e-2, **settings})
    forward = prepare_forward(spec, classifier, encoded, CPU, timers, CacheSettings(cache)).forward
    with used_rows(spec, classifier, forward, Course() if narrow else None, timers, []) as rows:
        trainer = Trainer(classifier, forward, spec, timers, ClassificationObjective(classifier, forward))
        if rows is not None:
            trainer.optimiser.register_step_post_hook(rows.after_step)
        training = trainer.train()
    logits = {name: predict_split(classifier, forward, name) for name in encoded.splits}
    points = [[point["train_loss"], point["validation_loss"]] for point in training.curves]
    return np.array(points, dtype=float), logits, rows


@pytest.mark.parametrize("family", [*FAMILIES])
def test_every_family_takes_the_same_course(family: str, tmp_path: Path) -> None:
    plain = make_classifier(cell_of(family))
    narrowed = copy.deepcopy(plain)
    before = plain.backbone.get_input_embeddings().weight.detach().clone()
    expected, found = trained(plain, tmp_path, False, family), trained(narrowed, tmp_path, True, family)
    assert np.abs(expected[0] - found[0]).max() < 2e-6
    for name, logits in expected[1].items():
        assert np.abs(logits - found[1][name]).max() < 1e-5 * max(1.0, np.abs(logits).max())
    if family in SCALED:
        assert found[2] is None
        return
    assert isinstance(found[2], UsedRows)
    assert len(found[2].used) <= KNOWN
    theirs = dict(narrowed.named_parameters())
    assert [*theirs] == [name for name, _ in plain.named_parameters()]
    for name, weight in plain.named_parameters():
        assert theirs[name].requires_grad == weight.requires_grad
        torch.testing.assert_close(theirs[name], weight, atol=1e-5, rtol=1e-5)
    after = narrowed.backbone.get_input_embeddings()
    assert type(after) is nn.Embedding
    unseen = after.weight[KNOWN:].detach()
    assert not torch.equal(unseen, before[KNOWN:])  # decay has reached them
    torch.testing.assert_close(unseen / before[KNOWN:], (unseen / before[KNOWN:]).mean().expand_as(unseen))


@pytest.mark.parametrize(
    "settings", [{"accumulation_steps": 2}, {"gradient_clip": 0.01}, {"weight_decay": 0.0}, {"schedule": "cosine"}]
)
def test_settings_of_steps_make_no_difference(settings: dict[str, Any], tmp_path: Path) -> None:
    plain = make_classifier(cell_of("gpt2"))
    narrowed = copy.deepcopy(plain)
    expected, found = trained(plain, tmp_path, False, **settings), trained(narrowed, tmp_path, True, **settings)
    assert expected[2] is None
    assert isinstance(found[2], UsedRows)
    assert np.abs(expected[0] - found[0]).max() < 2e-6
    torch.testing.assert_close(plain.backbone.wte.weight, narrowed.backbone.wte.weight, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("method", "settings", "course"),
    [
        ("last_block", {}, Course()),  # the embedding is frozen
        ("lora", {}, Course()),
        ("full", {"early_stopping": "loss"}, Course()),  # which keeps and puts back weights
        ("full", {"part": 0.5}, Course()),  # is put aside between two steps
        ("full", {}, type("Own", (Course,), {})()),  # may move weights of its own accord
        ("full", {}, None),
    ],
)
def test_where_all_rows_are_needed_all_are_trained(
    method: str, settings: dict[str, Any], course: Course | None, tmp_path: Path
) -> None:
    classifier = make_classifier(cell_of("gpt2", method))
    spec = make_spec(cell_of("gpt2", method), "auto", **settings)
    forward = prepare_forward(
        spec, classifier, half_known(classifier), CPU, Timers(CPU), CacheSettings(tmp_path)
    ).forward
    with used_rows(spec, classifier, forward, course, Timers(CPU), []) as rows:
        assert rows is None
        assert type(classifier.backbone.get_input_embeddings()) is nn.Embedding


def test_a_vocabulary_that_is_mostly_used_is_trained_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = make_classifier(cell_of("gpt2"))
    spec, encoded = make_spec(cell_of("gpt2"), "auto"), half_known(classifier)
    used = len({0, encoded.pad_id}.union(*encoded.splits["train"].tokens))
    forward = prepare_forward(spec, classifier, encoded, CPU, Timers(CPU), CacheSettings(tmp_path)).forward
    for most, narrowed in ((used / VOCABULARY, True), ((used - 1) / VOCABULARY, False)):
        monkeypatch.setattr("whichtune.shortcuts.vocabulary.MOST_USED", most)
        with used_rows(spec, classifier, forward, Course(), Timers(CPU), []) as rows:
            assert (rows is not None) == narrowed


def test_a_tied_weight_is_trained_as_it_is(tmp_path: Path) -> None:
    classifier = make_classifier(cell_of("gpt2"))
    spec, encoded = make_spec(cell_of("gpt2"), "auto"), half_known(classifier)
    forward = prepare_forward(spec, classifier, encoded, CPU, Timers(CPU), CacheSettings(tmp_path)).forward
    other = nn.Linear(*reversed(classifier.backbone.wte.weight.shape), bias=False)
    other.weight = classifier.backbone.wte.weight
    classifier.backbone.other = other
    with used_rows(spec, classifier, forward, Course(), Timers(CPU), []) as rows:
        assert rows is None


def test_a_model_that_does_not_say_where_its_embedding_is_is_trained_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers' base class raises for an architecture whose embedding it cannot find."""
    classifier = make_classifier(cell_of("gpt2"))

    def unknown() -> nn.Module:
        raise NotImplementedError

    monkeypatch.setattr(classifier.backbone, "get_input_embeddings", unknown)
    spec, encoded = make_spec(cell_of("gpt2"), "auto"), half_known(classifier)
    forward = prepare_forward(spec, classifier, encoded, CPU, Timers(CPU), CacheSettings(tmp_path)).forward
    with used_rows(spec, classifier, forward, Course(), Timers(CPU), []) as rows:
        assert rows is None
        assert classifier.backbone.wte.weight.requires_grad


def test_a_model_that_minds_is_told_and_trained_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = make_classifier(cell_of("gpt2"))
    spec, encoded = make_spec(cell_of("gpt2"), "auto"), half_known(classifier)
    forward = prepare_forward(spec, classifier, encoded, CPU, Timers(CPU), CacheSettings(tmp_path)).forward
    own = type(classifier.backbone).forward

    def looking(model: Any, *given: Any, **named: Any) -> Any:
        return own(model, *given, **named) if model.wte.num_embeddings else None

    monkeypatch.setattr(type(classifier.backbone), "forward", looking)
    with pytest.raises(ShortcutError), used_rows(spec, classifier, forward, Course(), Timers(CPU), []):
        pass
    monkeypatch.delenv(STRICT)
    notes: list[str] = []
    with used_rows(spec, classifier, forward, Course(), Timers(CPU), notes) as rows:
        assert rows is None
    assert len(notes) == 1
    assert notes[0].startswith("Self-check: all rows of the vocabulary are trained (AttributeError")
    assert type(classifier.backbone.wte) is nn.Embedding
    assert classifier.backbone.wte.weight.requires_grad


def test_the_plan_tells_of_it(mail: Path, tiny_gpt2: Path) -> None:
    study = {"data": str(mail), "model": str(tiny_gpt2), "methods": ["full", "last_block"], "seeds": [0]}
    expansion, dataset = prepare(parse_study({**study, "baselines": []}, "test"))
    told = {}
    for spec in expansion.specs:
        decisions = preview_run(spec, dataset).decisions
        told[spec.method] = [each.decided for each in decisions if each.about == "vocabulary"]
    assert told["last_block"] == []
    (rows,) = told["full"]
    used, _, total = rows.removesuffix(" rows").partition(" of ")
    assert 0 < int(used.replace(",", "")) < int(total.replace(",", ""))


def test_a_study_says_how_many_rows_it_trained(mail: Path, tiny_gpt2: Path, tmp_path: Path) -> None:
    settings = {"epochs": 1, "batch_size": 4, "context_length": 24}
    study = {"data": str(mail), "model": str(tiny_gpt2), "methods": ["full"], "seeds": [0], "settings": settings}
    results = []
    for plan in ("auto", "off"):
        expansion, _ = prepare(parse_study({**study, "baselines": [], "plan": plan}, "test"))
        results.append(run_one(expansion.specs[0], cache={"folder": tmp_path / "cache"}))
    narrowed, plain = results
    used: Any = (narrowed.record.shortcuts or {})["used"]
    count, _, total = used["vocabulary_rows"].partition(" of ")
    assert 0 < int(count) < int(total)
    assert "vocabulary_rows" not in str(plain.record.shortcuts)
    assert narrowed.curves[-1]["train_loss"] == pytest.approx(plain.curves[-1]["train_loss"], abs=1e-5)
    for name in ("trainable_parameters", "total_parameters", "adapter_bytes"):
        assert getattr(narrowed.record.cost, name) == getattr(plain.record.cost, name)
    losses = [result.predictions["loss"].to_numpy() for result in results]  # type: ignore[index]
    assert np.abs(losses[0] - losses[1]).max() < 1e-4
