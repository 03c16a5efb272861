"""A run's language model with its method attached, and what it writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichtune.errors import SettingError
from whichtune.study.spec import RunSpec
from whichtune.tasks.base import TASKS
from whichtune.tasks.text.settings import PLACE, TextToTextSettings

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from whichtune.data.pair_encoding import EncodedPairs, PairEncoder, Room
    from whichtune.data.pairs import PairDataset
    from whichtune.models.generation import Writing
    from whichtune.models.language import LanguageModel


def settings_of(spec: RunSpec) -> TextToTextSettings:
    """The run's settings of its task."""
    chosen = TASKS[spec.task].Settings(**spec.task_settings)
    assert isinstance(chosen, TextToTextSettings)
    return chosen


def build_language_model(spec: RunSpec) -> tuple[LanguageModel, PreTrainedTokenizerBase]:
    """The model with its method attached, in float32 on the CPU, and its tokenizer.

    A tied head gets its own copy where the head trains and the embeddings do not, unless the settings say
    `train_both`. A method that inserts something leaves the pretrained head as it is.
    """
    from whichtune.models.language import LanguageModel, load_language_model
    from whichtune.models.loading import inspect_unchanged, load_tokenizer
    from whichtune.models.low_precision import quantise
    from whichtune.training.streams import streams_of

    info = inspect_unchanged(spec)
    tokenizer = load_tokenizer(info.path, spec.remote_code)
    model = LanguageModel(load_language_model(spec, info.path, streams_of(spec).seed_weights), tokenizer)
    quantise(model.backbone, spec.base_precision)
    attach(model, spec)
    if spec.gradient_checkpointing:
        backbone: PreTrainedModel = model.backbone
        backbone.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model, tokenizer


def attach(model: LanguageModel, spec: RunSpec) -> None:
    """Attach the run's method, and settle what becomes of a tied head."""
    from whichtune.methods import METHODS
    from whichtune.models.tying import apply_tying, input_embeddings

    method = METHODS[spec.method]
    was_tied = model.tied
    apply_tying(model.backbone, model.head, settings_of(spec).tied)
    method.attach(model, method.Settings(**spec.method_settings), spec.seed or 0)
    if method.inserts:
        model.head.requires_grad_(False)
    if (
        was_tied
        and not model.tied
        and (not model.head.weight.requires_grad or input_embeddings(model.backbone).weight.requires_grad)
    ):
        model.tie_again()
    model.own_head()


def meta_language_model(spec: RunSpec, config: PretrainedConfig) -> LanguageModel:
    """The model with its method attached, shapes only. `config` takes the run's dropout."""
    import torch
    from transformers import AutoModelForCausalLM

    from whichtune.models.language import LanguageModel
    from whichtune.models.loading import set_dropout

    if spec.dropout != "model":
        set_dropout(config, float(spec.dropout))
    with torch.device("meta"):
        common = {"trust_remote_code": spec.remote_code, "dtype": torch.float32}  # as runs load it
        model = LanguageModel(AutoModelForCausalLM.from_config(config, **common))
        attach(model, spec)
    return model.to("meta").train()


def encoder_of(spec: RunSpec, tokenizer: PreTrainedTokenizerBase, chat: bool = False) -> PairEncoder:
    """What turns texts and targets into tokens, as the run's settings say; conversations by the model's template."""
    from whichtune.data.pair_encoding import PairEncoder

    own = settings_of(spec)
    return PairEncoder(tokenizer, own.template, own.lower_case, own.remove_punctuation, spec.long_texts_keep, chat)


def check_texts(spec: RunSpec, dataset: PairDataset, where: str) -> None:
    """Raise SettingError for the first text that gives the model nothing to begin with, which no loss can follow."""
    from whichtune.data.pair_encoding import clean_text
    from whichtune.models.loading import load_tokenizer, locate

    own = settings_of(spec)
    if dataset.chats:
        if own.template != type(own)().template:
            raise SettingError(
                f"{where}: template is for texts, and these data are conversations, which are read by the model's own "
                "template: leave it out."
            )
        return
    if own.template != PLACE or not spec.model:
        return
    for name, split in dataset.splits.items():
        for place, text in zip(split.ids, split.texts, strict=True):
            if clean_text(text, own.lower_case, own.remove_punctuation).strip():
                continue
            path = locate(spec.model, spec.revision, spec.weights)
            if encoder_of(spec, load_tokenizer(path, spec.remote_code)).reads_nothing(text):
                raise SettingError(
                    f"{where}: nothing is left of the {name} text {place} as it is read, and the template has no words "
                    "of its own for the model to begin with: leave the text out, or put words into the template."
                )


def encode_for(
    spec: RunSpec, dataset: PairDataset, tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig
) -> EncodedPairs:
    """The data as tokens, with the run's own share of the context and beside what its method fills of it."""
    from whichtune.data.encoding import refuse_tokens_beyond
    from whichtune.data.pair_encoding import encode_pairs
    from whichtune.methods import METHODS
    from whichtune.models.sizes import max_length_of, rows_of_embeddings

    own, method = settings_of(spec), METHODS[spec.method]
    found = encode_pairs(
        dataset,
        encoder_of(spec, tokenizer, dataset.chats),
        tokenizer.pad_token_id,
        own.loss_on == "all",
        own.max_target_tokens,
        context_length=spec.context_length,
        max_length=max_length_of(config),
        reserved=method.reserved_tokens(method.Settings(**spec.method_settings)),
        max_source=own.max_source_tokens,
        max_new=own.max_new_tokens,
    )
    for name, split in found.splits.items():
        refuse_tokens_beyond(rows_of_embeddings(config), split.tokens, f"{name} text", split.ids)
    return found


def writing_of(spec: RunSpec, room: Room, tokenizer: PreTrainedTokenizerBase) -> Writing:
    """How the run's texts are written."""
    from whichtune.models.generation import Writing

    own = settings_of(spec)
    return Writing(
        max_new_tokens=room.writing,
        end_id=tokenizer.eos_token_id,
        pad_id=tokenizer.pad_token_id,
        kind=own.generation,
        num_beams=own.num_beams,
        temperature=own.temperature,
        top_p=own.top_p,
        min_new_tokens=own.min_new_tokens,
        no_repeat_ngram=own.no_repeat_ngram,
        batch_size=own.generation_batch_size,
    )


def write_texts(spec: RunSpec, model: LanguageModel, prompts: list[list[int]], writing: Writing) -> list[list[int]]:
    """The tokens written after each prompt, in the run's precision. What is drawn depends on the run's seed and on
    the batch alone."""
    import torch

    from whichtune.models.generation import write
    from whichtune.seeding import GENERATION, seed_global
    from whichtune.training.forward import autocast

    def draw(rows: list[int]) -> None:
        if writing.kind == "sample":
            seed_global(spec.seed or 0, f"{GENERATION}/{rows[0]}")

    devices = [torch.cuda.current_device()] if spec.device == "cuda" else []
    with torch.random.fork_rng(devices=devices), autocast(spec.precision, torch.device(spec.device)):
        return write(model, prompts, writing, draw)


def decode(tokenizer: PreTrainedTokenizerBase, ids: list[list[int]]) -> list[str]:
    """Written tokens as text, without special tokens and outer white space."""
    return [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]
