"""What a family's own classes of transformers compute, and whether that is what a row computes.

Shapes: D hidden size, C classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from whichtune.errors import ExportError
from whichtune.models.layers import bias_of
from whichtune.models.loading import kind_of, load_config
from whichtune.models.native import NativeHead
from whichtune.models.neighbours import NeighbourHead
from whichtune.models.plain import effective_head, folded_bias, plain_state

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

    from whichtune.handover.trained import Trained

PROBLEMS = {
    "classes": "single_label_classification",
    "numbers": "regression",
    "labels": "multi_label_classification",
}
SEQUENCE, TOKEN = "AutoModelForSequenceClassification", "AutoModelForTokenClassification"


class NotExactError(ExportError):
    """A form that would compute something else than the row. `reason` ends a sentence, `instead` is a form that can;
    `of_head`: it is the linear head alone that stands in the way."""

    def __init__(self, reason: str, instead: str | None, of_head: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.instead, self.of_head = reason, instead, of_head


def config_with_classes(trained: Trained) -> PretrainedConfig:
    """The pretrained model's configuration with the names of the row's classes, labels or tags, or of its number, the
    labels' thresholds and the padding token."""
    config = load_config(trained.base, trained.spec.remote_code)
    config.id2label = dict(enumerate(trained.labels))
    config.label2id = {name: place for place, name in enumerate(trained.labels)}
    config.problem_type = PROBLEMS.get(trained.answers)  # a tagger has none
    if trained.thresholds:
        config.label_thresholds = list(trained.thresholds)
    config.pad_token_id = trained.tokenizer.pad_token_id
    if isinstance(trained.model.head, NativeHead) and hasattr(config, "classifier_pooling"):
        config.classifier_pooling = "cls"  # what the row has read
    return config


def refuse_own_code(trained: Trained) -> None:
    """Raise NotExactError for a model of Python code that transformers does not have."""
    if trained.spec.remote_code:
        raise NotExactError("its model is made by Python code of its own, which would have to travel with it", "onnx")


def refuse_own_mask(trained: Trained) -> None:
    """Raise NotExactError where the row's tokens see others than the family's class lets them see."""
    spec = trained.spec
    decoder = kind_of(trained.model.backbone.config, spec.model) == "decoder"
    if decoder and not spec.causal_mask:
        raise NotExactError(
            "its tokens see later ones (causal_mask false), and the family's class has a causal mask", "onnx"
        )
    seen = spec.attend_to_padding and spec.padding != "none"
    if seen and not (decoder and spec.token_position == "last_nonpad"):  # which sees nothing that comes after it
        raise NotExactError(
            "its tokens attend to padding, and the family's class is told by the attention mask that they may not",
            "onnx",
        )


def reads_last_token(trained: Trained) -> bool:
    """Whether the row reads the last token that is no padding."""
    spec = trained.spec
    return spec.token_position == "last_nonpad" or (spec.token_position == "last" and spec.padding == "none")


def empty_model(auto: str, config: PretrainedConfig) -> PreTrainedModel:
    """The family's class for a task, without storage. Raises NotExactError where it has none."""
    import transformers

    try:
        with torch.device("meta"):
            model: PreTrainedModel = getattr(transformers, auto).from_config(config)
            return model
    except ValueError as error:
        raise NotExactError(
            f"transformers has no class for {config.model_type} that {auto} could load", "onnx"
        ) from error


def lone_head(model: PreTrainedModel, names: set[str]) -> str:
    """The name of the only layer with weights that a class puts on its backbone, a linear one.

    `names` are the backbone's own weights. Raises NotExactError where there is more, as BERT's pooler is.
    """
    prefix = f"{model.base_model_prefix}."
    others = [
        name
        for name, _ in model.named_parameters()
        if not (name.startswith(prefix) and name.removeprefix(prefix) in names)
    ]
    layers = sorted({name.rpartition(".")[0] for name in others})
    if len(layers) == 1 and isinstance(model.get_submodule(layers[0]), nn.Linear):
        return layers[0]
    more = [name for name in layers if name not in ("classifier", "score")] or layers
    raise NotExactError(
        f"{type(model).__name__} has layers of its own between its tokens and its classes ({', '.join(more)}), which "
        "the row's linear head does not have",
        "onnx",
        of_head=True,
    )


def backbone_state(trained: Trained, empty: PreTrainedModel) -> dict[str, Tensor]:
    """The trained backbone's weights by the names of the family's own model. Adapters are merged before."""
    return plain_state(trained.model.backbone, empty.base_model)


def native_state(trained: Trained) -> dict[str, Tensor] | None:
    """The weights of the family's own head by their names in its class; None for a row with a linear head, and for one
    whose head has got a bias that the family's has not."""
    head = trained.model.head
    if not isinstance(head, NativeHead):
        return None
    found = dict(head.outer.state_dict())
    return None if _own_bias(found) else found


def sequence_head(trained: Trained, model: PreTrainedModel, head: str, norms: list[str]) -> dict[str, Tensor]:
    """The weights of a class's head by their names in the class, and the final norm's where it takes the head's bias.

    Families of decoders have a head without a bias. The row's own bias is exactly a shift of the states that the head
    reads, which the final norm's bias takes where there is one. `norms` are the names of the modules after the last
    block. Raises NotExactError where there is none.
    """
    weight, bias = _linear(trained)
    layer = model.get_submodule(head)
    if getattr(layer, "bias", None) is not None:
        return {f"{head}.weight": weight, f"{head}.bias": torch.zeros(len(weight)) if bias is None else bias}
    found = {f"{head}.weight": weight}
    if bias is None or not bool(bias.any()):
        return found
    shift = folded_bias(weight, bias)
    biases = {name: bias_of(trained.model.backbone.get_submodule(name)) for name in norms}
    able = {name: own for name, own in biases.items() if own is not None and own.shape == weight.shape[1:]}
    if shift is None or not able:
        raise NotExactError(
            f"its head has a bias, {type(model).__name__}'s has none, and the norm before it has none that could take "
            "it",
            "onnx",
            of_head=True,
        )
    name, own = list(able.items())[-1]
    name = name.removesuffix(".base_layer")  # of a norm that carries an adapter, merged into it
    return {**found, f"{model.base_model_prefix}.{name}.bias": own.detach() + shift}


def _linear(trained: Trained) -> tuple[Tensor, Tensor | None]:
    """The matrix and the bias of a head that is one layer, the family's own among them."""
    head = trained.model.head
    if not isinstance(head, NativeHead):
        return effective_head(head)
    weight, *biases = head.outer.state_dict().values()
    return weight, biases[0] if biases else None


def _own_bias(native: dict[str, Tensor]) -> bool:
    """Whether a decoder's one layer has got a bias, as one has that gives numbers in their unit."""
    return len(native) == 2 and {name.rpartition(".")[2] for name in native} == {"weight", "bias"}


def refuse_other_heads(trained: Trained) -> None:
    """Raise NotExactError for a head that is no layer, such as the texts that neighbours are looked for in."""
    if isinstance(trained.model.head, NeighbourHead):
        raise NotExactError(
            "its head looks for neighbours among the training texts, which no family's class does", "onnx"
        )


def names_of_final_modules(trained: Trained) -> list[str]:
    """What shapes the hidden states after the last block, by its name in the backbone."""
    from whichtune.models.partition import final_modules

    found = {id(module) for module in final_modules(trained.model.backbone)}
    return [name for name, module in trained.model.backbone.named_modules() if id(module) in found]
