"""No drawing cuts a text, lets two overlap, strikes one through or loses a row's name: over studies of every kind."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from report import drawn
from report.made_studies import ALL
from report.varied_studies import VARIED
from whichtune.records.store import StudyFolder
from whichtune.report.drawing.canvas import Canvas, Text, width_of
from whichtune.report.drawing.costs import SMALL_NARROW, SMALL_WIDE, decision, scatter
from whichtune.report.drawing.kinds import MARKS, CostPoint, Decision, Dots, Figure, Scatter, ScoredRow
from whichtune.report.drawing.looks import font_size, is_bold
from whichtune.report.drawing.scores import NARROW, WIDE, dots
from whichtune.report.drawing.text_size import cut_all, cut_middle, cut_tail, text_width
from whichtune.report.figures import all_figures, of_kind
from whichtune.report.score_figures import pareto
from whichtune.report.write import load_view

NAMES = sorted(VARIED)
KINDS = {
    "dots", "scatter", "decision", "curves", "gains", "sensitivity", "bars", "calibration", "differences", "classes",
    "confusion",
}  # fmt: skip


@pytest.fixture(scope="module")
def varied(
    made: Callable[[str], StudyFolder], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], list[Figure]]:
    found: dict[str, list[Figure]] = {}

    def get(name: str) -> list[Figure]:
        if name not in found:
            folder = made(name) if name in ALL else VARIED[name](tmp_path_factory.mktemp(name))
            found[name] = all_figures(load_view(folder), folder)
        return found[name]

    return get


@pytest.mark.parametrize("name", NAMES)
def test_every_text_of_every_drawing_is_whole_apart_and_not_struck_through(name, varied):
    found = {where: wrong for where, canvas in drawn.drawings(varied(name)) if (wrong := drawn.faults(canvas))}
    assert not found, {where: wrong[:4] for where, wrong in found.items()}


def test_every_kind_of_figure_is_among_the_studies(varied):
    assert {figure.kind for name in NAMES for figure in varied(name)} == KINDS


@pytest.mark.parametrize("name", NAMES)
def test_no_row_of_a_plot_loses_its_name(name, varied):
    figures = varied(name)
    for figure in of_kind(figures, Scatter):
        for canvas in (scatter(figure, WIDE), scatter(figure, NARROW)):
            assert lost(canvas, [p.label for p in figure.points]) == []
    for figure in of_kind(figures, Decision):
        for canvas in (decision(figure, SMALL_WIDE), decision(figure, SMALL_NARROW)):
            assert lost(canvas, figure.named) == []
    for figure in of_kind(figures, Dots):
        for canvas in (dots(figure, WIDE), dots(figure, NARROW)):
            assert lost(canvas, [row.label for row in figure.rows]) == []


def lost(canvas: Canvas, labels: list[str]) -> list[str]:
    """Names that are neither written nor explained by a key that stands in the plot."""
    texts = [shape for shape, _, _ in drawn.flat(canvas.shapes) if isinstance(shape, Text)]
    said = [" ".join((shape.note or shape.text).split()) for shape in texts]
    listed = {text for shape, text in zip(texts, said, strict=True) if "key-name" in shape.look.split()}
    keys = {shape.text for shape in texts if shape.look == "key-name strong"}
    assert keys <= {shape.text for shape in texts if shape.look == "name strong"}, "a key that is not in the plot"
    missing = []
    for label in (" ".join(label.split()) for label in labels):
        if label not in said and not any(text.startswith(f"{label}: ") for text in listed):
            missing.append(label)
    return missing


def test_a_broken_drawing_is_found():
    """Each rule is broken once."""
    canvas = Canvas(200, 100)
    canvas.text(10, 50, "struck through")
    canvas.line(0, 47, 200, 47, "whisker c-run")
    assert "crossed" in drawn.faults(canvas)[0]
    canvas = Canvas(200, 100)
    canvas.text(10, 50, "one text")
    canvas.text(30, 55, "another")
    assert "overlaps" in drawn.faults(canvas)[0]
    canvas = Canvas(200, 100)
    canvas.text(150, 50, "beyond the edge")
    assert "cut" in drawn.faults(canvas)[0]
    canvas = Canvas(200, 100)
    canvas.line(30, 0, 30, 100, "grid")
    canvas.text(10, 50, "on the grid")
    assert "crossed" in drawn.faults(canvas)[0]
    canvas = Canvas(200, 100)
    canvas.line(30, 0, 30, 100, "grid")
    canvas.plate((8, 35, 110, 56))
    canvas.text(10, 50, "on the grid")
    assert drawn.faults(canvas) == []
    canvas.mark("run", 110, 45, 5)
    assert "touches" in drawn.faults(canvas)[0]


# -- figures drawn by lot -----------------------------------------------------------------------------

SIGNS = list("aiWm_=.,5-微🔥éЖ")


def any_points(lot: random.Random) -> list[CostPoint]:
    """Up to 30 rows of any names, many of them on one another or at the ends of what scores and costs can be."""
    found = []
    for i in range(lot.randint(1, 30)):
        y = lot.choice([0.0, 50.0, 50.5, 100.0, lot.uniform(0, 100), lot.gauss(90, 1)])
        x = lot.choice([0.0, 1.0, 1.1, 10 ** lot.uniform(-3, 6), 10 ** lot.uniform(1, 1.3)])
        noise = lot.choice([None, 0.0, 0.5, 8.0])
        name = f"{i}{''.join(lot.choices(SIGNS, k=lot.randint(1, 40)))}"
        span = None if noise is None else (y - noise, y + noise)
        found.append(CostPoint(name, lot.choice(sorted(MARKS)), x, y, span, "12"))
    front = pareto(found)
    return [replace(p, front=p in front) for p in found]


@pytest.mark.parametrize("seed", range(25))
def test_plots_of_any_points_are_whole(seed):
    found = any_points(random.Random(seed))
    common = {"name": "f", "title": "t", "caption": "c", "alt": "a", "axis_x": "Training time (seconds)"}
    log = min(p.x for p in found) > 0
    figure = Scatter(**common, axis_y="Test accuracy (%)", cost="c", choice="c", log=log, points=found)
    small = Decision(**common, axis_y="test accuracy (%)", points=found, named=[p.label for p in found[:4]])
    rows = [ScoredRow(p.label, p.mark, p.y, p.span, [(0, p.y), (1, p.y / 2)]) for p in found]
    flat = Dots(name="f", title="t", caption="c", alt="a", axis="Test accuracy (%)", rows=rows)
    for canvas in [scatter(figure, width) for width in (WIDE, NARROW)] if max(p.x for p in found) > 0 else []:
        assert drawn.faults(canvas) == []
        assert lost(canvas, [p.label for p in found]) == []
    for canvas in (decision(small, size) for size in (SMALL_WIDE, SMALL_NARROW)):
        assert drawn.faults(canvas) == []
        assert lost(canvas, small.named) == []
    for canvas in (dots(flat, width) for width in (WIDE, NARROW)):
        assert drawn.faults(canvas) == []


# -- widths -------------------------------------------------------------------------------------------


def test_widths_are_those_of_matplotlib_or_a_little_more(varied):
    """Of every text that is drawn, in the font of files, where that has its signs."""
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.font_manager import FontProperties

    renderer = RendererAgg(10, 10, 72 * 20)
    seen = {
        (shape.text, font_size(shape.look), is_bold(shape.look))
        for name in NAMES
        for _, canvas in drawn.drawings(varied(name))
        for shape, _, _ in drawn.flat(canvas.shapes)
        if isinstance(shape, Text) and all(ord(sign) < 0x2E80 for sign in shape.text)
    }
    assert len(seen) > 500
    for text, size, bold in random.Random(0).sample(sorted(seen), 500):
        font = FontProperties(family="DejaVu Sans", size=size, weight="bold" if bold else "normal")
        real = renderer.get_text_width_height_descent(text, font, False)[0] / 20
        known = text_width(text, size, bold)
        assert real <= known + 0.01 * len(text), (text, size, bold)  # positions are rounded to 64ths
        assert known <= 1.25 * real + 3 or not text.isascii(), (text, real, known)


def test_wide_signs_take_more_and_marks_none():
    assert text_width("微调", 10) == 20
    assert text_width("🔥", 10) == 14
    assert text_width("e\u0301", 10) == text_width("e", 10)
    assert text_width("i", 10) < text_width("W", 10) < text_width("W", 10, bold=True)
    assert width_of("ab", "tick") == pytest.approx(width_of("ab") * 11 / 12)


@given(st.text(max_size=60), st.floats(20, 200))
def test_what_is_cut_fits(text, room):
    for cut in (cut_tail(text, room, 12), cut_middle(text, room, 12)):
        assert text_width(cut, 12) <= room + 1e-6
        assert cut == text or "…" in cut


def test_names_that_would_read_the_same_are_cut_in_their_middle():
    long = "a name that is much longer than there is room for"
    shown = cut_all([f"{long} 1", f"{long} 2", "short", "another name that is too long by far"], 100, 12)
    assert len(set(shown)) == 4
    assert shown[0].endswith("1")
    assert shown[0].startswith("a nam")
    assert shown[3].endswith("…")
