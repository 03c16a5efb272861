"""A tag for each word: the head reads a token of every word, and spans of tags are the entities that are judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichtune.data.tag_cells import TAGGED
from whichtune.data.truncation import KEPT_WORDS
from whichtune.errors import SettingError
from whichtune.study.data_settings import DataSettings
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec
from whichtune.study.spec import Settings as RunSettings
from whichtune.tasks.base import Answering, FittedBaseline, Judged, Task, register
from whichtune.tasks.tagging.model import build_tagger, encode_for
from whichtune.tasks.tagging.settings import TaggingSettings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    import torch
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

    from whichtune.data.streamed import TextFile
    from whichtune.data.tag_encoding import EncodedSentences
    from whichtune.data.tagged import TaggedDataset
    from whichtune.measure.cost import Timers
    from whichtune.models.loading import ModelInfo
    from whichtune.models.tagger import Tagger
    from whichtune.records.record import RunRecord
    from whichtune.shortcuts.prepared import CacheSettings, Prepared
    from whichtune.tasks.estimates import Estimate, Preview
    from whichtune.tasks.tagging.forward import TagForward, TaggingObjective
    from whichtune.training.trainer import Training


@register
class Tagging(Task["TaggedDataset", "Tagger", "EncodedSentences", "TagForward"]):
    name = "tagging"
    title = "a tag for each word, such as those of names"
    columns = TAGGED
    answers = "tags"
    Settings = TaggingSettings
    unused = ("token_position", "head", "attend_to_padding", "ignore_index", "random_streams", "state_precision")
    default_methods = ("head_only", "last_block", "full", "lora")
    default_baselines = ("all_outside", "word_tag")

    @property
    def watched(self) -> tuple[str, ...]:
        return ("loss", *self.metrics)

    def load(self, data: DataSettings) -> TaggedDataset:
        from whichtune.data.tagged import load_tagged

        return load_tagged(data, self.columns)

    def examples(self, dataset: TaggedDataset) -> pd.DataFrame:
        """With the names of each word's tag, in a list."""
        import pandas as pd

        return pd.concat(
            [
                pd.DataFrame(
                    {
                        "split": name,
                        "example_id": part.ids,
                        "text": part.texts,
                        "label": [[dataset.labels[tag] for tag in tags] for tags in part.tags],
                    }
                )
                for name, part in dataset.splits.items()
                if name != "train"
            ],
            ignore_index=True,
        )

    def primary_metric(self, dataset: TaggedDataset) -> str:
        """Micro F1 of entities, as the CoNLL shared tasks are decided: tag accuracy is mostly that of O."""
        return "entity_f1"

    def resolve(self, settings: RunSettings, info: ModelInfo | None, where: str) -> dict[str, str | bool | None]:
        if not settings.causal_mask and info is not None and info.kind == "encoder":
            raise SettingError(f"{where}: causal_mask=false is for decoders: {info.model_type} has no causal mask.")
        return {
            "token_position": None,
            "padding": settings.padding or "dynamic",
            "causal_mask": settings.causal_mask and (info is None or info.kind != "encoder"),
        }

    def check(self, spec: RunSpec, dataset: TaggedDataset, where: str) -> None:
        from whichtune.data.field_encoding import check_fields

        check_fields(spec, where)

    def estimate(self, spec: RunSpec, dataset: TaggedDataset, speed: float) -> Estimate:
        from whichtune.tasks.tagging.estimate import estimate_run

        return estimate_run(spec, dataset, speed)

    def preview(self, spec: RunSpec, dataset: TaggedDataset) -> Preview:
        from whichtune.tasks.tagging.estimate import preview_run

        return preview_run(spec, dataset)

    def build(self, spec: RunSpec, dataset: TaggedDataset) -> tuple[Tagger, PreTrainedTokenizerBase]:
        return build_tagger(spec, dataset.outputs)

    def encode(
        self, spec: RunSpec, dataset: TaggedDataset, tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig
    ) -> EncodedSentences:
        return encode_for(spec, dataset, tokenizer, config)

    def prepare(
        self,
        spec: RunSpec,
        model: Tagger,
        encoded: EncodedSentences,
        device: torch.device,
        timers: Timers,
        cache: CacheSettings,
    ) -> Prepared[TagForward]:
        from whichtune.tasks.tagging.planned import prepare_tag_forward

        return prepare_tag_forward(spec, model, encoded, device, timers, cache)

    def objective(self, spec: RunSpec, model: Tagger, forward: TagForward) -> TaggingObjective:
        from whichtune.tasks.tagging.forward import TaggingObjective

        return TaggingObjective(forward)

    def evaluate(
        self,
        spec: RunSpec,
        model: Tagger,
        forward: TagForward,
        training: Training,
        tokenizer: PreTrainedTokenizerBase,
        timers: Timers,
    ) -> Judged:
        from whichtune.tasks.tagging.evaluate import figures_of
        from whichtune.tasks.tagging.forward import predict_split

        splits = forward.encoded.splits
        wanted = ("validation",) if spec.role is Role.DRAW else tuple(splits)
        with timers.phase("evaluate"):
            found = {name: predict_split(forward, name) for name in wanted}
        return figures_of(found, splits)

    def latencies(self, spec: RunSpec, model: Tagger, forward: TagForward) -> dict[str, float]:
        import torch

        from whichtune.tasks.latencies import answering_latencies
        from whichtune.training.forward import autocast

        encoded, device = forward.encoded, forward.device

        def tag(rows: Sequence[int]) -> None:
            with torch.no_grad(), autocast(spec.precision, device):
                model(encoded.batch("test", rows).to(device))

        return answering_latencies(spec, model, tag, len(encoded.splits["test"]), device)

    def notes(self, encoded: EncodedSentences) -> list[str]:
        cut = {name: part for name, part in encoded.splits.items() if part.truncated}
        left = {name: part for name, part in encoded.splits.items() if part.words_cut}
        notes = []
        if cut:
            counts = ", ".join(f"{part.truncated:,} of {len(part):,} in {name}" for name, part in cut.items())
            kept = KEPT_WORDS[encoded.long_texts_keep]
            notes.append(f"Sentences cut to {encoded.context_length} tokens, {kept} kept: {counts}.")
        if left:
            counts = ", ".join(f"{part.words_cut:,} of {sum(map(len, part.tags)):,} in {n}" for n, part in left.items())
            notes.append(f"Words without a token in the context, which are tagged O: {counts}.")
        return notes

    def fit_baseline(self, spec: RunSpec, dataset: TaggedDataset) -> FittedBaseline:
        return FittedTagger(spec, dataset)

    def text_file(self, spec: RunSpec, record: RunRecord, file: Path, text_column: str | None) -> TextFile:
        from whichtune.data.tagged_texts import SentenceFile

        return SentenceFile(file, text_column or spec.data.text_column)

    def predict(self, spec: RunSpec, record: RunRecord, folder: Path, texts: list[str]) -> pd.DataFrame:
        """The texts, the tags of their words with blanks between, and the entities."""
        return self.loaded(spec, record, folder)(texts)

    def loaded(self, spec: RunSpec, record: RunRecord, folder: Path) -> Answering:
        from whichtune.tasks.tagging.predict import loaded_run, told

        logits_of = loaded_run(spec, record, folder)
        return lambda texts, first=0, /: told(texts, logits_of(texts, first), record.labels)

    def gives_again(self, spec: RunSpec, record: RunRecord, again: pd.DataFrame, recorded: pd.DataFrame) -> bool:
        """By every word's tag, but where two are about as likely, and by how sure it is."""
        from whichtune.tasks.tagging.predict import same_tags

        return same_tags(spec, record.labels, again, recorded)


class FittedTagger(FittedBaseline):
    """A tagger without a language model."""

    def __init__(self, spec: RunSpec, dataset: TaggedDataset) -> None:
        import numpy as np

        from whichtune.baselines import fitted_baseline

        self.dataset = dataset
        train = dataset.splits["train"]
        tags = np.empty(len(train), dtype=object)
        tags[:] = train.tags
        self.fitted = fitted_baseline(spec.method).fit(train.texts, tags, dataset.outputs)
        self.parameters = self.fitted.parameters

    def evaluate(self) -> Judged:
        from whichtune.tasks.tagging.evaluate import figures_of
        from whichtune.tasks.tagging.predict import by_sentence

        splits = self.dataset.splits
        return figures_of({name: by_sentence(self.fitted, part.texts) for name, part in splits.items()}, splits)

    def answer(self, rows: list[int]) -> None:
        texts = self.dataset.splits["test"].texts
        self.fitted.logits([texts[row % len(texts)] for row in rows])

    def save(self, folder: Path) -> None:
        self.fitted.save(folder)
