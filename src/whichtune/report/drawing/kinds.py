"""The kinds of figures: plain values, computed once and drawn in the page and as files. Scores are percentages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

Span = tuple[float, float]
Point = tuple[float, float]
Mark = Literal["recommended", "best", "run", "baseline"]
Series = Literal["train", "validation", "published"]
Tint = Literal["diverging", "sequential"]

# What a mark says; each has its own colour and its own shape, so that neither is needed alone.
MARKS: dict[Mark, str] = {
    "recommended": "recommended",
    "best": "best on validation",
    "run": "trained",
    "baseline": "baseline",
}


@dataclass(frozen=True)
class Data:
    """The values of a figure as text."""

    header: list[str]
    rows: list[list[str]]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What every figure has. `name` is its file's, `alt` says in words what it shows, `data` has it as a table; a
    matrix is its own table."""

    name: str
    title: str
    caption: str
    alt: str
    data: Data | None = None
    kind: ClassVar[str]


# -- scores and costs ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class ScoredRow:
    """A row's mean, its interval, and `(seed, score)` of each run, all in `unit` and told with so many digits."""

    label: str
    mark: Mark
    mean: float
    span: Span | None
    seeds: list[tuple[int | None, float]]
    unit: str = "%"
    digits: int = 2

    def told(self, score: float) -> str:
        return f"{score:.{self.digits}f} {self.unit}"


@dataclass(frozen=True, kw_only=True)
class Dots(Figure):
    """Every seed of every row, highest first."""

    kind: ClassVar[str] = "dots"
    axis: str
    rows: list[ScoredRow]


@dataclass(frozen=True)
class CostPoint:
    """A row by its cost `x` and its score `y` in `unit` with `digits`; `cost` is `x` as text, `front` whether no row
    beats it in both."""

    label: str
    mark: Mark
    x: float
    y: float
    span: Span | None
    cost: str
    front: bool = False
    unit: str = "%"
    digits: int = 2

    @property
    def told(self) -> str:
        """The score as text, with its unit."""
        return f"{self.y:.{self.digits}f} {self.unit}"


@dataclass(frozen=True, kw_only=True)
class Scatter(Figure):
    """Scores against one cost. `cost` is its key in the records, `choice` its name, `log` whether its axis is."""

    kind: ClassVar[str] = "scatter"
    cost: str
    choice: str
    axis_x: str
    axis_y: str
    log: bool
    points: list[CostPoint]


@dataclass(frozen=True, kw_only=True)
class Decision(Figure):
    """Scores against training time in seconds, small. `named` are the rows that matter, the most important first."""

    kind: ClassVar[str] = "decision"
    axis_x: str
    axis_y: str
    points: list[CostPoint]
    named: list[str]


@dataclass(frozen=True)
class Bar:
    label: str
    mark: Mark
    value: float
    text: str


@dataclass(frozen=True)
class BarPanel:
    title: str
    bars: list[Bar]


@dataclass(frozen=True, kw_only=True)
class Bars(Figure):
    """A panel for each cost or score, each with its own axis from zero."""

    kind: ClassVar[str] = "bars"
    panels: list[BarPanel]


# -- curves -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CurveLine:
    """One curve of one run; `best` is the point that a ring marks."""

    label: str
    mark: Mark
    series: Series
    seed: int | None
    points: list[Point]
    best: Point | None = None


@dataclass(frozen=True)
class CurvePanel:
    """The curves of a row, or, where there are too many rows, those of all, `joined`."""

    title: str
    lines: list[CurveLine]
    joined: bool = False

    def is_faint(self, line: CurveLine) -> bool:
        """Whether a line is there for the others to stand out from."""
        return self.joined and line.mark in ("run", "baseline")


@dataclass(frozen=True, kw_only=True)
class Curves(Figure):
    """A panel a row, all on one scale; none where no row has points enough for a curve, as the caption then says."""

    kind: ClassVar[str] = "curves"
    axis_x: str
    axis_y: str
    panels: list[CurvePanel]

    @property
    def joined(self) -> bool:
        return bool(self.panels) and self.panels[0].joined


# -- a search -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GainPoint:
    """The expected best `y` of so many draws, which cost `x`; `unit` where other things than draws are counted."""

    x: float
    y: float
    span: Span | None
    draws: int
    unit: str = "draws"


@dataclass(frozen=True)
class GainPanel:
    title: str
    mark: Mark
    curve: list[GainPoint]


@dataclass(frozen=True, kw_only=True)
class Gains(Figure):
    """What searching bought: a panel a row, the other rows' curves behind its own."""

    kind: ClassVar[str] = "gains"
    axis_x: str
    axis_y: str
    log: bool
    panels: list[GainPanel]


@dataclass(frozen=True, kw_only=True)
class Growth(Gains):
    """Learning curves: the score against the number of training texts, a panel for each way of fine-tuning."""

    kind: ClassVar[str] = "growth"


@dataclass(frozen=True)
class DrawPoint:
    """One draw: its learning rate `x` and its score `y`."""

    number: int
    x: float
    y: float
    selected: bool


@dataclass(frozen=True)
class SensitivityPanel:
    """The draws of a row, and the ends of the range that was searched."""

    title: str
    mark: Mark
    points: list[DrawPoint]
    range: Span


@dataclass(frozen=True, kw_only=True)
class Sensitivity(Figure):
    """Scores of draws against their learning rates, which are positive: the axis is logarithmic."""

    kind: ClassVar[str] = "sensitivity"
    axis_x: str
    axis_y: str
    panels: list[SensitivityPanel]


# -- calibration --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReliabilityBin:
    """As many answers as in each other bin, by how sure they were: mean probability `x`, share of right ones `y`."""

    x: float
    y: float
    span: Span
    answers: int


@dataclass(frozen=True)
class ReliabilityPanel:
    """A row's bins, the least sure first, and its expected calibration error."""

    title: str
    mark: Mark
    bins: list[ReliabilityBin]
    error: float


@dataclass(frozen=True, kw_only=True)
class Calibration(Figure):
    """How sure answers were against how often they were right, in percent: a panel a row. `errors` has the expected
    calibration error of each row as text."""

    kind: ClassVar[str] = "calibration"
    axis_x: str
    axis_y: str
    panels: list[ReliabilityPanel]
    errors: Data


# -- matrices -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """A value with its text. `note` stands below it; `strong` and `tested` decide how it is set."""

    value: float
    text: str
    note: str = ""
    strong: bool = False
    tested: bool = True


@dataclass(frozen=True, kw_only=True)
class Matrix(Figure):
    """Cells `(rows, columns)`, tinted by their value from 0 to `largest`, or on both sides of it. None: no value."""

    tint: ClassVar[Tint] = "sequential"
    rows: list[str]
    columns: list[str]
    corner: str
    cells: list[list[Cell | None]]
    largest: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Differences(Matrix):
    """Each row minus each other."""

    kind: ClassVar[str] = "differences"
    tint: ClassVar[Tint] = "diverging"


@dataclass(frozen=True, kw_only=True)
class Classes(Matrix):
    """One figure of each class for each row of the study."""

    kind: ClassVar[str] = "classes"


@dataclass(frozen=True, kw_only=True)
class Confusion(Matrix):
    """True classes by predicted ones, as shares of the true class. `written`: few enough to write each cell out;
    `confusions`: the most frequent errors as true class, predicted class and count."""

    kind: ClassVar[str] = "confusion"
    label: str
    written: bool
    confusions: list[list[str]] = field(default_factory=list)
