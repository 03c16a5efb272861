"""The small picture of the verdict; and what is not drawn: bars that repeat the table, curves of two points."""

from __future__ import annotations

import pytest

from report import drawn
from report.conftest import page
from report.made_studies import MadeStudy
from report.varied_studies import all_right, published
from whichtune.published.claims import load_published, published_names
from whichtune.published.presets import load_preset
from whichtune.report.decision_figure import decision_figure, decision_picture, duration
from whichtune.report.drawing.canvas import Circle, Text
from whichtune.report.drawing.costs import SMALL_NARROW, SMALL_WIDE, decision
from whichtune.report.drawing.kinds import Bars, CostPoint, Curves, Decision
from whichtune.report.figures import all_figures, of_kind
from whichtune.report.published_curves import published_curve_figure
from whichtune.report.training_figures import LEAST_POINTS, curve_figures
from whichtune.report.view import View
from whichtune.report.write import load_view, write_report


def words_of(canvas) -> list[str]:
    return [shape.text for shape, _, _ in drawn.flat(canvas.shapes) if isinstance(shape, Text)]


def test_rows_that_the_verdict_names_are_named_and_the_others_are_dots(made):
    view = load_view(made("hundred_runs"))
    figure = decision_figure(view)
    assert figure.named[0] == view.verdict.recommended
    assert view.verdict.best_fine_tuned in figure.named
    assert len(figure.named) <= 4
    for size in (SMALL_WIDE, SMALL_NARROW):
        canvas = decision(figure, size)
        assert set(figure.named) <= set(words_of(canvas))
        dots = [s for s, _, _ in drawn.flat(canvas.shapes) if "small" in s.look.split()]
        assert len(dots) == len(figure.points) - len(figure.named)
        whiskers = [s for s, _, _ in drawn.flat(canvas.shapes) if "whisker" in s.look]
        assert len(whiskers) == len(figure.named)


def test_best_baseline_and_its_role_are_told(made):
    view = load_view(made("ordinary"))
    figure = decision_figure(view)
    assert "tfidf_char" in figure.named
    assert "best baseline: tfidf_char" in figure.caption
    assert figure.caption.startswith("Recommended, best fine-tuned and cheapest good enough: lora, 92.50 % (")
    assert view.verdict.recommended == view.verdict.best_fine_tuned == "lora"
    shown = decision_picture(view)
    assert 'viewBox="0 0 320 200" role="img" aria-label="Test accuracy' in shown.wide
    assert 'viewBox="0 0 340 190"' in shown.narrow
    assert [row[1] for row in shown.figure.data.rows if row[0] == "head_only"] == [""]


def test_there_is_no_picture_without_a_verdict_or_a_choice(made):
    assert decision_picture(load_view(made("one_run"))) is None
    assert decision_picture(load_view(made("only_failures"))) is None
    known = load_view(made("ordinary"))
    assert decision_picture(View(known.summary.model_copy(update={"verdict": None}))) is None


def small(*pairs: tuple[float, float]) -> Decision:
    points = [CostPoint(f"row {i}", "run", x, y, None, "") for i, (x, y) in enumerate(pairs)]
    return Decision(
        name="d", title="t", caption="c", alt="a", axis_x="training time", axis_y="test accuracy (%)", points=points,
        named=["row 0", "row 1"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "ticks"),
    [
        ((0.5, 400), {"1 s", "10 s", "1 min"}),
        ((50, 5000), {"1 min", "10 min", "1 h"}),
        ((2, 3), {"2 s", "5 s"}),
        ((0.002, 0.2), {"10 ms", "0.1 s"}),
        ((4000, 500_000), {"10 h", "4 days"}),
        ((0.0, 12), {"none", "10 s"}),
    ],
)
def test_times_are_written_as_people_say_them(seconds, ticks):
    assert ticks <= set(words_of(decision(small(*((x, 90.0) for x in seconds)))))


def test_rows_far_below_stay_on_the_lower_edge():
    canvas = decision(small((1, 90.0), (9, 92.0), (3, 89.0), (5, 20.0)))
    there = [shape for shape, _, _ in drawn.flat(canvas.shapes) if "small" in shape.look.split()]
    assert [isinstance(shape, Circle) for shape in there] == [True, False]
    assert there[1].note.endswith("below the picture")
    assert "80" not in words_of(canvas)


def test_durations():
    told = [duration(value) for value in (0, 0.0042, 0.4, 14.21, 59, 150, 3600, 90_000, 400_000)]
    assert told == ["no time", "4.2 ms", "0.4 s", "14 s", "59 s", "2.5 min", "1 h", "25 h", "4.6 days"]


# -- what is not drawn --------------------------------------------------------------------------------


def test_bars_are_drawn_for_a_study_that_was_published_as_bars_and_for_no_other(made, tmp_path):
    folder = published(tmp_path)
    write_report(folder)
    assert 'id="bars"' in page(folder)
    assert {"bars.png", "bars.svg"} <= {path.name for path in (tmp_path / "figures").iterdir()}
    other = made("ordinary")  # which has published figures, but no such bars
    assert 'id="bars"' not in page(other)
    assert of_kind(all_figures(load_view(other), other), Bars) == []


def test_published_bar_charts_are_those_of_the_presets():
    assert [name for name in published_names() if load_published(name).bar_charts] == ["cnn-dailymail"]
    assert load_preset("cnn-dailymail").published["bar_charts"] is True
    assert "bar_charts" not in load_preset("sms-spam").published


def test_lines_of_fewer_than_three_points_are_no_curves(tmp_path):
    folder = all_right(tmp_path)  # one, two, three and one point
    view = load_view(folder)
    loss, score = curve_figures(view)
    for figure in (loss, score):
        assert [panel.title for panel in figure.panels] == ["full"]
        assert all(len(line.points) >= LEAST_POINTS for panel in figure.panels for line in panel.lines)
        assert "head_only, lora and untouched" in figure.caption
        assert {row[0] for row in figure.data.rows} == {"head_only", "lora", "full", "untouched"}


def test_a_study_without_a_curve_says_so(tmp_path):
    study = MadeStudy(tmp_path)
    study.add("lora", seeds=(0,), points=2)
    folder = study.finish(verdict=False)
    report = write_report(folder)
    figure = of_kind(all_figures(load_view(folder), folder), Curves)[0]
    assert figure.panels == []
    assert figure.caption == "Lines of fewer than 3 points are not drawn, their figures are in the table: lora."
    assert figure.caption in page(folder)
    assert not [path for path in report.figures if path.name.startswith("curves")]


def test_a_published_curve_needs_points_on_both_sides(tmp_path):
    figure = published_curve_figure(load_view(published(tmp_path)))
    assert [panel.title for panel in figure.panels] == ["lora"]
    assert "soft prompt" in figure.caption
    assert {row[0] for row in figure.data.rows} == {"lora", "soft prompt"}
