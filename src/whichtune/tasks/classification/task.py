"""One label for each text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel

from whichtune.data.sources import LABELLED
from whichtune.data.truncation import KEPT_WORDS
from whichtune.errors import SettingError
from whichtune.records.record import Metrics
from whichtune.study.data_settings import DataSettings
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec
from whichtune.study.spec import Settings as RunSettings
from whichtune.tasks.base import Answering, FittedBaseline, Judged, Task, register
from whichtune.tasks.classification.model import build_classifier, encode_for
from whichtune.tasks.classification.native import check_native_reading
from whichtune.tasks.classification.settings import ClassificationSettings

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    import torch
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

    from whichtune.data.encoding import Encoded, Padding
    from whichtune.data.splits import Dataset
    from whichtune.measure.cost import Timers
    from whichtune.metrics.table import Answers
    from whichtune.models.heads import Classifier
    from whichtune.models.loading import ModelInfo
    from whichtune.records.record import RunRecord
    from whichtune.shortcuts.prepared import CacheSettings, Prepared
    from whichtune.tasks.estimates import Estimate, Preview
    from whichtune.training.forward import Forward
    from whichtune.training.objective import CurveWatcher, Objective
    from whichtune.training.streams import Streams
    from whichtune.training.trainer import Training

READS_PADDING = ("last", "mean")


@register
class Classification(Task["Dataset", "Classifier", "Encoded", "Forward"]):
    name = "classification"
    title = "one label for each text"
    solves = True
    loss_of_rows = True
    Settings: ClassVar[type[BaseModel]] = ClassificationSettings
    columns = LABELLED
    answers: ClassVar[Answers] = "classes"
    default_baselines = ("majority", "tfidf_char", "tfidf_word")

    @property
    def watched(self) -> tuple[str, ...]:
        return ("loss", *self.metrics)

    @property
    def primary_metrics(self) -> tuple[str, ...]:
        """All, and the loss: of it and of a cost the margin is a share of the best baseline's."""
        return (*self.metrics, "loss") if self.answers == "classes" else super().primary_metrics

    def load(self, data: DataSettings) -> Dataset:
        from whichtune.data.splits import load_dataset

        return load_dataset(data, self.columns)

    def primary_metric(self, dataset: Dataset) -> str:
        """Accuracy, or macro F1 where the largest class exceeds 60 %."""
        return "f1_macro" if dataset.largest_class_share > 0.6 else "accuracy"

    def resolve(self, settings: RunSettings, info: ModelInfo | None, where: str) -> dict[str, str | bool | None]:
        _check_consistent(settings, info, where)
        return {
            "token_position": settings.token_position or default_position(info, settings.head),
            "padding": settings.padding or default_padding(settings),
            "causal_mask": settings.causal_mask and (info is None or info.kind != "encoder"),
        }

    def check(self, spec: RunSpec, dataset: Dataset, where: str) -> None:
        from whichtune.data.field_encoding import check_fields
        from whichtune.tasks.classification.deciding import check_threshold
        from whichtune.tasks.classification.ignored import check_ignored
        from whichtune.tasks.classification.native import check_native_head
        from whichtune.tasks.classification.prompted import check_prompted
        from whichtune.tasks.classification.weighting import check_weights, loss_settings

        check_fields(spec, where)
        check_ignored(spec, dataset, where)
        check_native_head(spec, where)
        check_weights(loss_settings(spec), dataset.labels, where)
        check_threshold(loss_settings(spec), dataset.labels, where)
        check_prompted(spec, dataset.labels, where)

    def settled(self, settings: BaseModel, metric: str) -> BaseModel:
        from whichtune.tasks.classification.deciding import settled

        return settled(settings, metric) if isinstance(settings, ClassificationSettings) else settings

    def counted(self, spec: RunSpec, dataset: Dataset) -> Dataset:
        from whichtune.tasks.classification.ignored import counted

        return counted(spec, dataset)

    def estimate(self, spec: RunSpec, dataset: Dataset, speed: float) -> Estimate:
        from whichtune.tasks.classification.estimate import estimate_run

        return estimate_run(spec, dataset, speed)

    def preview(self, spec: RunSpec, dataset: Dataset) -> Preview:
        from whichtune.tasks.classification.estimate import preview_run

        return preview_run(spec, dataset)

    def build(self, spec: RunSpec, dataset: Dataset) -> tuple[Classifier, PreTrainedTokenizerBase]:
        return build_classifier(spec, len(dataset.labels), dataset.labels)

    def encode(
        self, spec: RunSpec, dataset: Dataset, tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig
    ) -> Encoded:
        return encode_for(spec, dataset, tokenizer, config)

    def prepare(
        self,
        spec: RunSpec,
        model: Classifier,
        encoded: Encoded,
        device: torch.device,
        timers: Timers,
        cache: CacheSettings,
    ) -> Prepared:
        from whichtune.shortcuts.prepared import prepare_forward

        return prepare_forward(spec, model, encoded, device, timers, cache)

    def objective(self, spec: RunSpec, model: Classifier, forward: Forward) -> Objective:
        from whichtune.methods import METHODS

        if METHODS[spec.method].in_pairs:
            from whichtune.tasks.classification.contrastive import ContrastiveObjective

            return ContrastiveObjective(spec, model, forward)
        from whichtune.tasks.classification.objective import ClassificationObjective
        from whichtune.tasks.classification.weighting import class_weights, loss_settings

        own, encoded = loss_settings(spec), forward.encoded
        weights = class_weights(own, encoded.splits["train"].labels, encoded.classes)
        return ClassificationObjective(model, forward, own, weights, spec)

    def watcher(self, spec: RunSpec, model: Classifier, forward: Forward, streams: Streams) -> CurveWatcher | None:
        """The published script's evaluations, where its random streams are asked for."""
        from whichtune.tasks.classification.reference_curves import ReferenceCurves
        from whichtune.training.streams import ReferenceStreams

        return ReferenceCurves(model, forward, spec, streams) if isinstance(streams, ReferenceStreams) else None

    def solve(self, spec: RunSpec, model: Classifier, forward: Forward, timers: Timers) -> Training:
        from whichtune.methods import METHODS

        if METHODS[spec.method].in_words:
            from whichtune.tasks.classification.prompted import solve_prompted

            return solve_prompted(spec, model, forward, timers)
        from whichtune.tasks.classification.closed_form import solve

        return solve(spec, model, forward, timers)

    def evaluate(
        self,
        spec: RunSpec,
        model: Classifier,
        forward: Forward,
        training: Training,
        tokenizer: PreTrainedTokenizerBase,
        timers: Timers,
    ) -> Judged:
        from whichtune.tasks.classification.evaluate import figures_of, predict_split
        from whichtune.tasks.classification.ignored import ignored_notes
        from whichtune.tasks.classification.objective import LAST_POINTS
        from whichtune.tasks.classification.precision import changed_predictions, rounding_of
        from whichtune.tasks.classification.weighting import loss_settings

        encoded = forward.encoded
        known = LAST_POINTS.pop(forward, None)  # not where early stopping went back to other weights
        made = {} if known is None or training.stopping is not None else {"validation": known}
        with timers.phase("evaluate"):
            judged = _judged(spec, encoded, training)
            logits = {
                name: made[name] if name in made else predict_split(model, forward, name, rows)
                for name, rows in judged.items()
            }
        splits = {name: encoded.splits[name].take(rows) for name, rows in judged.items()}
        found = figures_of(logits, splits, loss_settings(spec), encoded.classes)
        found.notes.extend(ignored_notes(spec))
        threshold = found.metrics.validation.threshold if isinstance(found.metrics.validation, Metrics) else None
        rounding = rounding_of(spec, forward)
        found.notes.extend(changed_predictions(model, encoded, forward.device, logits, rounding, threshold))
        return found

    def latencies(self, spec: RunSpec, model: Classifier, forward: Forward) -> dict[str, float]:
        return _latencies(spec, model, forward)

    def notes(self, encoded: Encoded) -> list[str]:
        told = list(encoded.told)
        cut = {name: part.truncated for name, part in encoded.splits.items() if part.truncated}
        if not cut:
            return told
        counts = ", ".join(f"{count:,} of {len(encoded.splits[name]):,} in {name}" for name, count in cut.items())
        kept = KEPT_WORDS[encoded.long_texts_keep]
        return [*told, f"Texts cut to {encoded.context_length} tokens, {kept} kept: {counts}."]

    def fit_baseline(self, spec: RunSpec, dataset: Dataset) -> FittedBaseline:
        return FittedClassifierBaseline(spec, dataset)

    def predict(self, spec: RunSpec, record: RunRecord, folder: Path, texts: list[str]) -> pd.DataFrame:
        """The texts, the predicted class names, and a probability for each class."""
        return self.loaded(spec, record, folder)(texts)

    def loaded(self, spec: RunSpec, record: RunRecord, folder: Path) -> Answering:
        import pandas as pd
        from scipy.special import softmax

        from whichtune.study.fields import columns_of
        from whichtune.tasks.classification.deciding import decided, threshold_of
        from whichtune.tasks.classification.predict import loaded_run

        threshold = threshold_of(record)
        logits_of = loaded_run(spec, record, folder)

        def answer(texts: list[str], first: int = 0, /) -> pd.DataFrame:
            logits = logits_of(texts, first)
            shares = softmax(logits, axis=1)
            table = pd.DataFrame(columns_of(texts, spec.data.text_columns))
            table["prediction"] = [record.labels[i] for i in decided(logits, threshold)]
            for i, name in enumerate(record.labels):
                table[f"probability of {name}"] = shares[:, i]
            return table

        return answer

    def gives_again(self, spec: RunSpec, record: RunRecord, again: pd.DataFrame, recorded: pd.DataFrame) -> bool:
        """By every class's probability; by the names alone where a task of this kind gives none."""
        from whichtune.tasks.classification.predict import same_answers

        return same_answers(spec, record.labels, again, recorded)


class FittedClassifierBaseline(FittedBaseline):
    """A model-free classifier."""

    def __init__(self, spec: RunSpec, dataset: Dataset) -> None:
        import numpy as np

        from whichtune.baselines import fitted_baseline
        from whichtune.tasks.classification.ignored import counted, fitted_classes

        self.spec, self.dataset = spec, counted(spec, dataset)
        self.classes = fitted_classes(spec, dataset.labels)
        train = self.dataset.splits["train"]
        labels = np.searchsorted(self.classes, train.labels)
        baseline = fitted_baseline(spec.method, len(spec.data.text_columns))
        self.fitted = baseline.fit(train.texts, labels, len(self.classes))
        self.parameters = self.fitted.parameters

    def evaluate(self) -> Judged:
        from whichtune.tasks.classification.evaluate import figures_of
        from whichtune.tasks.classification.ignored import ignored_notes, logits_of_all
        from whichtune.tasks.classification.weighting import loss_settings

        classes = len(self.dataset.labels)
        logits = {
            name: logits_of_all(self.fitted.logits(split.texts), self.classes, classes)
            for name, split in self.dataset.splits.items()
        }
        judged = figures_of(logits, self.dataset.splits, loss_settings(self.spec), self.dataset.labels)
        judged.notes.extend(ignored_notes(self.spec))
        return judged

    def answer(self, rows: list[int]) -> None:
        texts = self.dataset.splits["test"].texts
        self.fitted.logits([texts[row % len(texts)] for row in rows])

    def save(self, folder: Path) -> None:
        self.fitted.save(folder)


# -- settings --------------------------------------------------------------------------------------


def default_position(info: ModelInfo | None, head: str = "linear") -> str:
    """The last real token of a decoder, which alone has seen the whole text; the mean of an encoder's, or the first,
    which their families' own heads read."""
    if info is None or info.kind != "encoder":
        return "last_nonpad"
    return "first" if head == "native" else "mean_nonpad"


def default_padding(settings: RunSettings) -> str:
    """Dynamic, but a fixed width where padding is read or attended to: else a text's result would depend
    on the texts that share its batch."""
    reads = settings.token_position in READS_PADDING or settings.attend_to_padding
    return "right" if reads else "dynamic"


def _check_consistent(settings: RunSettings, info: ModelInfo | None, where: str) -> None:
    if settings.head == "native" and info is not None:
        check_native_reading(settings, info, default_position(info, "native"), where)
    if settings.padding == "dynamic" and default_padding(settings) == "right":
        reader = "attend_to_padding" if settings.attend_to_padding else f"token_position={settings.token_position}"
        raise SettingError(
            f"{where}: dynamic padding with {reader} would make a text's result depend on its batch: "
            "use padding right or none."
        )
    if not settings.causal_mask and info is not None and info.kind == "encoder":
        raise SettingError(f"{where}: causal_mask=false is for decoders: {info.model_type} has no causal mask.")


# -- its figures -----------------------------------------------------------------------------------


def _judged(spec: RunSpec, encoded: Encoded, training: Training) -> dict[str, Sequence[int]]:
    """The rows of each split on which the trained model is judged: all, but where the reference leaves some out.

    A draw is judged on validation alone.
    """
    if spec.role is Role.DRAW:
        return {"validation": range(len(encoded.splits["validation"]))}
    rows: dict[str, Sequence[int]] = {name: range(len(part)) for name, part in encoded.splits.items()}
    if training.final_train_rows is not None:
        rows["train"] = training.final_train_rows
    return rows


def _latencies(spec: RunSpec, classifier: Classifier, forward: Forward) -> dict[str, float]:
    import torch

    from whichtune.tasks.latencies import answering_latencies
    from whichtune.training.forward import autocast

    encoded, device = forward.encoded, forward.device
    padding: Padding = "right" if encoded.padding == "right" else "dynamic"

    def classify(rows: Sequence[int]) -> None:
        with torch.no_grad(), autocast(spec.precision, device):
            classifier(encoded.batch("test", rows, padding).to(device))

    return answering_latencies(spec, classifier, classify, len(encoded.splits["test"]), device)
