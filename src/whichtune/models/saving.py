"""The trained part of a model, the arrays of a baseline: written, and read back only if they are what is expected."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from whichtune.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from torch import Tensor, nn


def trained_state(model: nn.Module) -> dict[str, Tensor]:
    """Copies of the parameters that trained, on the CPU. A tied parameter is kept under its first name."""
    return {
        name: parameter.detach().cpu().clone().contiguous()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def load_trained_state(model: nn.Module, file: Path) -> None:
    """Put a saved state into a model built from the same spec; raises StoreError where it does not fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(file)
    except (OSError, ValueError, SafetensorError) as error:
        raise _unreadable(file) from error
    wanted = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    _check_names(file, state, wanted)
    for name, parameter in wanted.items():
        _check_tensor(file, name, state[name], parameter)
    restore_trained_state(model, state)


def shapes_of(file: Path) -> dict[str, list[int]]:
    """The shapes of a saved state's tensors by name; raises StoreError where the file cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as tensors:
            return {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118 - no mapping
    except (OSError, ValueError, SafetensorError) as error:
        raise _unreadable(file) from error


def _check_tensor(file: Path, name: str, saved: Tensor, parameter: Tensor) -> None:
    """Raise StoreError unless the tensor is of the parameter's shape and type, and finite: nothing is spread or cut."""
    if (saved.shape, saved.dtype) != (parameter.shape, parameter.dtype):
        given, asked = (
            f"{list(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}" for tensor in (saved, parameter)
        )
        raise _unfit(file, f"{name} is {given}, and the run's model has {asked}")
    if not bool(saved.isfinite().all()):
        raise _unfit(file, f"{name} has values that are no finite numbers")


def restore_trained_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give the parameters that train the values of `trained_state`, in place."""
    import torch

    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in state.items():
            parameters[name].copy_(value)


def save_arrays(arrays: Mapping[str, np.ndarray], file: Path) -> None:
    """Write a baseline's arrays. They are brought into C's order first: safetensors writes what lies in memory."""
    import numpy as np
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, file)


def load_arrays(file: Path, dimensions: Mapping[str, int], least: float | None = None) -> dict[str, np.ndarray]:
    """A baseline's arrays by name, each of so many dimensions, in float64 and finite; `least` is allowed besides.

    Raises StoreError for anything else.
    """
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found: dict[str, np.ndarray] = load_file(file)
    except (OSError, ValueError, SafetensorError) as error:
        raise _unreadable(file) from error
    _check_names(file, found, dimensions)
    for name, array in found.items():
        if array.ndim != dimensions[name] or array.dtype != np.float64:
            raise _unfit(
                file, f"{name} is {list(array.shape)} {array.dtype}, not float64 of {dimensions[name]} dimensions"
            )
        if not (np.isfinite(array) | (array == (math.nan if least is None else least))).all():
            raise _unfit(file, f"{name} has values that are no finite numbers")
    return found


def _check_names(file: Path, saved: Mapping[str, object], wanted: Mapping[str, object]) -> None:
    odd = sorted(set(saved) ^ set(wanted))
    if odd:
        raise _unfit(file, f"{odd[0]} is {'missing' if odd[0] in wanted else 'not among its parameters'}")


def _unreadable(file: Path) -> StoreError:
    return StoreError(f"'{file}' cannot be read: make the run again with --save all.")


def _unfit(file: Path, why: str) -> StoreError:
    return StoreError(f"The saved weights in {file.parent.name} do not fit the run: {why}; make it again.")
