"""Form `onnx`: token ids in, logits and probabilities out, of any classifier, and of each token of a tagger; numbers
of a row that foretells them.

The graph is traced by torch's TorchScript exporter: on the 17 families of `tests/models/tiny_families.py` it gives what
the newer one (dynamo) gives, in a second instead of twenty.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from whichtune.errors import ExportError
from whichtune.handover.families import NotExactError
from whichtune.handover.forms import Form
from whichtune.handover.told import INPUTS
from whichtune.methods import METHODS
from whichtune.models.heads import Classifier, pool
from whichtune.models.tagger import Tagger

if TYPE_CHECKING:
    from whichtune.handover.trained import Trained

OPSET = 18
GRAPH = "model.onnx"
OUTPUTS, NUMBERS = ["logits", "probabilities"], ["numbers"]
SEGMENTS = "token_type_ids"
LABELS, THRESHOLDS = "labels", "thresholds"  # keys of the graph's own metadata


class _Graph(nn.Module):
    """Ids (B, T) and mask (B, T), and segments (B, T) where the model is told them, to logits (B, C) and probabilities
    (B, C), or to numbers (B, 1).

    Where the row reads padding or attends to it, texts are padded inside to the width that they had in the study.
    """

    def __init__(self, trained: Trained, classifier: Classifier, pad_id: int) -> None:
        super().__init__()
        spec, self.answers, self.rows = trained.spec, trained.answers, trained.segment_rows
        self.classifier, self.pad_id = classifier, pad_id
        self.position = classifier.token_position
        self.attends = spec.attend_to_padding and spec.padding != "none"
        reads = self.position in ("last", "mean") and spec.padding != "none"
        self.width = trained.context_length if reads or self.attends else None
        if spec.padding == "none" and self.position in ("last", "mean"):  # each text was computed alone
            self.position = "last_nonpad" if self.position == "last" else "mean_nonpad"

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        lengths = attention_mask.sum(dim=1)
        if token_type_ids is not None and self.rows is not None:
            input_ids = input_ids + self.rows * token_type_ids  # as `models.segments` has them
        if self.width is not None:
            more = (0, self.width - input_ids.shape[1])
            input_ids = nn.functional.pad(input_ids, more, value=self.pad_id)
            attention_mask = nn.functional.pad(attention_mask, more)
        states = self.classifier.states_of(
            input_ids, torch.ones_like(attention_mask) if self.attends else attention_mask
        )
        logits = self.classifier.head(pool(states, lengths, self.position))
        if self.answers == "numbers":
            return (logits,)
        return logits, torch.sigmoid(logits) if self.answers == "labels" else torch.softmax(logits, dim=-1)


class _TagGraph(nn.Module):
    """Ids (B, T) and mask (B, T) to logits (B, T, C) and probabilities (B, T, C)."""

    def __init__(self, tagger: Tagger, pad_id: int) -> None:
        super().__init__()
        self.tagger, self.pad_id = tagger, pad_id

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.tagger.head(self.tagger.states_of(input_ids, attention_mask))
        return logits, torch.softmax(logits, dim=-1)


def write_graph(trained: Trained, folder: Path) -> Form:
    """Write `model.onnx` with the names of the classes in it. Raises NotExactError for a model that writes texts,
    ExportError where onnx is not installed, or where the model cannot be traced."""
    onnx = need_onnx()
    model = trained.model
    if not isinstance(model, (Classifier, Tagger)):
        instead = "transformers" if model.prompt is None else "peft"
        raise NotExactError("it writes a text token by token, and a graph gives one answer", instead)
    pad_id = trained.tokenizer.pad_token_id or 0
    with METHODS[trained.spec.method].merged(model):
        graph = (_TagGraph(model, pad_id) if isinstance(model, Tagger) else _Graph(trained, model, pad_id)).eval()
        _trace(graph, folder / GRAPH, trained)
    name_classes(onnx, folder / GRAPH, trained.labels, trained.thresholds)
    return Form("onnx", "onnxruntime.InferenceSession", opset=OPSET)


def need_onnx() -> ModuleType:
    """The module `onnx`. Raises ExportError where it, or the runtime by which a graph is checked, is missing."""
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ExportError(
            f"The form onnx needs {error.name}, which is not installed: pip install 'whichtune[onnx]'."
        ) from error
    return onnx


def _trace(graph: _Graph | _TagGraph, file: Path, trained: Trained) -> None:
    """Two texts of unlike lengths are traced; both axes stay open."""
    longest = max(2, min(12, trained.context_length))
    ids = torch.full((2, longest), 1)
    mask = torch.ones_like(ids)
    mask[1, longest // 2 :] = 0
    ids[mask == 0] = graph.pad_id
    given = [ids, mask] if trained.segment_rows is None else [ids, mask, torch.zeros_like(ids)]
    inputs, outputs = inputs_of(trained), NUMBERS if trained.answers == "numbers" else OUTPUTS
    open_axes = {0: "batch", 1: "length"}
    open_outputs = {0: "batch"} if trained.tag_token is None else open_axes
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of tracing, and that there is a newer exporter: the graph is checked
            torch.onnx.export(
                graph,
                tuple(given),
                str(file),
                dynamo=False,
                opset_version=OPSET,
                input_names=inputs,
                output_names=outputs,
                dynamic_axes=dict.fromkeys(inputs, open_axes) | dict.fromkeys(outputs, open_outputs),
            )
    except Exception as error:  # of whatever an operator or a model's code says
        reason = " ".join(str(error).split())[:200]
        raise ExportError(
            f"'{trained.record.label}' cannot be written as an ONNX graph ({type(error).__name__}: {reason})."
        ) from error


def inputs_of(trained: Trained) -> list[str]:
    """What a row's model is given of what its tokenizer makes."""
    return [*INPUTS, SEGMENTS] if trained.segment_rows is not None else list(INPUTS)


def name_classes(onnx: ModuleType, file: Path, labels: list[str], thresholds: Sequence[float] = ()) -> None:
    """Put the names of the outputs, in their order, and labels' thresholds into a graph's metadata."""
    graph = onnx.load(str(file), load_external_data=False)
    told = {LABELS: labels, THRESHOLDS: list(thresholds)} if thresholds else {LABELS: labels}
    for key, value in told.items():
        entry = graph.metadata_props.add()
        entry.key, entry.value = key, json.dumps(value, ensure_ascii=False)
    onnx.save(graph, str(file))
