"""Whether a checkpoint gives its model every weight: told before the first run, from the files' headers.

transformers draws a weight that it does not find at random and goes on; here that is an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from whichtune.errors import ModelError
from whichtune.models.sizes import text_part
from whichtune.wording import listing, plural

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
MOST_BLOCKS = 1_000
MOST_NAMED = 3
# A model of so many times this machine's memory is a slip in a configuration, and not for a larger machine.
BEYOND_MEMORY = 8
# Heads that checkpoints bring for what they were trained on. Runs read none of them.
USUAL_HEADS = (
    "lm_head",
    "cls",
    "vocab_",
    "generator_",
    "discriminator_",
    "mlm_head",
    "pooler",
    "qa_outputs",
    "summary",
)
CLASSIFICATION_HEADS = ("score", "classifier", "pre_classifier")


@dataclass(frozen=True)
class Loaded:
    """A model, and the tensors of its files that it does not read."""

    model: PreTrainedModel
    unread: list[str]


def check_files(folder: Path, name: str) -> list[Path]:
    """The files of a model's weights, their headers read. Raises ModelError for one that is missing or broken."""
    from safetensors import SafetensorError, safe_open

    files = _weight_files(folder, name)
    for file in files:
        try:
            with safe_open(file, framework="numpy") as tensors:
                tensors.keys()
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"The file {file.name} of '{name}' is broken ({first_line(error)}): copy or download it again."
            ) from error
    return files


def _weight_files(folder: Path, name: str) -> list[Path]:
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if not (folder / INDEX).is_file():
        there = sorted(file.name for file in folder.glob("*.safetensors"))
        raise ModelError(
            f"The model '{name}' has neither {SINGLE} nor {INDEX}, but {_named(there)}: give a folder "
            "that save_pretrained wrote."
        )
    try:
        parts = sorted(set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"The file {INDEX} of '{name}' is broken: copy or download it again.") from error
    missing = [part for part in parts if not (folder / part).is_file()]
    if missing:
        raise ModelError(
            f"The model '{name}' lacks {len(missing)} of the {plural(len(parts), 'file')} of its weights "
            f"({_named(missing)}): copy or download it again."
        )
    return [folder / part for part in parts]


def load_whole(
    folder: Path, name: str, config: PretrainedConfig, remote_code: bool, with_head: bool, meta: bool = False
) -> Loaded:
    """A pretrained model in float32, its output layer where it is wanted; `meta`: shapes and names alone.

    Raises ModelError where the files leave one of its tensors to chance.
    """
    import torch
    from transformers import AutoModel, AutoModelForCausalLM

    kind = AutoModelForCausalLM if with_head else AutoModel
    try:
        model, report = kind.from_pretrained(
            folder,
            config=config,
            trust_remote_code=remote_code,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            **({"device_map": "meta"} if meta else {}),
        )
    except Exception as error:  # of a model's own code, and of what a configuration asks for
        if not meta:  # it was tried without values before; what fails now is memory or the disk
            raise
        raise ModelError(f"The model '{name}' cannot be loaded: {_reason(error)}.") from error
    unread = sorted(report["unexpected_keys"])
    missing = sorted(key for key in report["missing_keys"] if with_head or not key.startswith("pooler."))
    if missing:
        raise ModelError(_lacking(name, missing, unread))
    return Loaded(model, unread)


def _reason(error: Exception) -> str:
    if "mismatched_sizes" in str(error):
        return "tensors of its files have other shapes than its config.json says: give the two that belong together"
    return f"{type(error).__name__}: {first_line(error)}"


def _lacking(name: str, missing: Sequence[str], unread: Sequence[str]) -> str:
    """The sentence about tensors that a model's files do not have."""
    said = f"The files of '{name}' lack {plural(len(missing), 'tensor')} of the model ({_named(missing)})"
    heads = {key.split(".")[0] for key in unread}
    if len(heads) == 1 and any(key.endswith(tuple(missing)) for key in unread):
        return f"{said}: every name in them begins with '{heads.pop()}.', so save the weights without that prefix."
    return f"{said}, which would be drawn at random: give the files that belong to its config.json."


def check_model(
    folder: Path, name: str, config: PretrainedConfig, weights: str, remote_code: bool, with_head: bool
) -> list[str]:
    """What a study's reader must know of a model. Raises ModelError for one that runs could not load, or that would
    not be the model that its files are named after. No weight is kept."""
    _check_depth(config, name)
    if weights != "pretrained":
        _refuse_too_large(_empty(name, config, remote_code, with_head), name)
        return []
    found = load_whole(folder, name, config, remote_code, with_head, meta=True)
    _refuse_too_large(found.model, name)
    _refuse_broken_numbers(check_files(folder, name), name, set(found.unread))
    return unread_notes(name, config, found.unread)


def _check_depth(config: PretrainedConfig, name: str) -> None:
    blocks = getattr(text_part(config), "num_hidden_layers", None)
    if isinstance(blocks, int) and not 0 < blocks <= MOST_BLOCKS:
        raise ModelError(f"The config.json of '{name}' asks for {blocks:,} blocks: correct it (1 to {MOST_BLOCKS:,}).")


def _empty(name: str, config: PretrainedConfig, remote_code: bool, with_head: bool) -> PreTrainedModel:
    import torch
    from transformers import AutoModel, AutoModelForCausalLM

    try:
        with torch.device("meta"):
            model: PreTrainedModel = (AutoModelForCausalLM if with_head else AutoModel).from_config(
                config, trust_remote_code=remote_code
            )
            return model
    except Exception as error:  # of a model's own code, and of what a configuration asks for
        raise ModelError(f"The configuration of '{name}' makes no model: {_reason(error)}.") from error


def _refuse_too_large(model: torch.nn.Module, name: str) -> None:
    import psutil

    count = sum(parameter.numel() for parameter in model.parameters())
    memory = int(psutil.virtual_memory().total)
    if 4 * count > BEYOND_MEMORY * memory:
        raise ModelError(
            f"The model '{name}' has {count:,} parameters by its config.json, {4 * count / 1e9:,.0f} GB, and this "
            f"machine has {memory / 1e9:,.0f} GB of memory: correct the file, or choose a smaller model."
        )


def _refuse_broken_numbers(files: Iterable[Path], name: str, unread: set[str]) -> None:
    """Raise ModelError for the first weight that is no number or infinite: nothing could be trained from it."""
    import torch
    from safetensors import safe_open

    for file in files:
        with safe_open(file, framework="pt") as tensors:
            for key in sorted(set(tensors.keys()) - unread):
                values = tensors.get_tensor(key)
                if not values.is_floating_point() or not values.numel():
                    continue
                ends = torch.aminmax(values if values.element_size() > 1 else values.float())
                if not (ends.min.isfinite() and ends.max.isfinite()):
                    raise ModelError(
                        f"The weights of '{name}' are broken: {key} in {file.name} holds numbers that are not finite, "
                        "so save or download the model again."
                    )


def unread_notes(name: str, config: PretrainedConfig, unread: Sequence[str]) -> list[str]:
    """A sentence on a classification head that a checkpoint brings, and one on tensors that are no usual head."""
    parts = [key.split(".")[-2] if "." in key else key for key in unread]
    own = [key for key in unread if key.startswith(CLASSIFICATION_HEADS)]
    odd = [
        key
        for key, part in zip(unread, parts, strict=True)
        if key not in own and not key.startswith(USUAL_HEADS) and not part.startswith(USUAL_HEADS)
    ]
    notes = []
    if own:
        labels = [str(label) for label in (getattr(config, "id2label", None) or {}).values()]
        of = f" of {plural(len(labels), 'class', 'classes')} ({_named(labels)})" if labels else ""
        notes.append(
            f"'{name}' brings a classification head{of}, which is not read: every run begins with a new head for the "
            "classes of the data."
        )
    if odd:
        notes.append(
            f"{plural(len(odd), 'tensor')} in the files of '{name}' belong to no part of the model: {_named(odd)}."
        )
    return notes


def _named(names: Sequence[str]) -> str:
    return listing(names, most=MOST_NAMED)


def first_line(error: BaseException) -> str:
    """What an error says first, as part of a sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    goes_on = lines[0].endswith(":") and len(lines) > 1
    return (f"{lines[0]} {lines[1]}" if goes_on else lines[0])[:200].rstrip(". ")
