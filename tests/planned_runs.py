"""A tiny run made twice, by its plan and the plain way: losses of every step and logits of every text."""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.tiny_families import ENCODERS, FAMILIES, HIDDEN, VOCABULARY, pad_token, tiny_model
from whichtune.data.encoding import Encoded, EncodedSplit
from whichtune.measure.cost import Timers
from whichtune.methods import METHODS
from whichtune.models.causality import remove_causal_mask
from whichtune.models.heads import Classifier, new_head
from whichtune.models.partition import blocks_of
from whichtune.models.unfuse import unfuse
from whichtune.seeding import HEAD, generator
from whichtune.shortcuts.prepared import CacheSettings, Prepared, prepare_forward
from whichtune.study.data_settings import DataSettings
from whichtune.study.spec import RunSpec
from whichtune.tasks.classification.evaluate import predict_split
from whichtune.tasks.classification.objective import ClassificationObjective
from whichtune.training.forward import PlainForward
from whichtune.training.trainer import Trainer, Training

STEPS = 10
CONTEXT = 24
POSITIONS = ("first", "last", "last_nonpad", "mean", "mean_nonpad")
# (padding, attend_to_padding)
ARRANGEMENTS = (("right", False), ("right", True), ("dynamic", False), ("none", False))
# The boundary lies at the head, in the middle, at the last block, at 0; adapters everywhere and above it; prompts.
METHOD_NAMES = (
    "head_only",
    "last_two_blocks",
    "last_block",
    "full",
    "lora",
    "lora above",
    "soft_prompt",
    "prefix_tuning",
)


@dataclass(frozen=True)
class Cell:
    """One combination of what a plan depends on."""

    family: str
    method: str
    position: str
    padding: str
    attend: bool

    @property
    def is_valid(self) -> bool:
        """Reading or attending to padding needs a fixed width, as the settings demand; a prefix needs a decoder that
        keeps keys and values."""
        if self.method == "prefix_tuning" and self.family in (*ENCODERS, "mamba"):
            return False
        reads = self.position in ("last", "mean") or self.attend
        return not (self.padding == "dynamic" and reads)

    def __str__(self) -> str:
        return "-".join([self.family, self.method, self.position, self.padding, "attended" * self.attend]).strip("-")


def cells(family: str) -> list[Cell]:
    """Every valid combination for a family."""
    every = itertools.product(METHOD_NAMES, POSITIONS, ARRANGEMENTS)
    found = [Cell(family, method, position, *arrangement) for method, position, arrangement in every]
    return [cell for cell in found if cell.is_valid]


@dataclass
class Outcome:
    """What a run shows of how it was computed."""

    losses: list[float]
    logits: dict[str, np.ndarray]
    prepared: Prepared | None
    flops: int
    timers: Timers
    parameters: dict[str, torch.Tensor] = field(default_factory=dict)
    training: Training | None = None

    def difference(self, other: Outcome) -> float:
        """Largest difference of any step's loss or any text's logit."""
        losses = max(abs(a - b) for a, b in zip(self.losses, other.losses, strict=True))
        return max(losses, *(float(np.abs(self.logits[s] - other.logits[s]).max()) for s in self.logits))


def made_up_texts(pad_id: int, padding: str = "dynamic", attend: bool = False, seed: int = 0) -> Encoded:
    """Ragged random texts, some of them twice; the longest training text has the context length."""
    random = np.random.default_rng(seed)
    splits = {}
    for name, count in (("train", 30), ("validation", 7), ("test", 9)):
        lengths = random.integers(1, CONTEXT + 1, count)
        lengths[0] = CONTEXT
        tokens = [random.integers(3, VOCABULARY, n).tolist() for n in lengths]
        tokens[-1] = list(tokens[1])
        labels = random.integers(0, 2, count)
        ids = [f"{name}-{i}" for i in range(count)]
        splits[name] = EncodedSplit(ids, tokens, labels, np.zeros(count, dtype=bool), 0)
    return Encoded(splits, CONTEXT, pad_id, padding, attend)  # type: ignore[arg-type]


def make_classifier(cell: Cell, causal_mask: bool = True, seed: int = 0, **config: Any) -> Classifier:
    """A tiny model with the cell's method attached."""
    dropout = {key: 0.0 for key in ("resid_pdrop", "embd_pdrop", "attn_pdrop") if cell.family == "gpt2"}
    dropout |= dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), 0.0)
    dropout |= dict.fromkeys(("dropout", "attention_dropout", "hidden_dropout", "resid_dropout"), 0.0)
    settings = FAMILIES[cell.family][0]().to_dict()
    backbone = tiny_model(cell.family, **{k: v for k, v in {**dropout, **config}.items() if k in settings})
    if getattr(backbone, "pooler", None) is not None:
        backbone.pooler = None
    if not causal_mask:
        remove_causal_mask(backbone, cell.family)
    classifier = Classifier(backbone, new_head(HIDDEN, 2, generator(seed, HEAD)), cell.position)  # type: ignore[arg-type]
    name, settings = cell.method, {}
    if name == "lora above":
        name, settings = "lora", {"lora_targets": _linear_of_last_block(backbone)}
    method = METHODS[name]
    method.attach(classifier, method.Settings(**settings), seed)
    if name == "lora":  # fresh adapters add nothing; these do
        torch.manual_seed(1)
        for parameter_name, parameter in classifier.named_parameters():
            if "lora_B" in parameter_name:
                torch.nn.init.normal_(parameter, std=0.1)
    return classifier


def _linear_of_last_block(backbone: torch.nn.Module) -> list[str]:
    """Full names, as they are once fused layers are split, which the method does first."""
    split = copy.deepcopy(backbone)
    unfuse(split)
    names = {id(module): name for name, module in split.named_modules()}
    linear = [m for m in blocks_of(split)[-1].modules() if type(m).__name__ in ("Linear", "Conv1D")]
    return [names[id(module)] for module in linear]


def make_spec(cell: Cell, plan: str, **settings: Any) -> RunSpec:
    defaults: dict[str, Any] = {
        "learning_rate": 1e-3,
        "epochs": 2,
        "max_steps": STEPS,
        "batch_size": 6,
        "evaluation_interval": 1,
        "evaluation_batches": 1,
        "seed": 0,
    }
    return RunSpec(
        label=cell.method,
        data=DataSettings(),
        model=cell.family,
        method="lora" if cell.method == "lora above" else cell.method,
        token_position=cell.position,  # type: ignore[arg-type]
        padding=cell.padding,  # type: ignore[arg-type]
        attend_to_padding=cell.attend,
        plan=plan,  # type: ignore[arg-type]
        **{**defaults, **settings},
    )


def run(
    cell: Cell,
    plan: str,
    cache: Path,
    classifier: Classifier | None = None,
    encoded: Encoded | None = None,
    cache_settings: CacheSettings | None = None,
    device: str = "cpu",
    **settings: Any,
) -> Outcome:
    """Train and predict by the product's own loop."""
    classifier = classifier or make_classifier(cell)
    encoded = encoded or made_up_texts(pad_token(classifier.backbone), cell.padding, cell.attend)
    spec = make_spec(cell, plan, **settings)
    place = torch.device(device)
    classifier.to(place)
    timers = Timers(place)
    prepared = None
    if plan == "off":
        forward: Any = PlainForward(classifier, encoded, place, spec.precision)
    else:
        settings_ = cache_settings or CacheSettings(cache)
        prepared = prepare_forward(spec, classifier, encoded, place, timers, settings_)
        forward = prepared.forward
    training = Trainer(classifier, forward, spec, timers, ClassificationObjective(classifier, forward)).train()
    logits = {name: predict_split(classifier, forward, name) for name in encoded.splits}
    losses = [point["train_loss"] for point in training.curves]
    return Outcome(losses, logits, prepared, training.flops, timers, training=training)


def is_encoder(family: str) -> bool:
    return family in ENCODERS
