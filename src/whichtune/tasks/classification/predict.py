"""How a saved run classifies new texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from whichtune.baselines import fitted_baseline
from whichtune.data.encoding import make_batch, pad_id_of, resolve_context, tokenise
from whichtune.methods import METHODS
from whichtune.models.loading import max_length_of
from whichtune.models.saving import load_trained_state
from whichtune.records.record import RunRecord
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec
from whichtune.tasks.classification.evaluate import EVALUATION_BATCH
from whichtune.tasks.classification.ignored import fitted_classes, logits_of_all
from whichtune.tasks.classification.model import build_classifier
from whichtune.training.batching import by_length
from whichtune.training.forward import autocast

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

    from whichtune.models.heads import Classifier


def new_logits(spec: RunSpec, record: RunRecord, folder: Path, texts: list[str]) -> np.ndarray:
    """Logits (n, C) of texts, from a run rebuilt from its spec and from what it saved in `folder`."""
    if record.role is Role.BASELINE:
        logits = fitted_baseline(record.method).load(folder).logits(texts)
        return logits_of_all(logits, fitted_classes(spec, record.labels), len(record.labels))
    classifier, tokenizer = build_classifier(spec, len(record.labels))
    load_trained_state(classifier, folder / "weights.safetensors")
    classifier.to(spec.device).eval()
    limit = _limit(spec, record, classifier.backbone.config)
    tokens, _ = tokenise(texts, tokenizer, limit, spec.long_texts_keep, "text", [str(i) for i in range(len(texts))])
    return _logits(spec, classifier, tokenizer, tokens, limit)


def _limit(spec: RunSpec, record: RunRecord, config: PretrainedConfig) -> int:
    """Tokens that a text may have: as many as in training, whatever set their number then."""
    method = METHODS[spec.method]
    reserved = method.reserved_tokens(method.Settings(**spec.method_settings))
    return resolve_context(record.context_length or "model", 0, max_length_of(config), reserved)


def _logits(
    spec: RunSpec, classifier: Classifier, tokenizer: PreTrainedTokenizerBase, tokens: list[list[int]], limit: int
) -> np.ndarray:
    """Logits (n, C) float32 in the texts' order, in batches of similar length, padded as the run's were."""
    device, pad_id = torch.device(spec.device), pad_id_of(tokenizer)
    size = 1 if spec.padding == "none" else EVALUATION_BATCH
    found: dict[int, np.ndarray] = {}
    with torch.no_grad():
        for rows in by_length([len(ids) for ids in tokens], size):
            batch = make_batch(
                [tokens[row] for row in rows],
                pad_id=pad_id,
                width=limit if spec.padding == "right" else None,
                attend_to_padding=spec.attend_to_padding,
            )
            with autocast(spec.precision, device):
                logits = classifier(batch.to(device)).float()
            found |= dict(zip(rows, logits.cpu().numpy(), strict=True))
    return np.stack([found[row] for row in range(len(tokens))])
