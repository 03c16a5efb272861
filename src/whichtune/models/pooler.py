"""A backbone without its pooler, which no head of ours reads, so that it is neither counted nor trained."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class _NoPooler(nn.Module):
    """Stands in where a family calls its pooler without asking whether there is one."""

    def forward(self, *_: object) -> None:
        return None


def drop_pooler(backbone: PreTrainedModel) -> None:
    """Take the pooler out, where the model has one."""
    if getattr(backbone, "pooler", None) is None:
        return
    source = inspect.getsource(type(backbone).forward)
    backbone.pooler = None if "if self.pooler" in source or "self.pooler(" not in source else _NoPooler()
