"""How a saved run classifies new texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from scipy.special import softmax

from whichtune.baselines import fitted_baseline
from whichtune.data.encoding import make_batch, pad_id_of, refuse_tokens_beyond, resolve_context, tokenise
from whichtune.errors import StoreError
from whichtune.methods import METHODS
from whichtune.models.saving import load_trained_state, shapes_of
from whichtune.models.sizes import max_length_of, rows_of_embeddings
from whichtune.records.record import RunRecord
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec
from whichtune.tasks.classification.evaluate import EVALUATION_BATCH
from whichtune.tasks.classification.ignored import fitted_classes, logits_of_all
from whichtune.tasks.classification.model import build_classifier, field_encoder
from whichtune.training.batching import by_length
from whichtune.training.forward import autocast

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

    from whichtune.models.heads import Classifier


# Larger batches are slower on a CPU: more of their tokens are padding, and less fits its caches.
CPU_BATCH = 16
# How much a probability may differ when a text is computed again in another batch.
PROBABILITY_TOLERANCE = {"float32": 0.005, "bf16": 0.1, "fp16": 0.1}


def same_answers(spec: RunSpec, labels: list[str], again: pd.DataFrame, recorded: pd.DataFrame) -> bool:
    """Whether new predictions of recorded texts are the recorded ones."""
    if "logits" not in recorded or not {f"probability of {name}" for name in labels} <= set(again):
        return list(again["prediction"]) == [labels[place] for place in recorded["prediction"]]
    shares = softmax(np.stack([np.asarray(row, dtype=np.float64) for row in recorded["logits"]]), axis=1)
    return near_shares(spec, labels, again, shares)


def near_shares(spec: RunSpec, labels: list[str], again: pd.DataFrame, shares: np.ndarray) -> bool:
    """Whether the probabilities in a table of predictions are these (n, C), rounding apart."""
    columns = [f"probability of {name}" for name in labels]
    found = again[columns].to_numpy(dtype=np.float64)
    return found.shape == shares.shape and bool((np.abs(found - shares) <= PROBABILITY_TOLERANCE[spec.precision]).all())


class Scorer(Protocol):
    """A loaded run: logits (n, C) of texts; sentences on a text count its row from `first`, rows before."""

    def __call__(self, texts: list[str], first: int = 0) -> np.ndarray: ...


def new_logits(spec: RunSpec, record: RunRecord, folder: Path, texts: list[str]) -> np.ndarray:
    """Logits (n, C) of texts, from a run rebuilt from its spec and from what it saved in `folder`."""
    return loaded_run(spec, record, folder)(texts)


def loaded_run(spec: RunSpec, record: RunRecord, folder: Path) -> Scorer:
    """The run rebuilt, once for however many texts."""
    if record.role is Role.BASELINE:
        return _loaded_baseline(spec, record, folder)
    return loaded_model(spec, record, folder, len(record.labels))


def loaded_model(spec: RunSpec, record: RunRecord, folder: Path, outputs: int) -> Scorer:
    """A trained run that gives so many numbers for each text, rebuilt."""
    classifier, tokenizer = build_classifier(spec, outputs, record.labels)
    file = folder / "weights.safetensors"
    METHODS[spec.method].make_room(classifier, shapes_of(file))
    load_trained_state(classifier, file)
    classifier.to(spec.device).eval()
    limit = _limit(spec, record, classifier.backbone.config)
    rows = rows_of_embeddings(classifier.backbone.config)
    fields = field_encoder(spec, tokenizer, classifier.backbone.config, record.labels)
    if fields is not None and fields.rows is not None:
        rows = 2 * fields.rows

    def score(texts: list[str], first: int = 0) -> np.ndarray:
        names = [str(first + i + 1) for i in range(len(texts))]
        tokens, _ = tokenise(texts, tokenizer, limit, spec.long_texts_keep, "text in row", names, fields=fields)
        refuse_tokens_beyond(rows, tokens, "text in row", names)
        return _logits(spec, classifier, tokenizer, tokens, limit)

    return score


def _loaded_baseline(spec: RunSpec, record: RunRecord, folder: Path) -> Scorer:
    fitted = fitted_baseline(record.method, len(spec.data.text_columns)).load(folder)
    classes = fitted_classes(spec, record.labels)

    def score(texts: list[str], first: int = 0) -> np.ndarray:
        logits = fitted.logits(texts)
        if logits.shape != (len(texts), len(classes)):
            raise StoreError(f"What was saved in {folder.name} knows other classes than the run: make it again.")
        return logits_of_all(logits, classes, len(record.labels))

    return score


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
    size = CPU_BATCH if spec.device == "cpu" else EVALUATION_BATCH
    size = 1 if spec.padding == "none" else size
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
