"""A family of transformers' AutoModel with a method: right by an independent loop and by the plan, or refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from saved_models import save_with_embedded_tokenizer
from tiny_configurations import configuration_class, tiny_configuration
from whichtune.compare import prepare
from whichtune.errors import WhichtuneError
from whichtune.measure.cost import Timers
from whichtune.methods import METHODS
from whichtune.models.heads import Classifier
from whichtune.models.loading import inspect_model
from whichtune.models.partition import blocks_of
from whichtune.models.plain import plain_state
from whichtune.seeding import DATA_ORDER, generator
from whichtune.shortcuts.prepared import CacheSettings
from whichtune.study.load import parse_study
from whichtune.study.spec import RunSpec
from whichtune.tasks import task_of
from whichtune.tasks.classification.evaluate import predict_split
from whichtune.training.forward import PlainForward
from whichtune.training.trainer import Trainer

PROMPT, VIRTUAL = "please tell me what this is", 4
TRIED: dict[str, dict[str, Any]] = {
    "head_only": {},
    "full": {},
    "lora": {"lora_rank": 4},
    "prefix_tuning": {"virtual_tokens": VIRTUAL, "prompt_initialisation": "text", "prompt_text": PROMPT},
}
# Adam's first steps are as long for a gradient that is rounding alone as for any other: at usual rates it shows.
STEPS, BATCH, RATE, TOLERANCE, TEXTS = 2, 4, 1e-4, 1e-5, 24
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Ended:
    """How a method ended in a family: `right`, `refused` before a step was made, or `wrong`; and what was said of it.

    `planned`: what of the plan was used, where it was on."""

    result: str
    said: str = ""
    planned: str = ""


# -- the model -------------------------------------------------------------------------------------


def kind_or_refusal(family: str, folder: Path) -> tuple[str, str]:
    """`decoder` or `encoder`, or `refused` with the sentence, by the configuration alone; `not of text` where it has no
    vocabulary; `no configuration` where the family's class makes none by itself."""
    try:
        config = configuration_class(family)()
        config.save_pretrained(folder)
    except Exception as error:
        return "no configuration", _named(error)
    try:
        kind = inspect_model(str(folder), None, "random", remote_code=False).kind
    except WhichtuneError as error:
        return ("refused" if _reads_tokens(config) else "not of text"), str(error).replace(str(folder), family)
    return kind, ""


def _reads_tokens(config: Any) -> bool:
    try:
        return isinstance(getattr(config.get_text_config(), "vocab_size", None), int)
    except ValueError:  # several parts that are of text
        return True


def saved_model(family: str, folder: Path) -> Path:
    """A tiny model of the family with random weights, every one of them shaken, as users save models."""
    from transformers import AutoModel

    torch.manual_seed(0)
    model = AutoModel.from_config(tiny_configuration(family), dtype=torch.float32).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return save_with_embedded_tokenizer(model, folder)


def written_texts(place: Path) -> Path:
    from whichtune.embedded import dataset_path

    frame = pd.read_csv(dataset_path("messages") / "train.csv").head(TEXTS)
    frame.to_csv(place, index=False)
    return place


# -- a method in it --------------------------------------------------------------------------------


def ended(method: str, model: Path, texts: Path, cache: Path) -> Ended:
    """Try a method on a saved model."""
    settings = {
        "learning_rate": RATE,
        "epochs": 9,
        "max_steps": STEPS,
        "batch_size": BATCH,
        "evaluation_interval": 1,
        "evaluation_batches": 1,
        "schedule": "constant",
        "warmup_steps": 0,
        "gradient_clip": None,
    }
    study = {
        "data": str(texts),
        "model": str(model),
        "methods": [{"method": method, **TRIED[method]}],
        "seeds": [0],
        "baselines": [],
        "settings": settings,
    }
    try:
        expansion, dataset = prepare(parse_study(study, "families"))
        spec = expansion.specs[0]
        task_of(spec).build(spec, dataset)
    except WhichtuneError as error:
        return Ended("refused", str(error).replace(str(model), model.name))
    except Exception as error:
        return Ended("wrong", f"before the run: {_named(error)}")
    try:
        planned = _checked(spec, dataset, cache)
    except Exception as error:
        return Ended("wrong", _named(error))
    return Ended("right", planned=planned)


def _named(error: BaseException) -> str:
    text = " ".join(str(error).split())[:200]
    return text if isinstance(error, AssertionError) else f"{type(error).__name__}: {text}"


def _checked(spec: RunSpec, dataset: Any, cache: Path) -> str:
    """Raise AssertionError for what is not as it should be; gives what of the plan was used."""
    classifier, encoded = _made(spec, dataset)
    own = Own(spec, classifier)
    classifier.eval()
    found = predict_split(classifier, PlainForward(classifier, encoded, CPU, "float32"), "test")
    tokens = encoded.splits["test"].tokens
    with torch.no_grad():
        expected = np.stack([own.logits(ids).numpy() for ids in tokens])
    _equal(found, expected, "logits of the plain way and of the family's own forward, a text at a time")
    if spec.method == "lora":
        _nothing_unsaid(classifier)
    plain, _ = _trained(spec.model_copy(update={"plan": "off"}), dataset, cache)
    planned, used = _trained(spec, dataset, cache)
    for name, values in plain.items():
        _equal(planned[name], values, f"{name} of the plan and of the plain way")
    if spec.method in ("head_only", "full"):
        labels = encoded.splits["train"].labels
        theirs = own.trained_losses(encoded.splits["train"].tokens, labels, everything=spec.method == "full")
        _equal(plain["losses"], np.array(theirs), "losses of the plain way and of a loop written apart")
    return used


def _equal(found: np.ndarray, expected: np.ndarray, what: str) -> None:
    assert np.isfinite(expected).all(), f"{what}: not finite"
    away = float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))
    assert away <= TOLERANCE, f"{what} differ by {away:.1e}"


def _made(spec: RunSpec, dataset: Any) -> tuple[Classifier, Any]:
    task = task_of(spec)
    classifier, tokenizer = task.build(spec, dataset)
    encoded = task.encode(spec, dataset, tokenizer, classifier.backbone.config)
    torch.manual_seed(1)
    for name, parameter in classifier.named_parameters():
        if "lora_B" in name:  # fresh adapters add nothing; these do
            torch.nn.init.normal_(parameter, std=0.1)
    return classifier, encoded


def _trained(spec: RunSpec, dataset: Any, cache: Path) -> tuple[dict[str, np.ndarray], str]:
    """Losses of the steps and logits of every split, by the product's own loop, and what was used."""
    classifier, encoded = _made(spec, dataset)
    task, method, timers = task_of(spec), METHODS[spec.method], Timers(CPU)
    forward: Any = PlainForward(classifier, encoded, CPU, "float32")
    used = ""
    if spec.plan != "off":
        prepared = task.prepare(spec, classifier, encoded, CPU, timers, CacheSettings(cache))
        forward = prepared.forward
        used = "; ".join([_plan_in_words(prepared.shortcuts), *prepared.notes])
    losses: list[float] = []
    objective = task.objective(spec, classifier, forward)
    course = method.course(classifier, method.Settings(**spec.method_settings))
    trainer = Trainer(
        classifier, forward, spec, timers, objective, lambda e: losses.append(float(e["train_loss"])), course=course
    )
    trainer.train()
    found = {f"logits of {name}": predict_split(classifier, forward, name) for name in encoded.splits}
    return {"losses": np.array(losses), **found}, used


def _plan_in_words(shortcuts: dict[str, Any]) -> str:
    reasons = shortcuts["decisions"]
    if "plan" in reasons:
        return str(reasons["plan"])
    used = shortcuts.get("used", {})
    if used.get("plain"):
        return "off: the check found it not equal"
    return f"cached {used['cached']}, packing {used['packing']}, last block {used['last_block']}"


def _nothing_unsaid(classifier: Classifier) -> None:
    """Every matrix of the blocks has an adapter, or the method's remarks say that it has none."""
    from peft.tuners.lora import LoraLayer

    blocks = blocks_of(classifier.backbone)
    under = {id(p) for m in blocks.modules() if isinstance(m, LoraLayer) for p in m.parameters()}
    matrices = {name: p for name, p in blocks.named_parameters() if p.ndim > 1 and min(p.shape[:2]) > 1}
    left = {name: p for name, p in matrices.items() if id(p) not in under}
    remarks = " ".join(METHODS["lora"].remarks(classifier))
    unsaid = {name: p for name, p in left.items() if not any(part in remarks for part in name.split(".")[-2:])}
    share = sum(p.numel() for p in unsaid.values()) / sum(p.numel() for p in matrices.values())
    assert share < 0.02, f"lora adapts nothing of {', '.join(sorted(unsaid)[:4])}, and says nothing of it"


# -- written apart ---------------------------------------------------------------------------------


class Own:
    """The same model by transformers' own class from the same folder, a text at a time, without padding or mask.

    LoRA's updates are added to its weights; a prefix that begins as tokens is those tokens before the text."""

    def __init__(self, spec: RunSpec, classifier: Classifier) -> None:
        from transformers import AutoConfig, AutoModel, AutoTokenizer

        config = AutoConfig.from_pretrained(spec.model)
        config.use_cache = False
        self.body = AutoModel.from_pretrained(spec.model, config=config, dtype=torch.float32).eval()
        self.head = torch.nn.Linear(classifier.head.in_features, classifier.head.out_features)
        self.head.load_state_dict({k: v.detach().clone() for k, v in classifier.head.state_dict().items()})
        self.position = str(spec.token_position)
        self.before: list[int] = []
        if spec.method == "prefix_tuning":
            ids = AutoTokenizer.from_pretrained(spec.model)(PROMPT, add_special_tokens=False)["input_ids"]
            self.before = (ids * VIRTUAL)[:VIRTUAL]
        if spec.method == "lora":
            with METHODS["lora"].merged(classifier):
                state = plain_state(classifier.backbone, self.body)
                missing = self.body.load_state_dict(state, strict=False).missing_keys
            assert all("pooler" in name for name in missing), f"a merged model lacks {missing[:3]}"

    def logits(self, ids: list[int]) -> torch.Tensor:
        """(C,)"""
        states = self.body(input_ids=torch.tensor([self.before + ids])).last_hidden_state[0, len(self.before) :]
        assert len(states) == len(ids), f"{len(states)} states of {len(ids)} tokens"
        return self.head(states[-1] if self.position == "last_nonpad" else states.mean(0))

    def trained_losses(self, texts: list[list[int]], labels: np.ndarray, everything: bool) -> list[float]:
        body = [p for name, p in self.body.named_parameters() if not name.startswith("pooler.")]
        for parameter in body:
            parameter.requires_grad_(everything)
        trained = [*self.head.parameters(), *(body if everything else [])]
        optimiser = torch.optim.AdamW(trained, lr=RATE, weight_decay=0.01)
        rows, losses = torch.randperm(len(texts), generator=generator(0, DATA_ORDER)).tolist(), []
        for start in range(0, STEPS * BATCH, BATCH):
            chosen = rows[start : start + BATCH]
            logits = torch.stack([self.logits(texts[row]) for row in chosen])
            loss = F.cross_entropy(logits, torch.tensor(labels[chosen]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        return losses
