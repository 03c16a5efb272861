"""What is known of a study's models before any of them is loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from whichtune.errors import ModelError
from whichtune.expansion.expand import ModelKey, model_keys
from whichtune.study.spec import Study
from whichtune.tasks import task_of
from whichtune.wording import megabytes, shown

if TYPE_CHECKING:
    from whichtune.models.loading import ModelInfo


def inspect_models(
    study: Study, lenient: bool, tell: Callable[[str], None] = lambda sentence: None
) -> dict[ModelKey, ModelInfo | str]:
    """What is known of each model that the study's lines need; no weights are looked for in vain.

    `tell` is told of each model that is fetched from the Hub, and how much of it, before it is. Of several models one
    that cannot be had leaves the others their rows. Raises ModelError where that is not `lenient`, and none can be had.
    """
    keys = model_keys(study)
    if not keys:
        return {}
    from whichtune.models.loading import bytes_to_download, examined, inspect_model

    own_head = task_of(study).own_head
    found: dict[ModelKey, ModelInfo | str] = {}
    for key in keys:
        if size := bytes_to_download(key.model, key.revision, key.weights):
            tell(f"The model {shown(key.model)} is fetched from the Hugging Face Hub, once: {megabytes(size)}.")
        try:
            info = inspect_model(key.model, key.revision, key.weights, study.remote_code)
            found[key] = examined(info, key.weights, study.remote_code, own_head)
        except ModelError as error:
            if not lenient and len(study.models) < 2:
                raise
            found[key] = str(error)
            if not lenient:
                tell(f"Rows of {shown(key.model)} cannot be made: {error}")
    if not lenient and all(isinstance(each, str) for each in found.values()):
        raise ModelError(str(next(iter(found.values()))))
    return found
