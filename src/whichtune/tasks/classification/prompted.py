"""Runs that ask a language model for the label in words: its prompts as tokens, its calibration, its costs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from whichtune.data.label_prompts import CONTENT_FREE, LabelPrompts, check_prompt, default_prompt, drawn_rows, words_of
from whichtune.errors import SettingError
from whichtune.methods import METHODS
from whichtune.methods.prompted import PromptSettings, ShotSettings
from whichtune.study.roles import Role
from whichtune.wording import listing, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from transformers import PretrainedConfig, PreTrainedTokenizerBase

    from whichtune.data.encoding import Encoded
    from whichtune.data.label_prompts import Shots
    from whichtune.data.splits import Dataset
    from whichtune.measure.cost import Timers
    from whichtune.models.heads import Classifier
    from whichtune.models.label_words import WordClassifier
    from whichtune.study.spec import RunSpec
    from whichtune.tasks.estimates import Estimate
    from whichtune.training.forward import Forward
    from whichtune.training.trainer import Training

TOLD_LETTERS = 200  # of a prompt


def settings_of(spec: RunSpec) -> PromptSettings:
    """The settings of a run whose method asks in words."""
    found = METHODS[spec.method].Settings(**spec.method_settings)
    assert isinstance(found, PromptSettings)
    return found


def template_of(spec: RunSpec) -> str:
    """The run's prompt."""
    return settings_of(spec).prompt or default_prompt(_names(spec))


def _names(spec: RunSpec) -> tuple[str, ...]:
    """What stands for texts in a prompt."""
    columns = spec.data.text_columns
    return columns if len(columns) > 1 else ("text",)


def check_prompted(spec: RunSpec, labels: Sequence[str], where: str) -> None:
    """Raise SettingError for a prompt or words that do not go with the data."""
    if spec.role is Role.BASELINE or not METHODS[spec.method].in_words:
        return
    if spec.fields_template is not None:
        raise SettingError(f"{where}: fields_template has no part in {spec.method}, which has a prompt: leave it out.")
    check_prompt(template_of(spec), _names(spec), where)
    words_of(labels, settings_of(spec).label_words, spec.ignored_label, where)


def prompts_of(spec: RunSpec, tokenizer: PreTrainedTokenizerBase, labels: Sequence[str]) -> LabelPrompts:
    """Texts as the run's prompts."""
    words = words_of(labels, settings_of(spec).label_words, spec.ignored_label, spec.method)
    return LabelPrompts(tokenizer, template_of(spec), _names(spec), words)


def build_prompted(
    spec: RunSpec, path: Path, seed_weights: Callable[[], None], labels: Sequence[str]
) -> tuple[WordClassifier, PreTrainedTokenizerBase]:
    """The language model with the labels' words, in float32 on the CPU, and its tokenizer."""
    from whichtune.models.label_words import WordClassifier
    from whichtune.models.language import load_language_model
    from whichtune.models.loading import load_tokenizer
    from whichtune.models.low_precision import quantise

    causal = load_language_model(spec, path, seed_weights)
    quantise(causal.base_model, spec.base_precision)
    tokenizer = load_tokenizer(path, spec.remote_code)
    prompts, own = prompts_of(spec, tokenizer, labels), settings_of(spec)
    model = WordClassifier(causal, prompts.words, prompts.before, own.mean_of_tokens, tokenizer)
    METHODS[spec.method].attach(model, own, spec.seed or 0)
    return model, tokenizer


def encode_prompted(
    spec: RunSpec, dataset: Dataset, tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig
) -> Encoded:
    """The data as blocks of prompts. The context length is that of a block; what stands before it and the labels' words
    have room of their own."""
    from whichtune.data.encoding import encode, refuse_tokens_beyond
    from whichtune.models.sizes import max_length_of, rows_of_embeddings

    assert spec.padding is not None
    prompts, longest = prompts_of(spec, tokenizer, dataset.labels), max_length_of(config)
    shots = _shots(spec, dataset, prompts, longest)
    before = prompts.before if shots is None else shots.before
    room = None if longest is None else longest - len(before) - prompts.longest_words
    if room is not None and room < 1:
        raise SettingError(f"{spec.method}: the prompt leaves no room for a text in the model's {longest} positions.")
    found = encode(
        dataset,
        tokenizer,
        context_length=spec.context_length,
        max_length=room,
        padding=spec.padding,
        attend_to_padding=spec.attend_to_padding,
        long_texts_keep=spec.long_texts_keep,
        fields=prompts,
    )
    for name, split in found.splits.items():
        refuse_tokens_beyond(rows_of_embeddings(config), split.tokens, f"{name} text", split.ids)
    return replace(found, before=tuple(before), told=tuple(_told(spec, dataset, prompts, shots)))


def _shots(spec: RunSpec, dataset: Dataset, prompts: LabelPrompts, longest: int | None) -> Shots | None:
    own, train = settings_of(spec), dataset.splits["train"]
    if not isinstance(own, ShotSettings):
        return None
    classes = [place for place, words in enumerate(prompts.words) if words]
    rows = drawn_rows(train.labels, classes, own.shots, spec.seed or 0)
    room = None if longest is None else longest // 2
    return prompts.shots(train.texts, train.labels, rows, room, spec.long_texts_keep, f"Settings of '{spec.label}'")


def _told(spec: RunSpec, dataset: Dataset, prompts: LabelPrompts, shots: Shots | None) -> list[str]:
    """What the model is asked, and by which examples."""
    template = " ".join(template_of(spec).split())
    words = words_of(dataset.labels, settings_of(spec).label_words, spec.ignored_label, spec.method)
    asked = template if len(template) <= TOLD_LETTERS else f"{template[:TOLD_LETTERS]}..."
    quoted = [f"'{each}'" for each in words if each]
    found = [f"The model is asked '{asked}' for the words {listing(quoted)}."]
    if shots is None:
        return found
    ids = listing([dataset.splits["train"].ids[row] for row in shots.rows], most=40)
    found.append(f"{plural(len(shots.rows), 'example')} of train stand before every text, in this order: {ids}.")
    if shots.cut:
        found.append(
            f"{shots.cut} of them {'is' if shots.cut == 1 else 'are'} cut to {shots.longest} tokens, so that all take "
            "half of the model's positions at most."
        )
    own = settings_of(spec)
    most = len([each for each in prompts.words if each]) * (own.shots if isinstance(own, ShotSettings) else 0)
    if len(shots.rows) < most:
        found.append(f"shots asks for {most}: some labels have fewer training texts.")
    return found


def solve_prompted(spec: RunSpec, model: Classifier, forward: Forward, timers: Timers) -> Training:
    """Put the examples before every text, and measure what the model says after prompts without content. Time and
    operations count as training."""
    import torch

    from whichtune.data.encoding import make_batch
    from whichtune.measure.cost import count_flops
    from whichtune.models.label_words import WordClassifier
    from whichtune.tasks.classification.weighting import notes_of_fit
    from whichtune.training.forward import autocast
    from whichtune.training.trainer import Training

    assert isinstance(model, WordClassifier)
    assert model.tokenizer is not None
    encoded, head = forward.encoded, model.head
    prompts = prompts_of(spec, model.tokenizer, encoded.classes)
    head.say_before(encoded.before)
    notes = notes_of_fit(spec, False)
    if not settings_of(spec).calibrate:
        model.keeps_parts  # noqa: B018 - asked here, so that no answer pays for it
        return Training(notes=[*notes, *_why_whole(model)])
    batch = make_batch(prompts.content_free(), pad_id=encoded.pad_id).to(forward.device)
    tokens = int(batch.lengths.sum()) + len(encoded.before)

    def scores() -> torch.Tensor:
        with torch.no_grad(), autocast(spec.precision, forward.device):
            return model.scores(batch.input_ids, batch.lengths)

    scores()  # decides what is kept
    flops = count_flops(scores)
    known = torch.tensor([bool(each) for each in head.words], device=forward.device)
    with timers.phase("train"), torch.no_grad():
        mean = scores()[:, known].softmax(1).mean(0)
        head.content_free[known] = mean.log()
    shares = zip(_names_of(encoded, known.tolist()), mean.tolist(), strict=True)
    said = listing([f"{name} {100 * share:.1f} %" for name, share in shares], most=12)
    notes.append(f"Calibrated by {len(CONTENT_FREE)} prompts without content, after which the model expects {said}.")
    seconds = [timers.seconds["train"]]
    return Training(flops=flops, real_tokens=tokens, epoch_seconds=seconds, notes=[*notes, *_why_whole(model)])


def _names_of(encoded: Encoded, known: Iterable[bool]) -> list[str]:
    return [name for name, is_it in zip(encoded.classes, known, strict=True) if is_it]


def _why_whole(model: WordClassifier) -> list[str]:
    if not model.why_whole:
        return []
    return [f"Every prompt is read from its first token on for each label, since {model.why_whole}."]


def estimate_prompted(spec: RunSpec, dataset: Dataset, speed: float) -> Estimate:
    """One pass of the language model over every prompt, with the labels' words behind it; what stands before all of
    them is read once."""
    import torch

    from whichtune.data.batch import Batch
    from whichtune.measure.cost import count_parameters
    from whichtune.measure.flops import flops_of_length
    from whichtune.models.loading import load_config, load_tokenizer, locate
    from whichtune.tasks.estimates import estimate_of, examples_in

    path = locate(spec.model, spec.revision, spec.weights)
    config, tokenizer = load_config(path, spec.remote_code), load_tokenizer(path, spec.remote_code)
    encoded = encode_prompted(spec, dataset, tokenizer, config)
    words = prompts_of(spec, tokenizer, dataset.labels).words
    model = meta_prompted(spec, config, words)

    def of_length(length: int) -> torch.Tensor:
        ids = torch.zeros(1, length, dtype=torch.long, device="meta")
        with torch.no_grad():
            return model.features(Batch(ids, torch.full((1,), length, device="meta")))

    infer = flops_of_length(of_length, encoded.context_length + len(encoded.before))
    behind = sum(len(each) - 1 for each in words if each)
    reading = sum(infer(len(ids) + behind) for part in encoded.splits.values() for ids in part.tokens)
    before = infer(len(encoded.before)) if encoded.before else 0
    stored, total = len(words) + len(encoded.before), count_parameters(model)[1]
    return estimate_of(
        len(CONTENT_FREE) * infer(16), before + reading, speed, stored, total, 0, examples_in(encoded), by_steps=False
    )


def meta_prompted(spec: RunSpec, config: PretrainedConfig, words: Sequence[Sequence[int]]) -> WordClassifier:
    """The model without storage."""
    import torch
    from transformers import AutoModelForCausalLM

    from whichtune.models.label_words import WordClassifier

    with torch.device("meta"):
        causal = AutoModelForCausalLM.from_config(config, trust_remote_code=spec.remote_code, dtype=torch.float32)
        model = WordClassifier(causal, words, [], False)
    METHODS[spec.method].attach(model, settings_of(spec), spec.seed or 0)
    return model.to("meta").eval()
