"""Whether a method goes into a model, tried on a copy of it without weights before a study begins."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from whichtune.errors import ModelError, WhichtuneError
from whichtune.methods.base import METHODS


@lru_cache(maxsize=256)
def rehearsed(name: str, settings: str, path: str, own_words_alone: bool = False) -> str | None:
    """Why a method does not go into the model in `path`, found on a copy without weights and in one pass over two
    tokens, in words that end a sentence; None where it does, or where only a copy with weights could tell.

    `settings` are its own as JSON. With `own_words_alone` a fault that is no sentence of ours says nothing: it may be
    of the copy.
    """
    from pathlib import Path

    from whichtune.models.adapters import lacks_values
    from whichtune.models.loading import load_config
    from whichtune.models.weights import first_line

    try:
        config = load_config(Path(path))
    except ModelError:
        return None  # a model with code of its own, which a study allows or does not
    try:
        return _rehearse(name, json.loads(settings), config)
    except WhichtuneError as error:
        return None if lacks_values(error) else str(error).rstrip(".")
    except Exception as error:  # whatever a layer says that does not fit
        if own_words_alone or lacks_values(error):
            return None
        return f"{name} does not work in {config.model_type}: {first_line(error)}"


def _rehearse(name: str, settings: Mapping[str, Any], config: Any) -> str | None:
    import torch
    from torch import nn
    from transformers import AutoModel

    from whichtune.models.heads import Classifier
    from whichtune.models.partition import without_values
    from whichtune.models.reading import refuse_shape
    from whichtune.models.sizes import feature_width

    with torch.device("meta"):
        backbone = AutoModel.from_config(config)
        head = nn.Linear(feature_width(config), 2)
    model = Classifier(backbone, head, "last")
    method = METHODS[name]
    method.attach(model, method.Settings(**settings), 0)
    if method.inserts and not any(p.requires_grad for p in [*backbone.parameters(), *_of_prompt(model)]):
        return f"{name} would train nothing of {config.model_type} with these settings"
    model.to("meta")
    ids = torch.zeros(1, 2, dtype=torch.long, device="meta")
    refuse_shape(without_values(backbone, 1, 2, lambda mask: model.states_of(ids, mask)), backbone, 2)
    return None


def _of_prompt(model: Any) -> list[Any]:
    return [] if model.prompt is None else list(model.prompt.parameters())
