"""What was written for a split, and its figures: the same for models and for sentences taken from the text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from whichtune.data.chats import as_messages
from whichtune.metrics import possible_metrics
from whichtune.records.record import MetricsBySplit, TextMetrics
from whichtune.study.spec import RunSpec
from whichtune.tasks.base import FittedBaseline, Judged

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd

    from whichtune.data.pairs import PairDataset, PairSplit


class AnsweredSplit(Protocol):
    """What answers are judged against."""

    @property
    def ids(self) -> list[str]: ...

    @property
    def references(self) -> list[str]: ...

    @property
    def duplicate_of_train(self) -> np.ndarray: ...

    @property
    def truncated(self) -> int: ...

    @property
    def targets_cut(self) -> int: ...


class SplitAnswers:
    """What was written for one split, with the losses where there is a model."""

    def __init__(
        self,
        split: AnsweredSplit,
        texts: list[str],
        losses: np.ndarray | None = None,
        counts: np.ndarray | None = None,
        lengths: list[int] | None = None,
        most: int | None = None,
    ) -> None:
        self.split, self.texts, self.losses, self.counts = split, texts, losses, counts
        self.lengths, self.most = lengths, most
        self.scores = {
            metric.name: metric.of_texts(texts, split.references)
            for metric in possible_metrics("texts")
            if metric.of_texts is not None
        }
        self.parts = {
            metric: metric.parts_of_texts(texts, split.references)
            for metric in possible_metrics("texts")
            if metric.parts_of_texts is not None
        }

    def metrics(self) -> TextMetrics:
        import numpy as np

        loss = None
        if self.losses is not None and self.counts is not None:
            loss = float(self.losses.sum() / max(1, self.counts.sum()))
        lengths = None if self.lengths is None else np.array(self.lengths)
        return TextMetrics(
            loss=loss,
            perplexity=None if loss is None else float(np.exp(loss)),
            tokens=0 if self.counts is None else int(self.counts.sum()),
            **{name: float(values.mean()) for name, values in self.scores.items()},
            **{metric.name: metric.of_parts(parts) for metric, parts in self.parts.items()},
            written_tokens=None if lengths is None else float(lengths.mean()),
            ended=None if lengths is None else float((lengths < (self.most or 0)).mean()),
            n=len(self.texts),
            truncated=self.split.truncated,
            targets_cut=self.split.targets_cut,
            duplicates_of_train=int(self.split.duplicate_of_train.sum()),
        )

    def table(self, name: str) -> pd.DataFrame:
        """Rows of predictions.parquet. `loss` is summed over an example's `tokens`."""
        import numpy as np
        import pandas as pd

        missing = np.full(len(self.texts), np.nan)
        return pd.DataFrame(
            {
                "split": name,
                "example_id": self.split.ids,
                "prediction": self.texts,
                "reference": self.split.references,
                "loss": missing if self.losses is None else self.losses,
                "tokens": 0 if self.counts is None else self.counts,
                **self.scores,
                **{f"{metric.name}_totals": list(parts) for metric, parts in self.parts.items()},
                "duplicate_of_train": self.split.duplicate_of_train,
            }
        )


def judge_texts(parts: dict[str, SplitAnswers]) -> Judged:
    """Metrics and rows of predictions of the splits that were answered."""
    import pandas as pd

    tables = [part.table(name) for name, part in parts.items()]
    metrics = MetricsBySplit(**{name: part.metrics() for name, part in parts.items()})
    return Judged(metrics, pd.concat(tables, ignore_index=True))


def extract(spec: RunSpec, texts: list[str]) -> list[str]:
    """A baseline's answers. Sentences are found in the text as it stands, of a conversation in what was said last, then
    cleaned as the references are."""
    from whichtune.baselines import extract_baseline

    baseline = extract_baseline(spec.method)
    return [_clean(spec, baseline.answer(as_messages(text)[-1]["content"])) for text in texts]


def _clean(spec: RunSpec, text: str) -> str:
    from whichtune.data.pair_encoding import clean_text

    return clean_text(text, bool(spec.task_settings["lower_case"]), bool(spec.task_settings["remove_punctuation"]))


@dataclass(frozen=True)
class CleanedSplit:
    """What a baseline is judged against."""

    ids: list[str]
    references: list[str]
    duplicate_of_train: np.ndarray
    truncated: int = 0  # a baseline reads texts whole
    targets_cut: int = 0


class ExtractiveBaseline(FittedBaseline):
    """A baseline that takes its answer from the text."""

    parameters = 0

    def __init__(self, spec: RunSpec, dataset: PairDataset) -> None:
        self.spec, self.dataset = spec, dataset

    def evaluate(self) -> Judged:
        parts = {
            name: SplitAnswers(
                self._cleaned(self.dataset.splits[name]), extract(self.spec, self.dataset.splits[name].texts)
            )
            for name in ("validation", "test")
        }
        return judge_texts(parts)

    def _cleaned(self, split: PairSplit) -> CleanedSplit:
        """References as the trained models' are."""
        return CleanedSplit(split.ids, [_clean(self.spec, text) for text in split.targets], split.duplicate_of_train)

    def answer(self, rows: list[int]) -> None:
        texts = self.dataset.splits["test"].texts
        extract(self.spec, [texts[row % len(texts)] for row in rows])

    def save(self, folder: Path) -> None:
        """Nothing was fitted: an empty file says that it can be had back."""
        from whichtune.models.saving import save_arrays

        save_arrays({}, folder / "baseline.safetensors")
