"""What tuning costs a decoder of what it could do before: its loss as a language model on a text of the user's.

Shapes: T tokens, D hidden size, V words.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from whichtune.errors import DataError
from whichtune.models.adaptable import Adaptable
from whichtune.models.language import LanguageModel, load_language_model
from whichtune.models.layers import weight_of
from whichtune.models.loading import load_tokenizer, locate
from whichtune.models.sizes import max_length_of
from whichtune.models.tying import input_embeddings, is_tied
from whichtune.seeding import WEIGHTS, seed_global
from whichtune.study.spec import RunSpec

if TYPE_CHECKING:
    from torch import Tensor

MOST_TOKENS = 16_384  # that are read of the text
WINDOW = 512  # tokens at a time, which see nothing of those before
CHUNK = 128  # positions whose logits are formed at a time


def read_sample(file: str) -> str:
    """The text. Raises DataError for a file that is none, or cannot be read as UTF-8."""
    path = Path(file).expanduser()
    try:
        if not path.is_file():
            raise DataError(f"retention_text: there is no file '{file}': check the path.")
        found = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise DataError(f"retention_text: '{file}' cannot be read as text in UTF-8: check the file.") from error
    if not found.strip():
        raise DataError(f"retention_text: '{file}' holds no text: give another.")
    return found


def retention(spec: RunSpec, model: nn.Module) -> dict[str, float]:
    """Nats a token of the run's text, by the pretrained model and by the trained one, as fields of a record's costs;
    nothing where the run names no text. Costs no part of training.

    The trained model is read through its own output layer where it has one, and else through the pretrained one.
    """
    if spec.retention_text is None or not isinstance(model, Adaptable):
        return {}
    path = locate(spec.model, spec.revision, spec.weights)
    tokenizer = load_tokenizer(path, spec.remote_code)
    ids = tokenizer(read_sample(spec.retention_text), verbose=False)["input_ids"][:MOST_TOKENS]
    causal = load_language_model(spec, path, lambda: seed_global(spec.seed or 0, WEIGHTS)).eval()
    device = next(model.backbone.parameters()).device
    before = LanguageModel(causal, tokenizer).to(device)
    width = min(WINDOW, (max_length_of(causal.config) or WINDOW) - _reserved(model))
    found = {"retention_loss_before": loss_of_text(before, before.head, ids, width)}
    found["retention_loss"] = loss_of_text(model, _output_of(model, before), ids, width)
    return found


def _output_of(model: Adaptable, pretrained: LanguageModel) -> nn.Module:
    """The layer through which the trained model is read: one that shares the embeddings' matrix moves with it."""
    if isinstance(model, LanguageModel):
        return model.head
    if not is_tied(pretrained.backbone, pretrained.head):
        return pretrained.head
    matrix = weight_of(input_embeddings(model.backbone))
    head = nn.Linear(matrix.shape[1], matrix.shape[0], bias=False, device="meta")
    head.weight = nn.Parameter(matrix.detach(), requires_grad=False)
    return head


def _reserved(model: Adaptable) -> int:
    return 0 if model.prompt is None else model.prompt.count


@torch.no_grad()
def loss_of_text(model: Adaptable, head: nn.Module, ids: list[int], width: int) -> float:
    """Mean cross-entropy in nats of each token but a window's first, given those of its window before it."""
    device, training = next(model.backbone.parameters()).device, model.training
    model.eval()
    total, count = 0.0, 0
    for start in range(0, len(ids), width):
        window = torch.tensor(ids[start : start + width], device=device)
        if len(window) < 2:
            continue
        states: Tensor = model.states_of(window[None], None)[0, :-1]
        for at in range(0, len(states), CHUNK):
            logits = head(states[at : at + CHUNK]).float()
            total += float(nn.functional.cross_entropy(logits, window[1:][at : at + CHUNK], reduction="sum"))
        count += len(window) - 1
    model.train(training)
    return total / max(1, count)
