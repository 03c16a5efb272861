"""Where it is kept how many operations a model's steps take: the same for every seed and every rate of a row."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from whichtune.data.named import user_cache
from whichtune.version import VERSION

if TYPE_CHECKING:
    from torch import nn
    from transformers import PretrainedConfig


def operations_folder(model: nn.Module, config: PretrainedConfig, *facts: object) -> Path:
    """The folder of models that are built and trained as this one is; `facts` are what else its steps depend on.

    The name need not be right to the last: what is kept is held against a batch that is counted each time.
    """
    import torch
    import transformers

    parameters = [(name, tuple(p.shape), str(p.dtype), p.requires_grad) for name, p in model.named_parameters()]
    told = json.dumps(
        [VERSION, torch.__version__, transformers.__version__, config.to_json_string(), parameters, [*map(str, facts)]]
    )
    return user_cache() / "operations" / hashlib.sha256(told.encode()).hexdigest()[:32]
