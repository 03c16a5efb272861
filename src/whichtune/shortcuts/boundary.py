"""What must be computed: decided before a run starts, from its spec, model and texts alone.

Each decision comes with its reason. `docs/plan.md` explains them; `planned.py` carries them out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import JsonValue
from torch import nn

from whichtune.errors import ModelError
from whichtune.models.adaptable import Adaptable
from whichtune.models.adapters import draws_in_training
from whichtune.models.causality import is_causal
from whichtune.models.heads import Classifier
from whichtune.models.loading import parts_of
from whichtune.models.partition import Partition
from whichtune.models.pooler import drop_pooler
from whichtune.models.sizes import feature_width
from whichtune.shortcuts.adapter_kernels import has_adapter_kernels
from whichtune.shortcuts.features import Route, has_twins
from whichtune.shortcuts.packing import MaskKind, mask_kind
from whichtune.shortcuts.texts import TextRule, Texts
from whichtune.study.spec import RunSpec, TokenPosition

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

    from whichtune.data.encoding import Encoded

UNPADDED: dict[TokenPosition, TokenPosition] = {"last": "last_nonpad", "mean": "mean_nonpad"}


@dataclass(frozen=True)
class Decision:
    """One decision: what it is about, what was decided, and why."""

    about: str
    decided: str
    reason: str


@dataclass(frozen=True)
class BasicPlan:
    """What the plans of all tasks say. A plan that is off has no partition.

    `boundary`: the first block that trains (number of blocks: none does). `cached`: what of the frozen blocks is
    computed once, "states" at the boundary or what the head reads, or "nothing".
    """

    decisions: list[Decision]
    partition: Partition | None = None
    boundary: int = 0
    cached: str = "nothing"

    @property
    def is_off(self) -> bool:
        return self.partition is None

    @property
    def reasons(self) -> dict[str, JsonValue]:
        """Each decision with its reason, for the record."""
        return {d.about: f"{d.decided}: {d.reason}" if d.reason else d.decided for d in self.decisions}


@dataclass(frozen=True)
class Plan(BasicPlan):
    """What of a classifier's run is computed, once or each time.

    `cached` is "states", "features" or "nothing". `position`: where the head reads in texts computed by `text_rule`.
    `route` is what the self-check starts from.
    """

    text_rule: TextRule = "padded"
    position: TokenPosition = "last"
    causal: bool = True
    route: Route = field(default_factory=Route)


def make_plan(spec: RunSpec, classifier: Classifier, encoded: Encoded) -> Plan:
    """The plan of a run whose method is attached to `classifier`."""
    partition = cut(classifier.backbone, _why_off(spec, classifier))
    if isinstance(partition, Decision):
        return Plan([partition])
    causal = is_causal(classifier.backbone)
    boundary, why_boundary = find_boundary(classifier, partition)
    rule, why_rule = _text_rule(spec, encoded, causal)
    position = spec.token_position or "last"
    if rule != "padded":
        position = UNPADDED.get(position, position)
    cached, why_cached = _cached(boundary, why_boundary, classifier)
    pruning, why_pruning = _pruning(spec, position, classifier)
    masks, why_masks = _packing(classifier, rule, causal, cached)
    twins = has_twins(classifier.backbone)
    adapters = spec.precision == "float32" and has_adapter_kernels(classifier.backbone)
    return Plan(
        decisions=[
            Decision("boundary", f"block {boundary} of {len(partition)}", why_boundary),
            Decision("read position", position, f"the head reads {spec.token_position}"),
            Decision("texts", rule, why_rule),
            Decision("cache", cached, why_cached),
            Decision("last block", pruning or "in full", why_pruning),
            Decision("packing", masks or "none", why_masks),
            Decision("activations", "one kernel" if twins else "as they are", "the same formula" if twins else ""),
            *([Decision("adapters", "one step each", "the same products")] if adapters else []),
        ],
        partition=partition,
        boundary=boundary,
        cached=cached,
        text_rule=rule,
        position=position,
        causal=causal,
        route=Route(
            boundary=boundary if cached == "states" else 0,
            pruning="absorbed" if pruning else None,
            masks=masks,
            twins=twins,
            adapters=adapters,
        ),
    )


def cut(backbone: PreTrainedModel, why_off: str | None) -> Partition | Decision:
    """The model, to be cut at its blocks; or the decision that a plan is off, for the reason given or the model's."""
    if why_off:
        return Decision("plan", "off", why_off)
    try:
        return Partition(backbone)
    except ModelError as error:
        return Decision("plan", "off", str(error))


def _why_off(spec: RunSpec, classifier: Classifier) -> str | None:
    if spec.plan == "off":
        return "asked for"
    if spec.base_precision != "float32":
        return f"the model's matrices are in {spec.base_precision}"
    if type(classifier) is not Classifier:
        return "the method changes how the classifier computes"
    parts = (classifier.backbone, classifier.head, classifier.prompt)
    known = {id(p) for module in parts if module is not None for p in module.parameters()}
    if any(id(p) not in known for p in classifier.parameters()):
        return "the method trains something outside the model and its head"
    probability = largest_dropout(classifier)
    if probability > 0:
        return f"dropout {probability:g} draws anew at every step, and other shapes would draw other numbers"
    if classifier.adapter is not None and draws_in_training(classifier.backbone):
        return "the adapter draws anew at every step, and other shapes would draw other numbers"
    return None


def largest_dropout(model: Adaptable) -> float:
    """The largest dropout probability of any layer, adapters included, or of the model's configuration."""
    layers = [float(module.p) for module in model.modules() if isinstance(module, nn.Dropout)]
    named = [
        float(value)
        for part in parts_of(model.backbone.config)
        for key, value in part.to_dict().items()
        if "drop" in key and isinstance(value, (int, float)) and not any(word in key for word in _OF_OTHER_HEADS)
    ]
    return max([0.0, *layers, *named, *_of_adapter(model)])


def _of_adapter(model: Adaptable) -> list[float]:
    """Dropout that an adapter draws without a layer for it, as its configuration says."""
    settings = vars(model.adapter.config) if model.adapter is not None else {}
    return [
        float(value)
        for key, value in settings.items()
        if "dropout" in key and isinstance(value, (int, float)) and not isinstance(value, bool)
    ]


# Dropout of heads that transformers' own classifiers have and this one does not.
_OF_OTHER_HEADS = ("classif", "summary", "qa_")


def has_prompt(model: Adaptable) -> bool:
    """Whether virtual tokens stand before every text."""
    return model.prompt is not None


def find_boundary(model: Adaptable, partition: Partition) -> tuple[int, str]:
    """The first block with anything that trains, and what that is. A tied weight trains wherever it is used."""
    if has_prompt(model):
        return 0, "the prompt stands before the first block"
    trains = {id(p) for p in model.backbone.parameters() if p.requires_grad}
    if not trains:
        return len(partition), "nothing of the model trains"
    above = {id(p) for module in [*partition.blocks, *partition.final_modules] for p in module.parameters()}
    outside = [n for n, p in model.backbone.named_parameters() if id(p) in trains and id(p) not in above]
    if outside:
        return 0, f"{outside[0]} trains"
    for number, block in enumerate(partition.blocks):
        for name, parameter in block.named_parameters():
            if id(parameter) in trains:
                return number, f"{name} is the first to train"
    return len(partition), "only what follows the last block trains"


def frozen_below(spec: RunSpec, classifier: Classifier) -> tuple[Partition, int] | None:
    """The model, cut at its blocks, and the boundary below which a run computes once; None where it computes all each
    time. Needs no weights."""
    partition = cut(classifier.backbone, _why_off(spec, classifier))
    if isinstance(partition, Decision):
        return None
    boundary, _ = find_boundary(classifier, partition)
    return (partition, boundary) if boundary else None


def boundary_of_method(name: str, settings: Mapping[str, object], config: PretrainedConfig) -> int:
    """The boundary of a method on a model of this configuration, found without weights; 0 where it reads no states.

    Raises whatever a model may raise that cannot be built or run without storage.
    """
    import copy

    import torch
    from transformers import AutoModel

    from whichtune.methods import METHODS

    if METHODS[name].in_words:
        return 0
    with torch.device("meta"):
        backbone = AutoModel.from_config(copy.deepcopy(config))
        drop_pooler(backbone)
        classifier = Classifier(backbone, nn.Linear(feature_width(config), 2), "last")
        method = METHODS[name]
        method.attach(classifier, method.Settings(**settings), 0)
    return find_boundary(classifier, Partition(backbone))[0]


def _text_rule(spec: RunSpec, encoded: Encoded, causal: bool) -> tuple[TextRule, str]:
    """How much of each text must be computed."""
    position, padded = spec.token_position, encoded.padding == "right"
    if position == "first" and causal:
        return "first token", "the first token sees itself alone"
    if position in ("last", "mean") and padded:
        return "padded", f"{position} reads padding"
    if causal:
        return "unpadded", "real tokens see nothing of the padding after them"
    if padded and encoded.attend_to_padding:
        return "padded", "real tokens attend to padding"
    return "unpadded", "padding is masked"


def _cached(boundary: int, why_boundary: str, classifier: Classifier) -> tuple[str, str]:
    if boundary == 0:
        return "nothing", why_boundary if has_prompt(classifier) else "the first block trains"
    if not any(p.requires_grad for p in classifier.backbone.parameters()):
        return "features", "nothing below the head trains"
    return "states", f"blocks below {boundary} never change"


def _pruning(spec: RunSpec, position: TokenPosition, classifier: Classifier) -> tuple[str | None, str]:
    if has_prompt(classifier):
        return None, "virtual tokens go through it with the text's"
    if position in ("mean", "mean_nonpad"):
        return None, f"{position} reads every token"
    if spec.gradient_checkpointing:
        return None, "gradient checkpointing runs blocks again as a whole"
    return "read position alone", "one position is read"


def _packing(classifier: Classifier, rule: TextRule, causal: bool, cached: str) -> tuple[MaskKind | None, str]:
    if has_prompt(classifier):
        return None, "each text needs the prompt before it"
    if rule != "unpadded":
        return None, "all texts have one length"
    if cached == "features":
        return None, "the head reads cached features"
    kind = mask_kind(classifier.backbone, causal)
    if kind is None:
        return None, "the model cannot keep texts of one row apart"
    return kind, "texts in one row see only themselves"


def texts_of(plan: Plan, encoded: Encoded, split: str) -> Texts:
    """The texts of a split as the plan computes them."""
    tokens = encoded.splits[split].tokens
    lengths = [len(ids) for ids in tokens]
    if plan.text_rule == "first token":
        return Texts("first token", [ids[:1] for ids in tokens], [1] * len(tokens), encoded.pad_id, masked=False)
    if plan.text_rule == "unpadded":
        return Texts("unpadded", tokens, lengths, encoded.pad_id, masked=not plan.causal)
    width = encoded.context_length
    filled = [ids + [encoded.pad_id] * (width - len(ids)) for ids in tokens]
    return Texts("padded", filled, lengths, encoded.pad_id, masked=not encoded.attend_to_padding)
