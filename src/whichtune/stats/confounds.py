"""What differs between two rows beside the factor that is being compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from whichtune.study.recorded import Recorded
from whichtune.wording import telling_parts

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
    "early_stopping": {"optimiser_steps", "examples_seen", "patience", "min_delta", "stopping_terms"},
    "patience": {"optimiser_steps", "examples_seen"},
    "min_delta": {"optimiser_steps", "examples_seen"},
    "batch_size": {"effective_batch", "optimiser_steps", "accumulation_steps"},
    "accumulation_steps": {"effective_batch", "optimiser_steps", "batch_size"},
    "schedule": {"warmup_steps", "warmup_ratio"},
    "drop_last": {"optimiser_steps", "examples_seen"},
    "data": {"optimiser_steps", "examples_seen", "context_length"},
    "model": {"token_position", "context_length", "causal_mask", "padding", "learning_rate"},  # its family's own
}
OWN = "method_settings."  # before the names of settings that only one method has
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
    a: Mapping[str, JsonValue],
    b: Mapping[str, JsonValue],
    factor: str | None,
    a_counts: Mapping[str, float | None],
    b_counts: Mapping[str, float | None],
) -> Differences:
    """Compare two rows' settings, as their records have them, and realised counts (`optimiser_steps`,
    `examples_seen`).

    Everything that differs beside the factor and what follows from it is a confound, except a learning rate that is
    each side's own (two methods', whether from their cards, set or tuned), what a search has chosen for both, and steps
    that early stopping has left out. What one of two methods has none of, a rate or steps, follows from the method.
    """
    of_a, of_b = Recorded.of(a), Recorded.of(b)
    left, right = _flat(of_a, a_counts), _flat(of_b, b_counts)
    differing = {
        key: (left.get(key), right.get(key))
        for key in [*left, *(k for k in right if k not in left)]
        if not _same(left.get(key), right.get(key))
    }
    searched = _searched(of_a, of_b)
    designed = {k: values for k, values in differing.items() if k not in searched}
    key = _factor_key(factor, designed) or _factor_key(factor, differing)
    explained = _explained(key, differing) | _without_steps(differing)
    named = (_own_rate(of_a, of_b) | searched) - {key}
    if of_a.stops_early == of_b.stops_early != "none":  # both end where they are best
        named |= {"optimiser_steps", "examples_seen"}
    both = {k: (_shown(k, left, of_a, of_b), _shown(k, right, of_a, of_b)) for k in differing}
    words = {k: f"{name(k)} ({x} against {y})" for k, (x, y) in both.items()}
    return Differences(
        factor=name(key) if key else factor,
        values=both.get(key) if key else None,
        differs=list(words.values()),
        confounds=[text for k, text in words.items() if k not in explained | named],
        named=[text for k, text in words.items() if k in named and k not in explained],
    )


def _own_rate(a: Recorded, b: Recorded) -> set[str]:
    """The learning rate where each side has its own: of another method, or not set by hand."""
    if a.method != b.method or a.own.get("peft_type") != b.own.get("peft_type"):  # two adapters under `peft` are two
        return {"learning_rate"}
    both = {a.learning_rate_source, b.learning_rate_source}
    return {"learning_rate"} if both <= {"card", "tuned"} else set()


def _without_steps(differing: Mapping[str, tuple[JsonValue, JsonValue]]) -> set[str]:
    """A rate, and steps, that one of two methods has none of: it is solved, looking at each text once, or as it is."""
    if "method" not in differing:
        return set()
    without = {k for k in ("learning_rate", "optimiser_steps") if k in differing and not all(differing[k])}
    return without | ({"examples_seen"} if "optimiser_steps" in without else set())


def _searched(a: Recorded, b: Recorded) -> set[str]:
    """Settings that a search has chosen for one of the two where both were searched, each for itself."""
    found = a.tuned | b.tuned if a.tuned and b.tuned else frozenset()
    follows = [FOLLOWS.get(key, set()) for key in found]
    return {*found, *(f"{OWN}{key}" for key in found)}.union(*follows)


def name(key: str) -> str:
    """A setting's name in words."""
    key = key.removeprefix(OWN)
    return NAMES.get(key, key.replace("_", " "))


def _flat(run: Recorded, counts: Mapping[str, float | None]) -> dict[str, JsonValue]:
    flat = {name: value for name, value in run.settings.items() if name not in IGNORED}
    flat |= {f"{OWN}{name}": value for name, value in run.own.items()}
    if run.data is not None:
        flat["data"] = run.data
    if run.effective_batch is not None:
        flat["effective_batch"] = run.effective_batch
    return flat | {name: count for name, count in counts.items() if count is not None}


def _same(x: JsonValue, y: JsonValue) -> bool:
    if isinstance(x, (int, float)) and isinstance(y, (int, float)) and not isinstance(x, bool):
        return abs(x - y) <= 1e-9 * max(abs(x), abs(y))
    return bool(x == y)


def _factor_key(factor: str | None, differing: Mapping[str, object]) -> str | None:
    """The differing key that the declared factor means; without a declared one, the likeliest."""
    settings = [key for key in differing if key.startswith(OWN)]
    if factor is None:
        if "method" in differing:
            return "method"
        design = [k for k in differing if k not in ("learning_rate", "optimiser_steps", "examples_seen")]
        alone = [key for key in design if set(design) <= {key} | FOLLOWS.get(key, set())]
        return alone[0] if alone else None
    plain = factor.removeprefix("method.").strip()
    for key in (plain, plain.replace(" ", "_"), f"{OWN}{plain}"):
        if key in differing:
            return key
    if plain in ("batch_size", "accumulation_steps") and "effective_batch" in differing:
        return "effective_batch"
    if plain in METHOD_WORDS or plain not in NAMES:
        return "method" if "method" in differing else settings[0] if settings else None
    return None


def _explained(key: str | None, differing: Mapping[str, object]) -> set[str]:
    if key is None:
        return set()
    explained = {key} | FOLLOWS.get(key, set())
    if key == "effective_batch":
        explained |= FOLLOWS["batch_size"]
    if key == "method":
        explained |= {k for k in differing if k.startswith(OWN)}
    return explained


def _shown(key: str, flat: Mapping[str, JsonValue], a: Recorded, b: Recorded) -> str:
    """A value in words. A setting that came to a method later is not in a record while it is at its default."""
    absent = key not in flat and key.startswith(OWN) and a.method == b.method
    return "default" if absent else _value(flat.get(key))


def _value(value: JsonValue) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict):
        return str(value.get("source", "other settings"))
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return telling_parts(str(value))[-1]
