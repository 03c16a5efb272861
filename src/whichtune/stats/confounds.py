"""What differs between two rows beside the factor that is being compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from whichtune.study.spec import ADDED_DATA_SETTINGS, ADDED_SETTINGS

IGNORED = {
    "seed",
    "label",
    "role",
    "run_id",
    "task",
    "revision",
    "remote_code",
    "learning_rate_source",
    "tuned",
    "plan",
    "fingerprints",
    "evaluation_interval",
    "evaluation_at_epoch_ends",
    "evaluation_batches",
    "accumulation_steps",
    "batch_size",
}
NAMES = {
    "model": "model",
    "weights": "starting weights",
    "method": "method",
    "token_position": "token position",
    "context_length": "context length",
    "padding": "padding",
    "attend_to_padding": "attention to padding",
    "causal_mask": "causal mask",
    "learning_rate": "learning rate",
    "weight_decay": "weight decay",
    "max_steps": "step limit",
    "min_delta": "least improvement",
    "warmup_ratio": "warm-up share",
    "warmup_steps": "warm-up steps",
    "gradient_clip": "gradient clipping",
    "gradient_checkpointing": "gradient checkpointing",
    "ignore_index": "ignored label",
    "drop_last": "incomplete batches left out",
    "batch_size": "batch size",
    "effective_batch": "effective batch size",
    "optimiser_steps": "optimiser steps",
    "examples_seen": "examples seen",
    "data": "data",
}
# Where one of these is the factor, others follow from it and are no confounds.
FOLLOWS = {
    "epochs": {"optimiser_steps", "examples_seen"},
    "max_steps": {"optimiser_steps", "examples_seen"},
    "early_stopping": {"optimiser_steps", "examples_seen", "patience", "min_delta"},
    "patience": {"optimiser_steps", "examples_seen"},
    "min_delta": {"optimiser_steps", "examples_seen"},
    "batch_size": {"effective_batch", "optimiser_steps", "accumulation_steps"},
    "accumulation_steps": {"effective_batch", "optimiser_steps", "batch_size"},
    "schedule": {"warmup_steps", "warmup_ratio"},
    "drop_last": {"optimiser_steps", "examples_seen"},
    "data": {"optimiser_steps", "examples_seen", "context_length"},
}
METHOD_WORDS = {"method", "method_settings", "what trains", "trainable_layers", "trainable layers"}


@dataclass(frozen=True)
class Differences:
    """In words: the factor, its two values, all that differs, what confounds, what is only worth naming."""

    factor: str | None
    values: tuple[str, str] | None
    differs: list[str]
    confounds: list[str]
    named: list[str]


def find_differences(
    a: Mapping[str, Any],
    b: Mapping[str, Any],
    factor: str | None,
    a_counts: Mapping[str, float | None],
    b_counts: Mapping[str, float | None],
) -> Differences:
    """Compare two rows' settings and realised counts (`optimiser_steps`, `examples_seen`).

    Everything that differs beside the factor and what follows from it is a confound, except a learning
    rate that is each method's own (from its card, or tuned), what a search has chosen for both, and steps that
    early stopping has left out.
    """
    left, right = _flat(a, a_counts), _flat(b, b_counts)
    differing = {
        key: (left.get(key), right.get(key))
        for key in [*left, *(k for k in right if k not in left)]
        if not _same(left.get(key), right.get(key))
    }
    searched = _searched(a, b)
    designed = {k: values for k, values in differing.items() if k not in searched}
    key = _factor_key(factor, designed) or _factor_key(factor, differing)
    explained = _explained(key, differing)
    named = (_own_rate(a, b) | searched) - {key}
    if left["early_stopping"] == right["early_stopping"] != "none":  # both end where they are best
        named |= {"optimiser_steps", "examples_seen"}
    words = {k: f"{name(k)} ({_value(x)} against {_value(y)})" for k, (x, y) in differing.items()}
    values = differing.get(key) if key else None
    return Differences(
        factor=name(key) if key else factor,
        values=(_value(values[0]), _value(values[1])) if values else None,
        differs=list(words.values()),
        confounds=[text for k, text in words.items() if k not in explained | named],
        named=[text for k, text in words.items() if k in named and k not in explained],
    )


def _own_rate(a: Mapping[str, Any], b: Mapping[str, Any]) -> set[str]:
    both = {a.get("learning_rate_source"), b.get("learning_rate_source")}
    return {"learning_rate"} if both <= {"card", "tuned"} else set()


def _searched(a: Mapping[str, Any], b: Mapping[str, Any]) -> set[str]:
    """Settings that a search has chosen for one of the two where both were searched, each for itself."""
    left, right = a.get("tuned") or [], b.get("tuned") or []
    found = {*left, *right} if left and right else set()
    follows = [FOLLOWS.get(key, set()) for key in found]
    return found.union(*follows, (f"method_settings.{key}" for key in found))


def name(key: str) -> str:
    """A setting's name in words."""
    key = key.removeprefix("method_settings.")
    return NAMES.get(key, key.replace("_", " "))


def _flat(spec: Mapping[str, Any], counts: Mapping[str, float | None]) -> dict[str, Any]:
    spec = {**ADDED_SETTINGS, **spec}  # records of an earlier version lack these
    flat = {k: v for k, v in spec.items() if k not in IGNORED and k not in ("method_settings", "data")}
    flat |= {f"method_settings.{k}": v for k, v in (spec.get("method_settings") or {}).items()}
    if spec.get("data") is not None:
        flat["data"] = {**ADDED_DATA_SETTINGS, **spec["data"]}
    if spec.get("batch_size") is not None:
        flat["effective_batch"] = spec["batch_size"] * (spec.get("accumulation_steps") or 1)
    return flat | {k: v for k, v in counts.items() if v is not None}


def _same(x: Any, y: Any) -> bool:
    if isinstance(x, (int, float)) and isinstance(y, (int, float)) and not isinstance(x, bool):
        return abs(x - y) <= 1e-9 * max(abs(x), abs(y))
    return bool(x == y)


def _factor_key(factor: str | None, differing: Mapping[str, Any]) -> str | None:
    """The differing key that the declared factor means; without a declared one, the likeliest."""
    settings = [key for key in differing if key.startswith("method_settings.")]
    if factor is None:
        if "method" in differing:
            return "method"
        design = [k for k in differing if k not in ("learning_rate", "optimiser_steps", "examples_seen")]
        return design[0] if len(design) == 1 else None
    plain = factor.removeprefix("method.").strip()
    for key in (plain, plain.replace(" ", "_"), f"method_settings.{plain}"):
        if key in differing:
            return key
    if plain in ("batch_size", "accumulation_steps") and "effective_batch" in differing:
        return "effective_batch"
    if plain in METHOD_WORDS or plain not in NAMES:
        return "method" if "method" in differing else settings[0] if settings else None
    return None


def _explained(key: str | None, differing: Mapping[str, Any]) -> set[str]:
    if key is None:
        return set()
    explained = {key} | FOLLOWS.get(key, set())
    if key == "effective_batch":
        explained |= FOLLOWS["batch_size"]
    if key == "method":
        explained |= {k for k in differing if k.startswith("method_settings.")}
    return explained


def _value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return str(value.get("source", "other settings"))
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value)
    return str(value).rstrip("/").rsplit("/", 1)[-1]
