"""Changes to a model that hold inside a `with` and are undone after it, also after an exception."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle
    from transformers import PretrainedConfig


@contextmanager
def replaced(module: nn.Module, name: str, function: Callable[..., object]) -> Iterator[None]:
    """`module` has `function` as its method `name` inside, instead of its own; hooks of the module still apply."""
    own = module.__dict__.get(name)
    module.__dict__[name] = function
    try:
        yield
    finally:
        if own is None:
            del module.__dict__[name]
        else:
            module.__dict__[name] = own


@contextmanager
def removed(handle: RemovableHandle) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; every module's own mode is restored, also after an exception."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def gradient_only(model: nn.Module, wanted: set[int]) -> Iterator[None]:
    """Only the parameters with these ids take a gradient inside; restored also after an exception."""
    flags = [(p, p.requires_grad) for p in model.parameters()]
    try:
        for p, _ in flags:
            p.requires_grad_(id(p) in wanted)
        yield
    finally:
        for p, flag in flags:
            p.requires_grad_(flag)


@contextmanager
def without_kv_cache(model: nn.Module) -> Iterator[None]:
    """Keys and values of past tokens are not kept inside: they are never read here."""
    configs = _distinct_configs(model)
    old = [config.use_cache for config in configs]
    try:
        for config in configs:
            config.use_cache = False
        yield
    finally:
        for config, value in zip(configs, old, strict=True):
            config.use_cache = value


def _distinct_configs(model: nn.Module) -> list[PretrainedConfig]:
    configs = (getattr(module, "config", None) for module in model.modules())
    return list({id(c): c for c in configs if c is not None and hasattr(c, "use_cache")}.values())
