"""How a saved run tags the words of new sentences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from whichtune.baselines import fitted_baseline
from whichtune.data.encoding import make_batch, pad_id_of, refuse_tokens_beyond, resolve_context
from whichtune.data.iob import entities_of
from whichtune.data.tag_cells import words_of
from whichtune.data.tag_encoding import NOWHERE, Placed, placed
from whichtune.methods import METHODS
from whichtune.models.saving import load_trained_state, shapes_of
from whichtune.models.sizes import max_length_of, rows_of_embeddings
from whichtune.records.record import RunRecord
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec
from whichtune.tasks.tagging.evaluate import probabilities_of, tags_of
from whichtune.tasks.tagging.forward import EVALUATION_BATCH
from whichtune.tasks.tagging.model import build_tagger, reserved_tokens
from whichtune.tasks.tagging.settings import TaggingSettings
from whichtune.training.batching import by_length
from whichtune.training.forward import autocast

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from whichtune.baselines.base import Fitted
    from whichtune.models.tagger import Tagger

CPU_BATCH = 16
# How much a probability may differ when a sentence is computed again in another batch.
TOLERANCE = {"float32": 0.005, "bf16": 0.1, "fp16": 0.1}


class Scorer(Protocol):
    """A loaded run: logits (W, C) of each sentence's words; messages on one count its row from `first`, rows before."""

    def __call__(self, texts: list[str], first: int = 0) -> list[np.ndarray]: ...


def loaded_run(spec: RunSpec, record: RunRecord, folder: Path) -> Scorer:
    """The run rebuilt, once for however many sentences."""
    if record.role is Role.BASELINE:
        fitted = fitted_baseline(record.method).load(folder)
        return lambda texts, first=0: by_sentence(fitted, texts)
    model, tokenizer = build_tagger(spec, len(record.labels))
    file = folder / "weights.safetensors"
    METHODS[spec.method].make_room(model, shapes_of(file))
    load_trained_state(model, file)
    model.to(spec.device).eval()
    config = model.backbone.config
    limit = resolve_context(record.context_length or "model", 0, max_length_of(config), reserved_tokens(spec))
    token, rows = TaggingSettings(**spec.task_settings).tag_token, rows_of_embeddings(config)

    def score(texts: list[str], first: int = 0) -> list[np.ndarray]:
        cut = [sentence.cut(limit, spec.long_texts_keep) for sentence in placed(texts, tokenizer, token)]
        names = [str(first + row + 1) for row in range(len(texts))]
        refuse_tokens_beyond(rows, [sentence.tokens for sentence in cut], "text in row", names)
        return _logits(spec, model, cut, pad_id_of(tokenizer), limit, len(record.labels))

    return score


def _logits(
    spec: RunSpec, model: Tagger, sentences: list[Placed], pad_id: int, limit: int, tags: int
) -> list[np.ndarray]:
    """Logits (W, C) of the sentences in their order, in batches of similar length, padded as the run's were."""
    device = torch.device(spec.device)
    size = CPU_BATCH if spec.device == "cpu" else EVALUATION_BATCH
    found = [np.full((len(sentence.places), tags), np.nan, dtype=np.float32) for sentence in sentences]
    with torch.no_grad():
        for rows in by_length([len(sentence.tokens) for sentence in sentences], 1 if spec.padding == "none" else size):
            width = limit if spec.padding == "right" else None
            batch = make_batch([sentences[row].tokens for row in rows], pad_id=pad_id, width=width)
            with autocast(spec.precision, device):
                logits = model(batch.to(device)).float().cpu().numpy()
            for row, own in zip(rows, logits, strict=True):
                places = sentences[row].places
                found[row][places != NOWHERE] = own[places[places != NOWHERE]]
    return found


def by_sentence(fitted: Fitted, texts: Sequence[str]) -> list[np.ndarray]:
    """A baseline's logits (W, C) of each sentence's words."""
    ends = np.cumsum([len(words_of(text)) for text in texts])
    return np.split(fitted.logits(texts), ends[:-1])


def told(texts: list[str], logits: list[np.ndarray], labels: Sequence[str]) -> pd.DataFrame:
    """The texts, their words' tags with blanks between, the entities, and how sure each tag is."""
    import pandas as pd

    tags = [[labels[tag] for tag in tags_of(own)] for own in logits]
    found = [entities_of(words_of(text), own) for text, own in zip(texts, tags, strict=True)]
    return pd.DataFrame(
        {
            "text": texts,
            "prediction": [" ".join(own) for own in tags],
            "entities": ["; ".join(f"{words} ({kind})" for words, kind in entities) for entities in found],
            "probability": [" ".join(f"{share:.4f}" for share in probabilities_of(own)) for own in logits],
        }
    )


def same_tags(spec: RunSpec, labels: Sequence[str], again: pd.DataFrame, recorded: pd.DataFrame) -> bool:
    """Whether new tags of recorded sentences are the recorded ones, rounding apart."""
    tolerance = TOLERANCE[spec.precision]
    rows = zip(again["prediction"], again["probability"], recorded["prediction"], recorded["probability"], strict=True)
    for tags, sure, known, known_sure in rows:
        names, shares = [labels[tag] for tag in known], np.asarray(known_sure, dtype=np.float64)
        found = np.array([float(share) for share in sure.split()])
        if len(tags.split()) != len(names) or not np.allclose(found, shares, rtol=0, atol=tolerance, equal_nan=True):
            return False
        other = np.array([tag != name for tag, name in zip(tags.split(), names, strict=True)])
        if (other & ~(shares <= 0.5 + tolerance)).any():
            return False
    return True
