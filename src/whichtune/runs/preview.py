"""`whichtune plan`: what each row of a study will compute, why, and how many operations that saves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from whichtune.data.sizes import dataset_of
from whichtune.errors import ModelError, WhichtuneError
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec
from whichtune.tasks import task_of

if TYPE_CHECKING:
    from whichtune.tasks.base import AnyDataset
    from whichtune.tasks.estimates import Preview


def preview_study(specs: Sequence[RunSpec], dataset: AnyDataset) -> list[Preview]:
    """A preview of each label's first run. Loads the model for each, as the run will; computes a few tokens."""
    first: dict[str, RunSpec] = {}
    for spec in specs:
        if spec.role is not Role.BASELINE:
            first.setdefault(spec.label, spec)
    return [preview_run(spec, dataset) for spec in first.values()]


def preview_run(spec: RunSpec, dataset: AnyDataset) -> Preview:
    """The plan of one run with its predicted operations and cache size."""
    try:
        return task_of(spec).preview(spec, dataset_of(spec.data, dataset))
    except (WhichtuneError, MemoryError):
        raise
    except Exception as error:  # of a model's own code, or a method's: the run would meet it too
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:400].rstrip('.')}"
        raise ModelError(f"'{spec.label}' cannot be planned, and would fail: {reason}.") from error
