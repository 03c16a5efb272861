"""What learning curves leave in `summary.json`. Scores are in percent, gains in points, and of a loss or a
cost in its unit; sizes in training texts."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

Span = tuple[float, float]


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class SizePoint(_Figures):
    """A row at its number of training texts: the mean over seeds on test with its 95 % interval."""

    size: int
    label: str
    score: float
    interval: Span


class Foretold(_Figures):
    """What the smaller sizes foretell of the largest, with its 95 % interval, and what was seen there."""

    size: int
    score: float
    interval: Span
    seen: float
    holds: bool


class MoreTexts(_Figures):
    """What training on `larger` instead of `size` texts is expected to gain, with its 95 % interval."""

    size: int
    larger: int
    gain: float
    interval: Span


class LearningCurve(_Figures):
    """One way of fine-tuning over the sizes. `more` is None where the curve cannot say, and `refused` says why."""

    name: str = Field(description="the label of its row on all texts")
    method: str
    baseline: bool
    points: list[SizePoint]
    exponent: float | None = Field(default=None, description="how fast the error falls: a median")
    exponent_interval: Span | None = None
    ceiling: float | None = Field(default=None, description="what more texts alone would come to: a median")
    ceiling_interval: Span | None = None
    foretold: Foretold | None = None
    more: MoreTexts | None = None
    refused: str | None = None


class Overtaken(_Figures):
    """From how many texts on `ahead` is better than `behind`, with its 95 % interval; `size` is None where the study
    cannot say."""

    behind: str
    ahead: str
    chance: float = Field(description="that the one leads at the smallest size and the other at the largest")
    size: int | None = None
    interval: tuple[int, int] | None = None


class LearningFigures(_Figures):
    """The learning curves of a study that varies its number of training texts."""

    metric: str
    curves: list[LearningCurve]
    overtaken: list[Overtaken] = []
    sentences: list[str] = []
