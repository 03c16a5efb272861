"""Models and tokenizers: from a folder, the Hub, the package, or a configuration alone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from logging import ERROR, getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from whichtune.errors import ModelError
from whichtune.models.sizes import max_length_of, rows_of_embeddings
from whichtune.models.weights import check_files, check_model, first_line, load_whole
from whichtune.study.spec import EMBEDDED, RunSpec, sha256_file

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

Kind = Literal["decoder", "encoder"]
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "special_tokens_map.json",
    "added_tokens.json",
)

OWN_IMPLEMENTATIONS = {
    "_attn_implementation": (None, "eager", "sdpa"),
    "_experts_implementation": (None, "eager", "batched_mm", "grouped_mm"),
}


@dataclass(frozen=True)
class ModelInfo:
    """What can be known of a model without loading its weights."""

    name: str
    path: Path  # a local folder; a Hub model's snapshot
    kind: Kind
    model_type: str
    max_length: int | None
    fingerprints: dict[str, str]  # sha256 of "tokenizer" and of "weights"
    notes: tuple[str, ...] = ()  # what a study's reader must know of it


def locate(model: str, revision: str | None, weights: str) -> Path:
    """The local folder of a model: the embedded one, a folder, or a download from the Hub.

    Raises ModelError where there is none, or where it has no safetensors though weights are wanted.
    """
    if model == EMBEDDED:
        from whichtune.embedded import model_path

        return model_path()
    folder = Path(os.path.expanduser(model))
    if folder.is_dir():
        _refuse_adapter(folder, model)
        if not (folder / "config.json").is_file():
            raise ModelError(
                f"The folder {folder} holds no config.json: give a folder that save_pretrained wrote, or a Hub id."
            )
        found = folder
    elif folder.exists() or model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise ModelError(f"There is no model folder '{model}': check the path, or give a Hub id such as gpt2.")
    else:
        found = _download(model, revision, weights)
        _refuse_adapter(found, model)
    if weights == "pretrained" and not list(found.glob("*.safetensors")):
        raise ModelError(
            f"The model '{model}' has no safetensors file: convert it with save_pretrained, "
            "or use its configuration alone with --set weights=random."
        )
    return found


def _refuse_adapter(folder: Path, name: str) -> None:
    if (folder / "adapter_config.json").is_file():
        raise ModelError(
            f"'{name}' is an adapter of PEFT and no model: give the model that it belongs to, or merge the two "
            "(merge_and_unload) and save the result with save_pretrained."
        )


def bytes_to_download(model: str, revision: str | None, weights: str) -> int:
    """What `locate` would fetch from the Hub; 0 of what is here, and where the Hub cannot be asked."""
    import huggingface_hub as hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    if model == EMBEDDED or Path(os.path.expanduser(model)).exists() or model.count("/") > 1:
        return 0
    try:
        files = hub.snapshot_download(model, revision=revision, allow_patterns=_patterns(weights), dry_run=True)
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError, ValueError):
        return 0  # `locate` says what is wrong
    return sum(file.file_size or 0 for file in files if file.will_download)


def _patterns(weights: str) -> list[str]:
    return ["*.json", "*.txt", "*.model"] + (["*.safetensors"] if weights == "pretrained" else [])


def _download(model: str, revision: str | None, weights: str) -> Path:
    import huggingface_hub as hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hub.snapshot_download(model, revision=revision, allow_patterns=_patterns(weights)))
    except LocalEntryNotFoundError as error:
        raise ModelError(
            f"The model '{model}' is not a folder here and the Hugging Face Hub cannot be reached: "
            "check the name and the network, or give a local folder with --model."
        ) from error
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise ModelError(f"The model '{model}' cannot be had from the Hugging Face Hub: {reason}") from error


def inspect_model(model: str, revision: str | None, weights: str, remote_code: bool) -> ModelInfo:
    """Find a model, tell decoder from encoder, and hash what a run's result depends on."""
    path = locate(model, revision, weights)
    config = load_config(path, remote_code)
    if weights == "pretrained":
        check_files(path, model)
    return ModelInfo(
        name=model,
        path=path,
        kind=kind_of(config, model),
        model_type=config.model_type,
        max_length=max_length_of(config),
        fingerprints={
            "tokenizer": _hash_files(path, TOKENIZER_FILES),
            "weights": _hash_weights(path, weights),
        },
    )


def examined(info: ModelInfo, weights: str, remote_code: bool, own_head: bool) -> ModelInfo:
    """The same with its notes, once it is known that runs can load it: its tokenizer, and every weight that they read,
    which the model's own output layer is where a task wants it (`own_head`). Raises ModelError."""
    if info.name == EMBEDDED:
        return info
    tokenizer = load_tokenizer(info.path, remote_code)
    if not tokenizer.vocab_size:
        raise ModelError(f"The folder {info.path.name} holds no tokenizer: save it beside the model.")
    config = load_config(info.path, remote_code)
    notes = check_model(info.path, info.name, config, weights, remote_code, own_head)
    return replace(info, notes=tuple(notes))


def inspect_unchanged(spec: RunSpec) -> ModelInfo:
    """What is known of the run's model. Raises ModelError where it is not the one that the study began with."""
    info = inspect_model(spec.model, spec.revision, spec.weights, spec.remote_code)
    for name, value in info.fingerprints.items():
        if spec.fingerprints.get(name, value) != value:
            raise ModelError(f"The {name} of '{spec.model}' changed after the study began: start the command again.")
    return info


def load_config(path: Path, remote_code: bool = False) -> PretrainedConfig:
    """The model's configuration; raises ModelError where transformers does not know its type."""
    from transformers import AutoConfig
    from transformers.utils import logging

    logging.set_verbosity_error()  # its remarks on configurations and loading are not for users of whichtune
    logging.disable_progress_bar()
    getLogger("bitsandbytes.backends.cpu.ops").setLevel(ERROR)  # PEFT imports it where it is installed
    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=remote_code, local_files_only=True)
    except Exception as error:  # of what the file says, and of a model's own code
        raise ModelError(f"The configuration in {path.name} cannot be used: {first_line(error)}.") from error
    _forget_kernels(config)
    return config


def _forget_kernels(config: PretrainedConfig) -> None:
    """A model's file may name kernels of the Hub, which are code, to compute with: only transformers' own are used."""
    for part in parts_of(config):
        for key, known in OWN_IMPLEMENTATIONS.items():
            if getattr(part, key, None) not in known:
                setattr(part, key, None)


def parts_of(config: PretrainedConfig) -> list[PretrainedConfig]:
    """A configuration and those of the model's parts (of text, of pictures)."""
    from transformers import PretrainedConfig

    parts = [getattr(config, name, None) for name in config.sub_configs]
    return [config, *(part for part in parts if isinstance(part, PretrainedConfig))]


def kind_of(config: PretrainedConfig, name: str) -> Kind:
    """Decoder (causal) or encoder (BERT-style); raises ModelError for anything else."""
    from transformers.models.auto import modeling_auto as auto

    masked = auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    causal = auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(f"'{name}' is an encoder-decoder ({config.model_type}): choose a decoder or an encoder.")
    if config.model_type in masked and not getattr(config, "is_decoder", False):
        return "encoder"
    if config.model_type in causal:
        return "decoder"
    raise ModelError(
        f"'{name}' ({config.model_type}) is neither a causal decoder nor a BERT-style encoder: choose one of these."
    )


def load_tokenizer(path: Path, remote_code: bool = False) -> PreTrainedTokenizerBase:
    """The model's tokenizer, padding on the right. GPT-2's kind has no padding token: its end-of-text serves, and
    so it does where a padding token was added that the embeddings have no row for."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=remote_code, local_files_only=True)
    except Exception as error:  # of whatever its files say
        raise ModelError(
            f"The folder {path.name} holds no tokenizer that can be loaded: {first_line(error)}."
        ) from error
    if tokenizer.pad_token_id is None and tokenizer.eos_token_id is not None:
        tokenizer.pad_token = tokenizer.eos_token
    rows = rows_of_embeddings(load_config(path, remote_code))
    if rows and tokenizer.pad_token_id is not None and tokenizer.pad_token_id >= rows:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)  # masked, so any row serves
    tokenizer.padding_side = "right"
    return tokenizer


def load_backbone(
    spec: RunSpec, path: Path, seed_weights: Callable[[], None], keep_pooler: bool = False
) -> PreTrainedModel:
    """The base model in float32, without a head or pooler, with the spec's dropout and attention mask.

    `seed_weights` is called before random weights are drawn. With `keep_pooler` a family's pooler stays.
    """
    import torch
    from transformers import AutoModel

    from whichtune.models.causality import remove_causal_mask
    from whichtune.models.pooler import drop_pooler
    from whichtune.models.reference_weights import draw_pytorch_defaults

    config = load_config(path, spec.remote_code)
    if spec.dropout != "model":
        set_dropout(config, float(spec.dropout))
    for part in parts_of(config):
        if hasattr(part, "use_cache"):
            part.use_cache = False
    if spec.weights == "random":
        seed_weights()
        backbone = AutoModel.from_config(config, trust_remote_code=spec.remote_code, dtype=torch.float32)
        if spec.initialisation == "reference":
            seed_weights()
            draw_pytorch_defaults(backbone)
    else:
        backbone = load_whole(path, spec.model, config, spec.remote_code, with_head=False).model
    if not keep_pooler:
        drop_pooler(backbone)
    if not spec.causal_mask and kind_of(config, spec.model) != "encoder":  # which has none to remove
        remove_causal_mask(backbone, spec.model)
    return backbone


def set_dropout(config: PretrainedConfig, probability: float) -> None:
    """Set every dropout probability of a configuration and of its parts, whatever the family calls it."""
    for part in parts_of(config):
        for key, value in part.to_dict().items():
            named = "drop" in key and isinstance(value, (int, float)) and not isinstance(value, bool)
            if named and value != probability:  # some take whole numbers alone, where they have none
                setattr(part, key, probability)


def _hash_files(folder: Path, names: tuple[str, ...]) -> str:
    import hashlib

    parts = [f"{name}:{sha256_file(folder / name)}" for name in names if (folder / name).is_file()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _hash_weights(folder: Path, weights: str) -> str:
    """The configuration, and the weights themselves unless they are drawn at random."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for key in ("_name_or_path", "transformers_version", "torch_dtype", "dtype"):
        config.pop(key, None)  # notes of whoever saved it; the dtype is always ours
    import hashlib

    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    if weights == "pretrained":
        for file in sorted(folder.glob("*.safetensors")):
            digest.update(f"{file.name}:{sha256_file(file)}".encode())
    return digest.hexdigest()
