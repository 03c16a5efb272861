"""Methods by PEFT, and those beside it: the same losses as plain loops, what trains, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from method_matrix import (
    LOSS,
    ON_FEATURES,
    STEPS,
    TABLE_FAMILIES,
    Cell,
    backbone_of,
    by_peft_itself,
    check_cell,
    differs,
    own_head,
    plain_loop,
    texts_for,
    train,
)
from whichtune.compare import prepare
from whichtune.errors import SettingError, WhichtuneError
from whichtune.methods import METHODS
from whichtune.models.depth import parts_from_the_top
from whichtune.models.heads import Classifier
from whichtune.study.load import parse_study
from whichtune.testing import METHOD_CHECKS, MethodCase

NAMES = ON_FEATURES
# One of each kind on every run of the suite; all of them, in all families, by `make test-slow`.
EVERY_TIME = [("gpt2", "loha"), ("bert", "ia3"), ("gpt2", "knn"), ("bert", "gradual_unfreezing")]


@pytest.mark.parametrize(
    ("family", "method"),
    [
        *EVERY_TIME,
        *[
            pytest.param(family, method, marks=pytest.mark.slow)
            for family in TABLE_FAMILIES
            for method in NAMES
            if (family, method) not in EVERY_TIME
        ],
    ],
)
def test_a_method_keeps_what_it_promises(family: str, method: str, tmp_path: Path) -> None:
    check_cell(Cell(family, method), tmp_path)


# -- two rates, and ranks that move --------------------------------------------------------------------


def test_lora_plus_is_adamw_with_two_rates(tmp_path: Path) -> None:
    cell = Cell("gpt2", "lora_plus", {"lora_rate_ratio": 4})
    model = by_peft_itself(cell)
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    fast = {id(p) for name, p in named if "lora_B" in name}
    rate = float(cell.spec.learning_rate or 0)
    groups = [
        {"params": [p for _, p in named if id(p) not in fast], "lr": rate},
        {"params": [p for _, p in named if id(p) in fast], "lr": 4 * rate},
    ]
    classifier, ours = train(cell, "off", tmp_path)
    np.testing.assert_allclose(ours.losses, plain_loop(model, texts_for(classifier), cell.position, groups), atol=LOSS)


def test_adalora_is_pefts_own_loop(tmp_path: Path) -> None:
    """With PEFT's penalty, as its model adds it to a loss, and its allocation after every step."""
    cell = Cell("gpt2", "adalora")
    classifier, ours = train(cell, "off", tmp_path)
    model = by_peft_itself(cell)
    tuner = model["body"].base_model
    config = tuner.peft_config["default"]
    config.total_step, config.tinit, config.tfinal = STEPS, 2, 6
    tuner.rankallocator.set_total_step(STEPS)

    class Peft:
        def penalty(self) -> torch.Tensor:
            from types import SimpleNamespace

            inner, zero = tuner.model, torch.zeros(())
            forward = inner.forward
            inner.forward = lambda: SimpleNamespace(loss=zero.clone())
            try:
                return tuner.forward().loss
            finally:
                inner.forward = forward

        def step(self, number: int) -> None:
            tuner.update_and_allocate(number)

    theirs = plain_loop(model, texts_for(classifier), cell.position, after=Peft())
    np.testing.assert_allclose(ours.losses, theirs, atol=LOSS)
    values = [p for name, p in classifier.named_parameters() if "lora_E" in name]
    left = sum(int((p != 0).sum()) for p in values)
    assert left == 3 * len(values), "as many singular values are left as the target rank says"


# -- the whole model, by depth -------------------------------------------------------------------------


def test_layer_decay_is_adamw_with_a_rate_a_block(tmp_path: Path) -> None:
    cell = Cell("gpt2", "full", {"layer_decay": 0.5})
    body = backbone_of("gpt2")
    model = torch.nn.ModuleDict({"body": body, "score": own_head()})
    first, second = body.h
    below = [body.wte, body.wpe]
    powers = [(0, [model["score"], body.ln_f]), (1, [second]), (2, [first]), (3, below)]
    rate = float(cell.spec.learning_rate or 0)
    groups = [
        {"params": [p for part in parts for p in part.parameters()], "lr": rate * 0.5**power} for power, parts in powers
    ]
    classifier, ours = train(cell, "off", tmp_path)
    np.testing.assert_allclose(ours.losses, plain_loop(model, texts_for(classifier), cell.position, groups), atol=LOSS)


def test_layers_join_from_the_top(tmp_path: Path) -> None:
    """Half of 20 steps for three stages of a model of two blocks: each joins at its time, and does not move before."""
    classifier = Cell("gpt2", "gradual_unfreezing").build()
    method = METHODS["gradual_unfreezing"]
    course = method.course(classifier, method.Settings())
    course.begin(20)
    parts = parts_from_the_top(classifier)
    assert sum(map(len, parts)) == len(list(classifier.parameters()))
    trains = []
    for number in range(20):
        with course.step(number):
            trains.append([bool(part[0].requires_grad) for part in parts])
    assert [sum(row) for row in trains[:11]] == [1, 1, 1, 1, 2, 2, 2, 4, 4, 4, 4]  # with the first block the rest
    assert all(p.requires_grad for p in classifier.parameters())


def test_lp_ft_begins_with_the_probes_head(tmp_path: Path) -> None:
    """At a rate of next to nothing it stays where the logistic probe is."""
    cell = Cell("bert", "lp_ft")
    probe, _ = train(Cell("bert", "logistic_probe"), "off", tmp_path)
    assert METHODS["lp_ft"].fits_first
    classifier, outcome = train(cell, "off", tmp_path)
    assert outcome.losses[0] < math.log(2), "the first step already has a fitted head"
    assert not torch.equal(classifier.head.weight, probe.head.weight)


# -- probes against scikit-learn -----------------------------------------------------------------------


def fitted(method: str, features: np.ndarray, labels: np.ndarray, **settings: Any) -> tuple[Classifier, list[str]]:
    """A method's head, fitted on the first 60 rows, the others for validation."""
    from whichtune.methods.fitting import Features

    classifier = Classifier(backbone_of("bert"), torch.nn.Linear(features.shape[1], 3), "last")
    chosen = METHODS[method]
    data = Features(features[:60], labels[:60], features[60:], labels[60:], 3)
    return classifier, chosen.fit(classifier, data, chosen.Settings(**settings), 0)


@pytest.fixture(scope="module")
def clouds() -> tuple[np.ndarray, np.ndarray]:
    """100 points of three overlapping classes in 8 dimensions of unlike scale."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 100)
    points = random.normal(size=(100, 8)) + np.eye(3, 8)[labels] * 1.5
    return (points * np.logspace(-1, 2, 8)).astype(np.float32), labels


def test_the_logistic_probe_is_scikit_learns(clouds: tuple[np.ndarray, np.ndarray]) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    points, labels = clouds
    classifier, notes = fitted("logistic_probe", points, labels)
    losses = {}
    for strength in [10.0**power for power in range(-4, 5)]:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=5000))
        model.fit(points[:60].astype(np.float64), labels[:60])
        losses[strength] = (log_loss(labels[60:], model.predict_proba(points[60:])), model.predict_proba(points))
    best = min(losses, key=lambda strength: losses[strength][0])
    assert f"{best:g} had the lowest validation loss" in notes[0]
    with torch.no_grad():
        ours = classifier.head(torch.as_tensor(points)).softmax(1).numpy()
    np.testing.assert_allclose(ours, losses[best][1], atol=2e-3)


@pytest.mark.parametrize("noise", [0.0, 1e-33, 1e-10])
def test_a_feature_that_never_varies_gets_no_weight(clouds: tuple[np.ndarray, np.ndarray], noise: float) -> None:
    """Brought to a spread of 1, rounding noise would get a weight beside which nothing else could train (MiniLM)."""
    points, labels = clouds
    random = np.random.default_rng(1).normal(size=(100, 2)).astype(np.float32)
    dead = np.array([0, 1], dtype=np.float32) + noise * random
    plain, _ = fitted("logistic_probe", points, labels)
    classifier, _ = fitted("logistic_probe", np.concatenate([points, dead], axis=1), labels)
    assert classifier.head.weight[:, 8:].abs().max() < 1e-3
    torch.testing.assert_close(classifier.head.weight[:, :8], plain.head.weight, atol=1e-3, rtol=1e-3)


def test_neighbours_vote_as_scikit_learns_do(clouds: tuple[np.ndarray, np.ndarray]) -> None:
    from sklearn.neighbors import KNeighborsClassifier

    points, labels = clouds
    classifier, _ = fitted("knn", points, labels, neighbours=5)
    theirs = KNeighborsClassifier(5, metric="cosine").fit(points[:60], labels[:60]).predict_proba(points[60:])
    with torch.no_grad():
        ours = classifier.head(torch.as_tensor(points[60:])).exp().numpy()
    np.testing.assert_allclose(ours, (5 * theirs + 1 / 3) / 6, atol=1e-5)
    chosen, notes = fitted("knn", points, labels)
    assert f"{int(chosen.head.k)} had the lowest validation loss" in notes[0]


# -- what a plan and a stored run make of them ---------------------------------------------------------


def test_what_lies_below_an_adapter_is_computed_once(tmp_path: Path) -> None:
    """The boundary is where the adapters begin, and nothing changes by it."""
    config = {"layers_to_transform": [1], "layers_pattern": "h", "r": 2}
    cell = Cell("gpt2", "peft", {"peft_type": "LOHA", "peft_config": config})
    _, plain = train(cell, "off", tmp_path)
    _, planned = train(cell, "auto", tmp_path)
    assert planned.prepared is not None
    assert str(planned.prepared.shortcuts["decisions"]["boundary"]).startswith("block 1 of 2")
    assert differs(plain, planned) <= LOSS


def test_an_adapters_own_dropout_turns_the_plan_off(tmp_path: Path) -> None:
    """It draws without a layer of torch's for it."""
    cell = Cell("gpt2", "peft", {"peft_type": "LOHA", "peft_config": {"rank_dropout": 0.5}})
    _, planned = train(cell, "auto", tmp_path)
    assert planned.prepared is not None
    assert "dropout 0.5" in str(planned.prepared.shortcuts["decisions"]["plan"])


def test_an_adapter_that_samples_turns_the_plan_off(tmp_path: Path) -> None:
    """It has no dropout, and draws all the same."""
    state = torch.get_rng_state()
    _, planned = train(Cell("bert", "peft", {"peft_type": "PVERA", "peft_config": {"r": 4}}), "auto", tmp_path)
    assert planned.prepared is not None
    assert "draws anew" in str(planned.prepared.shortcuts["decisions"]["plan"])
    torch.set_rng_state(state)


def test_neighbours_come_back_from_their_file(tmp_path: Path) -> None:
    """A head of another shape than the model is built with; the run is found and not made again."""
    METHOD_CHECKS["comes_back_from_its_weights"](MethodCase("knn"), tmp_path)


def test_the_list_for_a_model(tiny_gpt2: Path, tiny_bert: Path) -> None:
    from whichtune.cli.methods_for import methods_for

    (found,) = methods_for(str(tiny_gpt2), "loha")
    assert found.why_not is None
    assert found.merges
    sizes = [(32, 32)] * 4 + [(32, 128), (128, 32)]  # of three blocks' layers: two products of rank 8 beside each
    assert found.trains == 66 + 3 * sum(2 * 8 * (into + out) for into, out in sizes)
    (refused,) = methods_for(str(tiny_bert), "prefix_tuning")
    assert "for decoders" in str(refused.why_not)
    with pytest.raises(WhichtuneError, match="did you mean 'loha'"):
        methods_for(str(tiny_gpt2), "lohaa")


def test_two_types_of_peft_are_two_methods() -> None:
    """Each may have a rate of its own, as two methods may; with one type a rate is a confound."""
    from whichtune.stats.confounds import find_differences

    def confounds(left: str, right: str) -> list[str]:
        specs = [
            {
                **Cell("gpt2", "peft", {"peft_type": kind}).spec.model_dump(mode="json"),
                "learning_rate": rate,
                "learning_rate_source": "set",
            }
            for kind, rate in ((left, 1e-3), (right, 5e-3))
        ]
        return find_differences(specs[0], specs[1], "method", {}, {}).confounds

    assert not [text for text in confounds("IA3", "LOHA") if "learning rate" in text]
    assert [text for text in confounds("LOHA", "LOHA") if "learning rate" in text]


# -- what is refused, in one sentence, before a study starts -------------------------------------------


def refusal(model: Path, mail: Path, **line: Any) -> str:
    """What a study of this line is refused with."""
    value = {"data": str(mail), "model": str(model), "seeds": [0], "baselines": [], "methods": [line]}
    with pytest.raises(WhichtuneError) as caught:
        prepare(parse_study(value, "a test"))
    text = str(caught.value)
    assert text.endswith((".", "?"))
    assert "?." not in text
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"method": "peft", "peft_type": "IA4"}, "did you mean 'IA3'"),
        ({"method": "peft", "peft_type": "LOHA", "rnk_dropout": 0.1}, "did you mean 'rank_dropout'"),
        ({"method": "peft", "peft_type": "LOHA", "r": "many"}, "r of PEFT's LOHA is wrong"),
        ({"method": "peft", "peft_type": "PROMPT_TUNING"}, "use soft_prompt"),
        ({"method": "peft", "peft_type": "CPT"}, "by a loss of its own"),
        ({"method": "peft", "peft_type": "POLY"}, "several tasks at once"),
        ({"method": "peft", "peft_type": "LILY"}, "depends on the texts beside it"),
        ({"method": "peft", "peft_type": "XLORA"}, "adapters that were trained before"),
        ({"method": "peft", "init_lora_weights": "eva"}, "a pass over the data"),
        ({"method": "peft", "inference_mode": True}, "is set by whichtune"),
        ({"method": "peft", "target_modules": ["c_atn"]}, "did you mean 'c_attn'"),
        ({"method": "peft", "peft_type": "LOHA", "target_modules": ["wte"]}, "LOHA"),
        ({"method": "oft", "rotation_block": 24}, "does not divide 32"),
        ({"method": "boft", "butterfly_factors": 2}, "CUDA kernel"),
        ({"method": "hra", "reflections": 3}, "must be even"),
        ({"method": "adalora", "target_rank": 20}, "must not be above initial_rank"),
        ({"method": "head_only", "label_smoothing": 0.1, "focal_gamma": 2}, "opposite directions"),
        ({"method": "head_only", "class_weight": {"spm": 2}}, "did you mean 'spam'"),
    ],
)
def test_bad_lines_are_refused(line: dict[str, Any], words: str, tiny_gpt2: Path, mail: Path) -> None:
    assert words in refusal(tiny_gpt2, mail, **line)


def test_an_older_peft_is_told(monkeypatch: pytest.MonkeyPatch, tiny_gpt2: Path, mail: Path) -> None:
    monkeypatch.setattr(type(METHODS["miss"]), "since", "99.0")
    assert "miss needs PEFT 99.0 or later" in refusal(tiny_gpt2, mail, method="miss")


def test_what_only_weights_can_tell_is_no_fault(tiny_gpt2: Path, mail: Path) -> None:
    """Of an adapter that PEFT puts into a model with values alone; the run goes on."""
    from whichtune.runs.estimate import estimate_runs

    value = {
        "data": str(mail),
        "model": str(tiny_gpt2),
        "seeds": [0],
        "baselines": [],
        "methods": [
            "shira",
            {"method": "peft", "peft_type": "VBLORA", "num_vectors": 8, "vector_length": 8},
        ],
    }
    expansion, dataset = prepare(parse_study(value, "a test"))
    faults: dict[str, str] = {}
    estimates = estimate_runs(expansion.specs, dataset, faults)
    assert faults == {"peft": "cannot be estimated, because only a model with weights could tell"}
    (known,) = estimates.values()
    shira = Cell("gpt2", "shira").build()
    assert known.trainable_parameters == 66 + 8 * 3 * (4 * 64 + 2 * 160)
    assert sum(p.numel() for p in shira.parameters() if p.requires_grad) == 130 + 8 * 2 * (4 * 128 + 2 * 320)


def test_fields_of_peft_stand_beside_the_method(tiny_gpt2: Path, mail: Path) -> None:
    """Where whichtune has a setting of that name, and under METHOD.key, too; each is part of the run's identity."""
    value = {
        "data": str(mail),
        "model": str(tiny_gpt2),
        "seeds": [0],
        "baselines": [],
        "settings": {"peft.r": 3},
        "methods": [
            {"method": "peft", "peft_type": "LOKR", "alpha": "1e1", "learning_rate": 0.01},
            {"method": "peft", "label": "other", "peft_type": "ADALORA", "peft_config": {"beta1": 0.8, "init_r": 4}},
        ],
    }
    first, second = prepare(parse_study(value, "a test"))[0].specs
    assert first.method_settings["peft_config"] == {"r": 3, "alpha": 10.0}
    assert first.learning_rate == 0.01
    assert second.method_settings["peft_config"] == {"r": 3, "beta1": 0.8, "init_r": 4}
    assert second.beta1 == 0.9
    assert first.run_id != first.model_copy(update={"method_settings": {"peft_type": "LOKR"}}).run_id


@pytest.mark.slow
def test_every_type_of_peft_serves_or_says_why(tmp_path: Path) -> None:
    """Of all that the installed PEFT has: attached, or refused in a sentence of ours."""
    from whichtune.models.adapters import adapter_types

    refused = [name for name in adapter_types() if not _serves(name)]
    assert "LORA" not in refused
    assert len(refused) < len(adapter_types()) / 3


def _serves(name: str) -> bool:
    from whichtune.models.adapters import check_fields

    try:
        check_fields(name, {})
    except SettingError:
        return False
    return True
