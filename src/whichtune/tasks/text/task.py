"""A text for each text: trained by the loss of the target's tokens, judged by what the model writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from whichtune.data.chats import CHATS
from whichtune.errors import SettingError, StoreError
from whichtune.study.data_settings import DataSettings
from whichtune.study.fields import readable
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec
from whichtune.study.spec import Settings as RunSettings
from whichtune.tasks.base import Answering, FittedBaseline, Judged, Task, register
from whichtune.tasks.text.answers import ExtractiveBaseline, SplitAnswers, extract, judge_texts
from whichtune.tasks.text.model import (
    build_language_model,
    check_texts,
    decode,
    encode_for,
    write_texts,
    writing_of,
)
from whichtune.tasks.text.settings import SummarisationSettings, TextToTextSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd
    import torch
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

    from whichtune.data.pair_encoding import EncodedPairs
    from whichtune.data.pairs import PairDataset
    from whichtune.measure.cost import Timers
    from whichtune.models.language import LanguageModel
    from whichtune.models.loading import ModelInfo
    from whichtune.records.record import RunRecord
    from whichtune.shortcuts.prepared import CacheSettings, Prepared
    from whichtune.tasks.estimates import Estimate, Preview
    from whichtune.tasks.text.forward import TextForward, TextObjective
    from whichtune.training.trainer import Training

TIMED_TEXTS = 3
TIMED_BATCHES = 2
MOST_TIPPED = 0.2  # share of texts that may be written otherwise when they are written again


@register
class TextToText(Task["PairDataset", "LanguageModel", "EncodedPairs", "TextForward"]):
    name = "text_to_text"
    title = "a text for each text"
    columns = CHATS
    answers = "texts"
    Settings = TextToTextSettings
    own_head = True
    unused = (
        "token_position",
        "head",
        "padding",
        "attend_to_padding",
        "causal_mask",
        "ignore_index",
        "random_streams",
        "initialisation",
        "accumulation_tail",
        "state_precision",
    )
    default_methods = ("head_only", "lora", "soft_prompt", "full")
    default_baselines: ClassVar[tuple[str, ...]] = ("untuned",)

    def load(self, data: DataSettings) -> PairDataset:
        from whichtune.data.pairs import load_pairs

        return load_pairs(data, self.columns)

    def primary_metric(self, dataset: PairDataset) -> str:
        return "rougeL"

    def resolve(self, settings: RunSettings, info: ModelInfo | None, where: str) -> dict[str, str | None]:
        if info is not None and info.kind != "decoder":
            raise SettingError(
                f"{where}: {self.name} needs a decoder, which '{info.name}' is not: choose another model."
            )
        return {"token_position": None, "padding": "dynamic"}

    def check(self, spec: RunSpec, dataset: PairDataset, where: str) -> None:
        check_texts(spec, dataset, where)

    def estimate(self, spec: RunSpec, dataset: PairDataset, speed: float) -> Estimate:
        from whichtune.tasks.text.estimate import estimate_run

        return estimate_run(spec, dataset, speed)

    def preview(self, spec: RunSpec, dataset: PairDataset) -> Preview:
        from whichtune.tasks.text.estimate import preview_run

        return preview_run(spec, dataset)

    def build(self, spec: RunSpec, dataset: PairDataset) -> tuple[LanguageModel, PreTrainedTokenizerBase]:
        return build_language_model(spec)

    def encode(
        self, spec: RunSpec, dataset: PairDataset, tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig
    ) -> EncodedPairs:
        return encode_for(spec, dataset, tokenizer, config)

    def prepare(
        self,
        spec: RunSpec,
        model: LanguageModel,
        encoded: EncodedPairs,
        device: torch.device,
        timers: Timers,
        cache: CacheSettings,
    ) -> Prepared:
        from whichtune.tasks.text.planned import prepare_text_forward

        return prepare_text_forward(spec, model, encoded, device, timers, cache)

    def objective(self, spec: RunSpec, model: LanguageModel, forward: TextForward) -> TextObjective:
        from whichtune.tasks.text.forward import TextObjective

        return TextObjective(forward)

    def evaluate(
        self,
        spec: RunSpec,
        model: LanguageModel,
        forward: TextForward,
        training: Training,
        tokenizer: PreTrainedTokenizerBase,
        timers: Timers,
    ) -> Judged:
        """Loss, written texts and ROUGE of validation and test; a draw of a search is judged on validation alone."""
        from whichtune.tasks.text.forward import row_losses

        names = ("validation",) if spec.role is Role.DRAW else ("validation", "test")
        writing = writing_of(spec, forward.encoded.room, tokenizer)
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

    def latencies(self, spec: RunSpec, model: LanguageModel, forward: TextForward) -> dict[str, float]:
        """Milliseconds to write a test text, alone and as one of 32, in batches as they are set."""
        from whichtune.measure.cost import latency_ms

        if spec.role is Role.DRAW:
            return {}
        split, writing = forward.encoded.splits["test"], writing_of(spec, forward.encoded.room, model.tokenizer)

        def write_one(place: int) -> None:
            write_texts(spec, model, [split.prompt(place % len(split))], writing)

        def write_many(place: int) -> None:
            write_texts(spec, model, [split.prompt((32 * place + i) % len(split)) for i in range(32)], writing)

        one = latency_ms(write_one, forward.device, TIMED_TEXTS)
        batch = latency_ms(write_many, forward.device, TIMED_BATCHES, warm=True).of_each(32)
        return one.costs("inference_ms") | batch.costs("inference_ms_batch_32")

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

        found = asdict(encoded.room)
        chat = found.pop("chat")
        return {**found, "chat": 1} if chat else found

    def fit_baseline(self, spec: RunSpec, dataset: PairDataset) -> FittedBaseline:
        return ExtractiveBaseline(spec, dataset)

    def predict(self, spec: RunSpec, record: RunRecord, folder: Path, texts: list[str]) -> pd.DataFrame:
        """The texts, and what is written for each."""
        return self.loaded(spec, record, folder)(texts)

    def loaded(self, spec: RunSpec, record: RunRecord, folder: Path) -> Answering:
        import pandas as pd

        write = _loaded(spec, record, folder)
        return lambda texts, first=0, /: pd.DataFrame({"text": list(map(readable, texts)), "prediction": write(texts)})

    def gives_again(self, spec: RunSpec, record: RunRecord, again: pd.DataFrame, recorded: pd.DataFrame) -> bool:
        """Text by text, a few apart: rounding may tip a token, and all that follows. What is drawn is not compared:
        it depends on the batch."""
        if record.role is not Role.BASELINE and spec.task_settings.get("generation") == "sample":
            return True
        other = sum(a != b for a, b in zip(again["prediction"], recorded["prediction"], strict=True))
        return other <= MOST_TIPPED * len(recorded)


@register
class Summarisation(TextToText):
    name = "summarisation"
    title = "a summary for each document"
    like = "text_to_text"
    Settings = SummarisationSettings
    default_baselines = ("lead_1", "lead_3", "untuned")


def _loaded(spec: RunSpec, record: RunRecord, folder: Path) -> Callable[[list[str]], list[str]]:
    """What answers each text as a saved run does."""
    if record.role is Role.BASELINE:
        return lambda texts: extract(spec, texts)
    from whichtune.data.pair_encoding import Room
    from whichtune.tasks.text.predict import loaded_writer

    if record.room is None:
        raise StoreError(f"The record of '{record.label}' does not say how its context was shared: make it again.")
    return loaded_writer(spec, Room.of(record.room), folder / "weights.safetensors")
