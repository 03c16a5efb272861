"""What a run id hashes, and which settings count even at their default.

A setting that is not in ALWAYS_HASHED came after release 0.1, or belongs to a method or a task that did. At its default
it is left out of the hash, so that a run made before there was the setting is the same run after. Its author has
nothing to do for that, and one thing never to do: a default of such a setting may not change.
See `docs/decisions/0002-what-a-run-id-hashes.md`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from pydantic import BaseModel, JsonValue

from whichtune.study.roles import SCHEMA_VERSION, Role

# What changes where a run's input lies or how it is called, but not what is computed.
NOT_HASHED = ("label", "role", "model", "revision", "learning_rate_source", "tuned", "goes_on_from", "retention_text")
_VIRTUAL_TOKENS = "virtual_tokens prompt_initialisation prompt_text"
_WRITTEN_TEXTS = (
    "template loss_on max_source_tokens max_target_tokens lower_case remove_punctuation tied generation num_beams "
    "temperature top_p min_new_tokens max_new_tokens no_repeat_ngram generation_batch_size"
)
# The settings of release 0.1 by owner. Nothing is ever added here, and nothing taken away.
ALWAYS_HASHED: Mapping[str, frozenset[str]] = {
    owner: frozenset(names.split())
    for owner, names in {
        "run": (
            "token_position context_length padding attend_to_padding causal_mask weights dropout epochs max_steps "
            "batch_size accumulation_steps drop_last learning_rate weight_decay beta1 beta2 schedule warmup_steps "
            "warmup_ratio gradient_clip ignore_index evaluation_interval evaluation_batches precision "
            "gradient_checkpointing random_streams initialisation accumulation_tail task task_settings data "
            "remote_code method method_settings optimiser device plan seed fingerprints"
        ),
        "data": (
            "source revision text_column label_column target_column split split_column split_seed "
            "validation_fraction test_fraction train_limit validation_limit test_limit duplicates"
        ),
        "method last_blocks": "blocks",
        "method lora": (
            "lora_rank lora_alpha lora_dropout lora_targets lora_scaling lora_initialisation lora_head"
        ),
        "method soft_prompt": _VIRTUAL_TOKENS,
        "method prefix_tuning": f"{_VIRTUAL_TOKENS} prefix_projection prefix_projection_size",
        "task text_to_text": _WRITTEN_TEXTS,
        "task summarisation": _WRITTEN_TEXTS,
    }.items()
}  # fmt: skip


def method_settings(method: str, settings: BaseModel) -> dict[str, JsonValue]:
    """A method's settings as a run keeps them: `Settings(**kept)` gives them back."""
    return _hashed(f"method {method}", settings)


def task_settings(task: str, settings: BaseModel) -> dict[str, JsonValue]:
    """A task's settings as a run keeps them."""
    return _hashed(f"task {task}", settings)


def later_defaults(owner: str, settings: type[BaseModel]) -> dict[str, JsonValue]:
    """The settings that came after release 0.1, at their defaults; one without a default is always hashed."""
    first = ALWAYS_HASHED.get(owner, frozenset())
    return {
        name: field.get_default(call_default_factory=True)
        for name, field in settings.model_fields.items()
        if name not in first and not field.is_required()
    }


def canonical(run: BaseModel, data: BaseModel) -> dict[str, JsonValue]:
    """What a run's result depends on. Names and places are left out: their contents are hashed.

    `run` is the run's spec, `data` the part of it that says where the examples come from.
    """
    plain = _hashed("run", run)
    role = plain.get("role")
    spec = {name: value for name, value in plain.items() if name not in NOT_HASHED}
    of_data = _hashed("data", data)
    for place in ("source", "revision"):
        of_data.pop(place)
    if spec["task"] == "classification":  # it was the only one once, and its runs keep their identity
        of_data.pop("target_column")
        if not spec["task_settings"]:
            spec.pop("task_settings")
    spec["data"] = of_data
    if role == Role.BASELINE:  # a baseline reads no model
        keep: tuple[str, ...] = ("task", "task_settings", "data", "method", "method_settings", "seed")
        prints = spec["fingerprints"]
        if spec.get("ignore_index") is not None:  # a setting of all runs that its fit knows, too
            keep = (*keep, "ignore_index")
        spec = {key: spec[key] for key in keep if key in spec}
        spec["fingerprints"] = {"data": prints.get("data", "") if isinstance(prints, dict) else ""}
    if role == Role.DRAW:  # it is not tested, so it never stands for the run with the same settings
        spec["role"] = role
    return {"schema_version": SCHEMA_VERSION, **spec}


def run_id(run: BaseModel, data: BaseModel) -> str:
    """16 hex digits of the sha256 of the canonical JSON (sorted keys, no spaces)."""
    text = json.dumps(canonical(run, data), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _hashed(owner: str, settings: BaseModel) -> dict[str, JsonValue]:
    """Settings as plain values, without later ones that are at their default."""
    left_out = {
        name
        for name, default in later_defaults(owner, type(settings)).items()
        if _same(getattr(settings, name), default)
    }
    return settings.model_dump(mode="json", exclude=left_out)


def _same(value: object, default: object) -> bool:
    """Equal, where true and 1 are two things as they are in JSON."""
    return value == default and isinstance(value, bool) == isinstance(default, bool)
