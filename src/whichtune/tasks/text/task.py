"""A text for each text: trained by the loss of the target's tokens, judged by what the model writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whichtune.errors import SettingError
from whichtune.records.record import Role
from whichtune.study.spec import DataSettings, RunSpec
from whichtune.study.spec import Settings as RunSettings
from whichtune.tasks.base import TASKS, FittedBaseline, Judged, Task, register
from whichtune.tasks.text.answers import ExtractiveBaseline, SplitAnswers, judge_texts
from whichtune.tasks.text.settings import SummarisationSettings, TextToTextSettings

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from whichtune.data.pair_encoding import EncodedPairs, PairEncoder, Room
    from whichtune.data.pairs import PairDataset
    from whichtune.measure.cost import Timers
    from whichtune.models.generation import Writing
    from whichtune.models.language import LanguageModel
    from whichtune.models.loading import ModelInfo
    from whichtune.shortcuts.prepared import CacheSettings, Prepared
    from whichtune.tasks.text.forward import TextObjective

ROUGE = ("rouge1", "rouge2", "rougeL", "rougeLsum")
TIMED_TEXTS = 3


@register
class TextToText(Task):
    name = "text_to_text"
    title = "a text for each text"
    answer_column = "target"
    Settings = TextToTextSettings
    metrics = ROUGE
    watched = ("loss",)
    unused = (
        "token_position",
        "padding",
        "attend_to_padding",
        "causal_mask",
        "ignore_index",
        "random_streams",
        "initialisation",
        "accumulation_tail",
    )
    default_methods = ("head_only", "lora", "soft_prompt", "full")

    def load(self, data: DataSettings) -> PairDataset:
        from whichtune.data.pairs import load_pairs

        return load_pairs(data)

    def primary_metric(self, dataset: PairDataset) -> str:
        return "rougeL"

    def resolve(self, settings: RunSettings, info: ModelInfo | None, where: str) -> dict[str, Any]:
        if info is not None and info.kind != "decoder":
            raise SettingError(
                f"{where}: {self.name} needs a decoder, which '{info.name}' is not: choose another model."
            )
        return {"token_position": None, "padding": "dynamic"}

    def build(self, spec: RunSpec, dataset: PairDataset) -> tuple[LanguageModel, Any]:
        from whichtune.tasks.text.model import build_language_model

        return build_language_model(spec)

    def encode(self, spec: RunSpec, dataset: PairDataset, tokenizer: Any, config: Any) -> EncodedPairs:
        from whichtune.data.pair_encoding import encode_pairs
        from whichtune.methods import METHODS
        from whichtune.models.loading import max_length_of

        own, method = self.settings(spec), METHODS[spec.method]
        return encode_pairs(
            dataset,
            self.encoder(spec, tokenizer),
            tokenizer.pad_token_id,
            own.loss_on == "all",
            own.max_target_tokens,
            context_length=spec.context_length,
            max_length=max_length_of(config),
            reserved=method.reserved_tokens(method.Settings(**spec.method_settings)),
            max_source=own.max_source_tokens,
            max_new=own.max_new_tokens,
        )

    def prepare(
        self, spec: RunSpec, model: Any, encoded: Any, device: torch.device, timers: Timers, cache: CacheSettings
    ) -> Prepared:
        from whichtune.tasks.text.planned import prepare_text_forward

        return prepare_text_forward(spec, model, encoded, device, timers, cache)

    def objective(self, spec: RunSpec, model: Any, forward: Any) -> TextObjective:
        from whichtune.tasks.text.forward import TextObjective

        return TextObjective(forward)

    def evaluate(
        self, spec: RunSpec, model: Any, forward: Any, training: Any, tokenizer: Any, timers: Timers
    ) -> Judged:
        """Loss, written texts and ROUGE of validation and test; a draw of a search is judged on validation alone."""
        from whichtune.tasks.text.forward import row_losses

        names = ("validation",) if spec.role is Role.DRAW else ("validation", "test")
        writing = self.writing(spec, forward.encoded.room, tokenizer)
        parts: dict[str, SplitAnswers] = {}
        with timers.phase("evaluate"):
            for name in names:
                split = forward.encoded.splits[name]
                losses, counts = row_losses(forward, name)
                prompts = [split.prompt(row) for row in range(len(split))]
                ids = write_texts(spec, model, prompts, writing)
                texts = decode(tokenizer, ids)
                lengths = [len(written) for written in ids]
                parts[name] = SplitAnswers(split, texts, losses, counts, lengths, writing.max_new_tokens)
        return judge_texts(parts)

    def latencies(self, spec: RunSpec, model: Any, forward: Any) -> dict[str, float]:
        """Milliseconds to write one test text, alone."""
        from whichtune.measure.cost import latency_ms

        if spec.role is Role.DRAW:
            return {}
        split, writing = forward.encoded.splits["test"], self.writing(spec, forward.encoded.room, model.tokenizer)

        def write_one(place: int) -> None:
            write_texts(spec, model, [split.prompt(place % len(split))], writing)

        return {"inference_ms": latency_ms(write_one, forward.device, TIMED_TEXTS)}

    def notes(self, encoded: EncodedPairs) -> list[str]:
        notes = []
        cut = {name: part.truncated for name, part in encoded.splits.items() if part.truncated}
        if cut:
            counts = ", ".join(f"{count} of {len(encoded.splits[name])} in {name}" for name, count in cut.items())
            notes.append(f"Prompts cut to {encoded.room.prompt} of {encoded.context_length} tokens: {counts}.")
        cut = {name: part.targets_cut for name, part in encoded.splits.items() if part.targets_cut}
        if cut:
            counts = ", ".join(f"{count} in {name}" for name, count in cut.items())
            notes.append(f"Targets cut to {encoded.room.target} tokens for the loss, not for ROUGE: {counts}.")
        return notes

    def room(self, encoded: EncodedPairs) -> dict[str, int | None]:
        from dataclasses import asdict

        return asdict(encoded.room)

    def fit_baseline(self, spec: RunSpec, dataset: PairDataset) -> FittedBaseline:
        return ExtractiveBaseline(spec, dataset)

    # -- what the parts above share ------------------------------------------------------------------

    def settings(self, spec: RunSpec) -> TextToTextSettings:
        chosen = self.Settings(**spec.task_settings)
        assert isinstance(chosen, TextToTextSettings)
        return chosen

    def encoder(self, spec: RunSpec, tokenizer: Any) -> PairEncoder:
        from whichtune.data.pair_encoding import PairEncoder

        own = self.settings(spec)
        return PairEncoder(tokenizer, own.template, own.lower_case, own.remove_punctuation, spec.long_texts_keep)

    def writing(self, spec: RunSpec, room: Room, tokenizer: Any) -> Writing:
        from whichtune.models.generation import Writing

        own = self.settings(spec)
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


@register
class Summarisation(TextToText):
    name = "summarisation"
    title = "a summary for each document"
    Settings = SummarisationSettings


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


def decode(tokenizer: Any, ids: list[list[int]]) -> list[str]:
    """Written tokens as text, without special tokens and outer white space."""
    return [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]


def write_new(spec: RunSpec, room: Room, weights: Path, texts: list[str]) -> list[str]:
    """What a saved run writes for new texts. `room` is that of the run's record."""
    from whichtune.models.saving import load_trained_state
    from whichtune.tasks.text.model import build_language_model

    task = TASKS[spec.task]
    assert isinstance(task, TextToText)
    model, tokenizer = build_language_model(spec)
    load_trained_state(model, weights)
    model.to(spec.device)
    encoder = task.encoder(spec, tokenizer)
    prompts = [encoder.prompt(encoder.cut(ids, room.source), room.prompt) for ids in encoder.sources(texts)]
    return decode(tokenizer, write_texts(spec, model, prompts, task.writing(spec, room, tokenizer)))
