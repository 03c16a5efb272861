"""Run a published study again, and say what of it is a reproduction.

A row is a reproduction where model, weights, data and settings are the published ones. On another model,
other data or with other settings the same rows are an experiment of their own, and the table says so.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from whichtune.compare import Listener, Result, Save, choose_device, compare
from whichtune.data.named import NAMED_SETS
from whichtune.errors import ModelError, SettingError
from whichtune.expansion.asked import parse_seeds
from whichtune.expansion.assemble import with_assignments
from whichtune.published.presets import only_rows, read_preset, with_claims
from whichtune.report.reproduction import reproduction_csv, reproduction_markdown
from whichtune.study.load import parse_assignment, parse_study
from whichtune.study.spec import RunEntry, Study
from whichtune.wording import shown

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# The vocabulary of GPT-2 (50,257 tokens) and what of its configuration decides what is computed.
GPT2_VOCABULARY = "e35a33a0b2250c93"
GPT2_ARCHITECTURE = (
    "vocab_size",
    "n_positions",
    "n_embd",
    "n_layer",
    "n_head",
    "n_inner",
    "layer_norm_epsilon",
    "scale_attn_weights",
    "scale_attn_by_inverse_layer_idx",
)
TANH_GELU = ("gelu_new", "gelu_pytorch_tanh")


def reproduction_study(
    name: str,
    *,
    rows: list[int] | None = None,
    seeds: str | None = None,
    data: str | None = None,
    model: str | None = None,
    weights: str | None = None,
    assignments: list[str] | None = None,
    plan: str | None = None,
    device: str | None = None,
) -> Study:
    """A preset with the command's changes. Each published row is marked as a reproduction or as none, with why.

    `seeds` replaces the published seed, never the split's. `assignments` (`--set`) win over everything, a row's own
    settings included. Raises a WhichtuneError for unknown names or rows.
    """
    value = read_preset(name)
    given = value.get("data") or {}
    value["data"] = {"source": given} if isinstance(given, str) else dict(given)
    named = value["data"].get("source")
    if data is not None:
        value["data"]["source"] = local_copy(data, named)
    if seeds is not None:
        value["seeds"] = parse_seeds(seeds)
    for key, chosen in (("plan", plan), ("device", device)):
        if chosen is not None:
            value[key] = chosen
    value = with_assignments(value, assignments or [], name)
    asked = [parse_assignment(text)[0] for text in assignments or []]
    study = only_rows(with_claims(parse_study(value, name), name), rows, given=asked)
    runs = [_on_other_model(_without_set(entry, assignments or []), model, weights) for entry in study.runs]
    if any(entry.settings.get("precision") == "fp16" for entry in runs) and choose_device(study.device) != "cuda":
        runs = [_in_float32(entry) for entry in runs]
    changed = study.model_copy(update={"runs": runs, "model": model or study.model})
    return _marked(changed, original=study, named=named, assignments=assignments or [])


def reproduce(
    study: Study,
    out: Path | str | None = None,
    *,
    save: Save = "none",
    threads: int | None = None,
    jobs: int | str | None = None,
    on_event: Listener | None = None,
    command: str | None = None,
    replace: bool = False,
) -> Result:
    """Make the runs; where figures were published, reproduction.md and reproduction.csv stand beside the other files.

    A row whose model cannot be had is a failed row with the reason.
    """
    result = compare(
        study,
        out,
        save=save,
        threads=threads,
        jobs=jobs,
        lenient=True,
        on_event=on_event,
        command=command,
        replace=replace,
        forecast=True,
    )
    if study.published is None:
        return result
    (result.folder / "reproduction.md").write_text(reproduction_markdown(result.summary), encoding="utf-8")
    (result.folder / "reproduction.csv").write_text(reproduction_csv(result.summary), encoding="utf-8")
    return result


def local_copy(data: str, named: str | None = "sms_spam") -> str:
    """`NAME=PATH` where a path looks like a copy of the study's named data set; else `data` as it is."""
    is_copy = (
        named is not None and named in NAMED_SETS and NAMED_SETS[named].looks_like_copy(Path(os.path.expanduser(data)))
    )
    return f"{named}={data}" if is_copy else data


def _without_set(entry: RunEntry, assignments: list[str]) -> RunEntry:
    """The line without those of its own settings that `--set` names, for all rows or for its method's."""
    keys = [parse_assignment(text)[0] for text in assignments]
    given = {key.removeprefix(f"{entry.method}.") for key in keys}
    kept = {key: value for key, value in entry.settings.items() if key not in given}
    return entry.model_copy(update={"settings": kept})


def _in_float32(entry: RunEntry) -> RunEntry:
    """Where there is no CUDA device, fp16 cannot be had, and the row runs in float32."""
    if entry.settings.get("precision") != "fp16":
        return entry
    return entry.model_copy(update={"settings": {**entry.settings, "precision": "float32"}})


def _on_other_model(entry: RunEntry, model: str | None, weights: str | None) -> RunEntry:
    settings = {key: value for key, value in entry.settings.items() if key != "model" or model is None}
    if weights is not None:
        if weights not in ("pretrained", "random"):
            raise SettingError(f"--weights {shown(weights)}: choose pretrained or random.")
        settings = {**settings, "weights": settings.get("weights", weights)}
    return entry.model_copy(update={"settings": settings})


def _marked(study: Study, original: Study, named: str | None, assignments: list[str]) -> Study:
    """Write into the published figures which rows are reproduced, and why others are not."""
    if study.published is None:
        return study
    common = [
        _data_differs(study, named),
        f"settings were changed ({', '.join(assignments)})" if assignments else None,
    ]
    rows = dict(study.published["rows"])
    for entry, planned in zip(study.runs, original.runs, strict=True):
        own = [_model_differs(study, original, entry, planned), _precision_differs(entry, planned)]
        reasons = [reason for reason in [*common, *own] if reason]
        rows[str(entry.label)] = {
            **rows[str(entry.label)],
            "reproduced": not reasons,
            "why_not": "; ".join(reasons) or None,
            "reasons": reasons,
        }
    return study.model_copy(update={"published": {**study.published, "rows": rows}})


def _data_differs(study: Study, named: str | None) -> str | None:
    name, _, place = study.data.source.partition("=")
    if name != named or name not in NAMED_SETS:
        return f"the data are '{study.data.source}'"
    why = NAMED_SETS[name].differs(Path(os.path.expanduser(place))) if place else None
    limits = (study.data.train_limit, study.data.validation_limit, study.data.test_limit)
    return f"{why}, used whole" if why and "examples" in why and limits == (None, None, None) else why


def _precision_differs(entry: RunEntry, planned: RunEntry) -> str | None:
    ours, theirs = entry.settings.get("precision"), planned.settings.get("precision")
    if theirs != "fp16" or ours != "float32":
        return None  # another precision was set by the command, and is named among its settings
    return "it runs in float32, since fp16 needs CUDA"


def _model_differs(study: Study, original: Study, entry: RunEntry, planned: RunEntry) -> str | None:
    wanted = str(planned.settings.get("model", original.model))
    model = str(entry.settings.get("model", study.model))
    weights = str(entry.settings.get("weights", "pretrained"))
    if weights != str(planned.settings.get("weights", "pretrained")):
        return f"the weights are {weights}"
    if model in (wanted, wanted.removeprefix("openai-community/")):
        return None
    if weights == "random" and wanted == "openai-community/gpt2":
        return _differs_from_gpt2(model)
    return f"the model is '{model}'"


def _differs_from_gpt2(model: str) -> str | None:
    """Whether a folder's configuration and vocabulary are those of GPT-2 small: with random weights that is all."""
    from whichtune.models.loading import load_config, load_tokenizer, locate

    try:
        path = locate(model, None, "random")
        config, tokenizer = load_config(path), load_tokenizer(path)
    except ModelError:
        return f"the model is '{model}'"
    from transformers import GPT2Config

    if config.model_type != "gpt2" or any(
        getattr(config, key, None) != getattr(GPT2Config(), key) for key in GPT2_ARCHITECTURE
    ):
        return f"the configuration of {model} is not that of GPT-2 small"
    if config.activation_function not in TANH_GELU:
        return f"the activation function of {model} is not that of GPT-2"
    if vocabulary_fingerprint(tokenizer) != GPT2_VOCABULARY:
        return f"the vocabulary of {model} is not that of GPT-2"
    return None


def vocabulary_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """16 hex digits over the tokens in the order of their ids, which in byte-pair encoding is that of the merges."""
    import hashlib

    tokens = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return hashlib.sha256("\n".join(token for token, _ in tokens).encode()).hexdigest()[:16]
