"""Train one kind of the model's own numbers: biases, or norms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichtune.errors import ModelError
from whichtune.methods.base import CHOSEN, Card, Method, NoSettings, register

if TYPE_CHECKING:
    from whichtune.models.adaptable import Adaptable
    from whichtune.models.loading import ModelInfo
    from whichtune.study.spec import Settings as RunSettings

COST = "A full forward and backward pass with next to no optimiser memory."


@register
class BitFit(Method[NoSettings]):
    name = "bitfit"
    deep = True
    inserts = True
    family = "parts of the model"
    card = Card(
        title="BitFit, bias-term fine-tuning",
        summary="Train every bias of the model, those of its norms included, and the head.",
        trains="All biases, about 0.1 % of the model, and the head.",
        use_when="You want a small file without anything inserted; the model must have biases, as BERT and GPT-2 do.",
        cost=COST,
        learning_rate=4e-3,
        learning_rate_of_texts=1e-3,
        rate_note=CHOSEN + "81.0 %; 78.0 at 1e-3, the largest that the paper tries for BERT; chance at 1.6e-2.",
        reference="Ben Zaken, Goldberg and Ravfogel 2022, BitFit: Simple Parameter-efficient Fine-tuning",
    )

    def keeps_weights(self, settings: NoSettings) -> bool:
        return True

    def attach(self, model: Adaptable, settings: NoSettings, seed: int) -> None:
        model.requires_grad_(False)
        biases = [p for name, p in model.backbone.named_parameters() if name.rsplit(".", 1)[-1] == "bias"]
        if not biases:
            raise ModelError(f"{type(model.backbone).__name__} has no biases for bitfit to train: use norm_only.")
        for parameter in biases:
            parameter.requires_grad_(True)
        model.head.requires_grad_(True)

    def conflict(self, own: NoSettings, shared: RunSettings, info: ModelInfo | None) -> str | None:
        if info is None or _has_biases(str(info.path)):
            return None
        return f"bitfit trains biases, and {info.model_type} has none: use norm_only"


def _has_biases(path: str) -> bool:
    """Whether a model's files hold a bias; true where they cannot tell."""
    from pathlib import Path

    from safetensors import safe_open

    files = sorted(Path(path).glob("*.safetensors"))
    for file in files:
        with safe_open(file, framework="numpy") as tensors:
            if any(name.rsplit(".", 1)[-1] == "bias" for name in tensors.keys()):  # noqa: SIM118 - no mapping
                return True
    return not files


@register
class NormOnly(Method[NoSettings]):
    name = "norm_only"
    deep = True
    inserts = True
    family = "parts of the model"
    card = Card(
        title="Norm tuning",
        summary="Train the weight and bias of every norm, and the head.",
        trains="All norms, about 0.03 % of the model, and the head.",
        use_when="You want the smallest file that still changes every block, in any model.",
        cost=COST,
        learning_rate=1e-2,
        learning_rate_of_texts=1e-3,
        rate_note=CHOSEN + "79.5 % at 4e-3, 81.0 at 1.6e-2, 75.0 at 1e-3.",
        reference="Zhao et al. 2024, Tuning LayerNorm in Attention; Frankle, Schwab and Morcos 2021, Training "
        "BatchNorm and Only BatchNorm",
    )

    def keeps_weights(self, settings: NoSettings) -> bool:
        return True

    def attach(self, model: Adaptable, settings: NoSettings, seed: int) -> None:
        from whichtune.models.targets import norms_of

        model.requires_grad_(False)
        norms = norms_of(model.backbone)
        if not norms:
            raise ModelError(f"{type(model.backbone).__name__} has no norm with a weight: choose another method.")
        for norm in norms.values():
            for parameter in norm.parameters(recurse=False):
                parameter.requires_grad_(True)
        model.head.requires_grad_(True)
