"""A method in a tiny model of a family: what it trains, and whether plan, saving, merging and a plain loop agree."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import transformers as hf

from models import tiny_families
from models.tiny_families import ENCODERS, HIDDEN, pad_token
from planned_runs import Outcome, made_up_texts
from whichtune.data.encoding import Encoded
from whichtune.measure.cost import Timers
from whichtune.methods import METHODS
from whichtune.methods.peft_method import PeftMethod
from whichtune.models.heads import Classifier, new_head
from whichtune.models.saving import restore_trained_state, trained_state
from whichtune.seeding import ADAPTER, DATA_ORDER, DROPOUT, HEAD, generator, seed_global
from whichtune.shortcuts.prepared import CacheSettings
from whichtune.study.spec import DataSettings, RunSpec
from whichtune.tasks import task_of
from whichtune.tasks.classification.evaluate import predict_split
from whichtune.training.forward import PlainForward
from whichtune.training.trainer import Trainer

STEPS, RATE, SEED = 20, 1e-3, 0
LOSS, LOGIT = 1e-5, 1e-4
# LoRA+'s other rate is 16 times this; DEFT decomposes in every step, by which rounding grows.
RATES = {"lora_plus": 1e-4, "DEFT": 1e-5}
# Families of the table; those beyond tiny_families stand here.
MAMBA: dict[str, Any] = {"hidden_size": HIDDEN, "num_hidden_layers": 3, "state_size": 8, "pad_token_id": 0}
tiny_families.FAMILIES.setdefault("mamba", (hf.MambaConfig, hf.MambaModel, MAMBA))
TABLE_FAMILIES = ("gpt2", "llama", "qwen3", "bert", "modernbert", "distilbert", "mamba")
BLOCKS, DEPTHS = 2, ("n_layer", "n_layers", "num_hidden_layers")
# Sizes that suit a model of width 64.
SMALL: dict[str, dict[str, Any]] = {
    "last_blocks": {"blocks": 1},
    "peft": {"peft_type": "DELORA"},
    "vera": {"random_rank": 8},
    "randlora": {"random_rank": 8},
    "fourierft": {"frequencies": 100},
    "soft_prompt": {"virtual_tokens": 4},
    "prefix_tuning": {"virtual_tokens": 4},
    "p_tuning": {"virtual_tokens": 4},
    "adalora": {"initial_rank": 6, "target_rank": 3, "allocation_interval": 2},
}


# Fields of PEFT's types that have no name of their own here, where their defaults do not fit that width.
TYPES: dict[str, dict[str, Any]] = {
    "GRALORA": {"r": 8},
    "ROAD": {"group_size": 16},
    "VBLORA": {"num_vectors": 16, "vector_length": 16},
    "WAVEFT": {"n_frequency": 64},
}
# Methods whose models have a head on features; others are asked in tests/tasks/test_prompted.py.
ON_FEATURES = [n for n, method in METHODS.items() if "classification" in method.tasks and not method.in_words]
OF_PEFT = "peft: "  # before a type's name, in the table


def nameless_types() -> list[str]:
    """The types of the installed PEFT that serve here and are no named method's."""
    from whichtune.errors import SettingError
    from whichtune.models.adapters import adapter_types, check_fields

    named = {method.peft_type for method in METHODS.values() if hasattr(method, "peft_type")}
    found = []
    for name in adapter_types():
        try:
            check_fields(name, {})
        except SettingError:
            continue
        if name not in named:
            found.append(name)
    return found


def cell_of(family: str, label: str) -> Cell:
    """The cell of a row of the table: a method's name, or `peft: TYPE`."""
    kind = label.removeprefix(OF_PEFT)
    if kind == label:
        return Cell(family, label)
    return Cell(family, "peft", {"peft_type": kind, "peft_config": TYPES.get(kind, {})})


@dataclass(frozen=True)
class Cell:
    """A method with its settings in a family."""

    family: str
    method: str
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def own(self) -> dict[str, Any]:
        return {**SMALL.get(self.method, {}), **self.settings}

    @property
    def spec(self) -> RunSpec:
        return RunSpec(
            label=self.method,
            data=DataSettings(),
            model=self.family,
            method=self.method,
            method_settings=self.own,
            token_position="mean_nonpad" if self.family in ENCODERS else "last_nonpad",
            padding="dynamic",
            learning_rate=RATES.get(str(self.own.get("peft_type", self.method)), RATE),
            epochs=9,
            max_steps=STEPS,
            batch_size=6,
            evaluation_interval=1,
            evaluation_batches=1,
            schedule="constant",
            warmup_steps=0,
            gradient_clip=None,
            seed=SEED,
        )

    @property
    def position(self) -> str:
        return str(self.spec.token_position)

    def build(self) -> Classifier:
        """The model with the method attached, without dropout."""
        classifier = Classifier(backbone_of(self.family), own_head(), self.spec.token_position or "last")
        method = METHODS[self.method]
        method.attach(classifier, method.Settings(**self.own), SEED)
        return classifier


def backbone_of(family: str) -> Any:
    names = ("resid_pdrop", "embd_pdrop", "attn_pdrop", "hidden_dropout_prob", "attention_probs_dropout_prob")
    names += ("dropout", "attention_dropout", "hidden_dropout", "resid_dropout", "embedding_dropout", "mlp_dropout")
    known = tiny_families.FAMILIES[family][0]().to_dict()
    blocks = {name: BLOCKS for name in DEPTHS if name in tiny_families.FAMILIES[family][2]}
    backbone: Any = tiny_families.tiny_model(family, **{name: 0.0 for name in names if name in known}, **blocks)
    if getattr(backbone, "pooler", None) is not None:
        backbone.pooler = None
    return backbone


def own_head() -> torch.nn.Linear:
    return new_head(HIDDEN, 2, generator(SEED, HEAD))


def texts_for(classifier: Classifier) -> Encoded:
    return made_up_texts(pad_token(classifier.backbone))


def train(cell: Cell, plan: str, cache: Path) -> tuple[Classifier, Outcome]:
    """By the product's own loop, as `run_one` makes it."""
    spec, classifier = cell.spec.model_copy(update={"plan": plan}), cell.build()
    encoded, device = texts_for(classifier), torch.device("cpu")
    timers, task, method = Timers(device), task_of(spec), METHODS[cell.method]
    prepared = None if plan == "off" else task.prepare(spec, classifier, encoded, device, timers, CacheSettings(cache))
    forward: Any = PlainForward(classifier, encoded, device, "float32") if prepared is None else prepared.forward
    losses: list[float] = []
    if method.closed_form or method.fits_first:
        task.solve(spec, classifier, forward, timers)
    if not method.closed_form:
        course = method.course(classifier, method.Settings(**cell.own))
        objective = task.objective(spec, classifier, forward)

        def note(event: Any) -> None:
            losses.append(float(event["train_loss"]))

        Trainer(classifier, forward, spec, timers, objective, note, course=course).train()
    if method.in_pairs:
        task.solve(spec, classifier, forward, timers)
    logits = {name: predict_split(classifier, forward, name) for name in encoded.splits}
    return classifier, Outcome(losses, logits, prepared, 0, timers)


def plain_loop(
    model: Any, encoded: Encoded, position: str, groups: Any = None, after: Any = None, rate: float = RATE
) -> list[float]:
    """The loss of each step of a loop written apart: own padding, own reading, torch's AdamW."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(groups or trained, lr=rate, weight_decay=0.01)
    order, train, losses = generator(SEED, DATA_ORDER), encoded.splits["train"], []
    model.train()
    seed_global(SEED, DROPOUT)  # what draws in training draws alike
    while True:
        rows = torch.randperm(len(train), generator=order).tolist()
        for start in range(0, len(rows), 6):
            chosen = rows[start : start + 6]
            loss = F.cross_entropy(
                plain_logits(model, [train.tokens[r] for r in chosen], encoded.pad_id, position),
                torch.tensor(train.labels[chosen]),
            )
            (loss + after.penalty() if after is not None else loss).backward()
            optimiser.step()
            if after is not None:
                after.step(len(losses))
            optimiser.zero_grad()
            losses.append(loss.item())
            if len(losses) == STEPS:
                return losses


def plain_logits(model: Any, texts: list[list[int]], pad_id: int, position: str) -> torch.Tensor:
    """(B, C) of a model with a `body` of PEFT or transformers and a `score` layer."""
    width, lengths = max(map(len, texts)), torch.tensor([len(text) for text in texts])
    ids = torch.tensor([text + [pad_id] * (width - len(text)) for text in texts])
    mask = (torch.arange(width)[None] < lengths[:, None]).long()
    states = model["body"](input_ids=ids, attention_mask=mask)[0]
    if position == "last_nonpad":
        read = states[torch.arange(len(texts)), lengths - 1]
    else:
        read = (states * mask[..., None]).sum(1) / lengths[:, None]
    return model["score"](read)


def by_peft_itself(cell: Cell) -> Any:
    """The same adapter by `peft.get_peft_model`, on a model whose fused and transposed layers are split and turned."""
    from peft import get_peft_model

    from whichtune.models.adapters import config_class, straighten

    method = METHODS[cell.method]
    assert isinstance(method, PeftMethod)
    settings, body = method.Settings(**cell.own), backbone_of(cell.family)
    straighten(body)
    layers = method.layers(body, settings)
    seed_global(SEED, ADAPTER)
    config = config_class(method.type_of(settings))(**{**method.fields(settings), **layers})
    return torch.nn.ModuleDict({"body": get_peft_model(body, config), "score": own_head()})


# -- what is asked of every cell ---------------------------------------------------------------------


def differs(a: Outcome, b: Outcome) -> float:
    """The largest difference of a loss or a logit, a logit's over ten and over the largest."""
    losses = max((abs(x - y) for x, y in zip(a.losses, b.losses, strict=True)), default=0.0)
    scale = max(1.0, *(float(np.abs(values).max()) for values in a.logits.values()))
    logits = max(float(np.abs(a.logits[name] - b.logits[name]).max()) for name in a.logits)
    return max(losses, logits / scale * LOSS / LOGIT)


def check_cell(cell: Cell, folder: Path) -> str | None:
    """Raise AssertionError for what is not as it should be; a sentence where the family cannot serve."""
    from whichtune.errors import WhichtuneError

    try:
        fresh = cell.build()
    except WhichtuneError as error:
        return str(error)
    before = {name: p.detach().clone() for name, p in fresh.named_parameters()}
    trains = {name for name, p in fresh.named_parameters() if p.requires_grad}
    classifier, plain = train(cell, "off", folder)
    _, planned = train(cell, "auto", folder)
    assert differs(plain, planned) <= LOSS, f"the plan differs by {differs(plain, planned):.1e}"
    changed = {n for n, p in classifier.named_parameters() if n not in before or not torch.equal(p, before[n])}
    assert changed, "nothing moved"
    fitted = {name for name, _ in classifier.named_parameters() if name.startswith("head.")}
    assert changed <= trains | (fitted if METHODS[cell.method].closed_form else set()), changed - trains
    comes_back(cell, classifier, plain)
    merges(cell, classifier)
    if isinstance(METHODS[cell.method], PeftMethod) and cell.method not in ("adalora", "lora_plus"):
        rate = float(cell.spec.learning_rate or 0)
        theirs = plain_loop(by_peft_itself(cell), texts_for(classifier), cell.position, rate=rate)
        np.testing.assert_allclose(plain.losses, theirs, atol=LOSS)
    return None


def comes_back(cell: Cell, classifier: Classifier, outcome: Outcome) -> None:
    """The stored state, in a model built anew, gives the same logits."""
    state, again = trained_state(classifier), cell.build()
    METHODS[cell.method].make_room(again, {name: tuple(value.shape) for name, value in state.items()})
    assert set(state) == {name for name, p in again.named_parameters() if p.requires_grad}
    restore_trained_state(again, state)
    again.eval()
    encoded = texts_for(again)
    found = predict_split(again, PlainForward(again, encoded, torch.device("cpu"), "float32"), "test")
    np.testing.assert_allclose(found, outcome.logits["test"], atol=LOGIT)


def merges(cell: Cell, classifier: Classifier) -> bool:
    """Merged adapters give the same logits, and the same again once they are taken out."""
    classifier = copy.deepcopy(classifier).eval()
    encoded = texts_for(classifier)
    forward = PlainForward(classifier, encoded, torch.device("cpu"), "float32")
    before = predict_split(classifier, forward, "test")
    with METHODS[cell.method].merged(classifier) as merged:
        within = predict_split(classifier, forward, "test")
    np.testing.assert_allclose(within, before, atol=LOGIT, rtol=LOGIT)
    np.testing.assert_allclose(predict_split(classifier, forward, "test"), before, atol=LOGIT, rtol=LOGIT)
    return bool(merged)
