"""What figures hold, computed from records: against plain computations."""

from __future__ import annotations

import io
import re
import warnings

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from whichtune.cli.summary import print_summary
from whichtune.cli.textplot import text_scatter
from whichtune.report import matrices, score_figures, training_figures
from whichtune.report.drawing import scales
from whichtune.report.drawing.kinds import CostPoint
from whichtune.report.view import View
from whichtune.report.write import load_summary, load_view
from whichtune.study.roles import Role


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=12))
def test_pareto_front_is_what_no_other_point_beats(pairs):
    points = [CostPoint("row", "run", x, y, None, "") for x, y in pairs]
    front = {(p.x, p.y) for p in score_figures.pareto(points)}
    beaten = {(p.x, p.y) for p in points for q in points if q.x <= p.x and q.y >= p.y and (q.x, q.y) != (p.x, p.y)}
    assert front == set(pairs) - beaten


def test_class_scores_agree_with_sklearn():
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    random = np.random.default_rng(3)
    truth, said = random.integers(0, 4, 200), random.integers(0, 4, 200)
    ours = matrices.class_scores(confusion_matrix(truth, said))
    theirs = precision_recall_fscore_support(truth, said)
    for key, values in zip(("precision", "recall", "f1"), theirs[:3], strict=True):
        np.testing.assert_allclose(ours[key], values)


def test_a_class_that_no_text_has_is_not_the_hardest(made):
    """Such as the one of `ignore_index`: no row has a figure of it, and numpy has nothing to say about that."""
    view = load_view(made("ordinary"))
    hardest = re.search(r"Hardest on average: (\w+)\.", matrices.class_matrix(view).alt)[1]

    def widened(run):
        if run.metrics.test is None:
            return run
        matrix = np.pad(run.metrics.test.confusion_matrix, ((1, 0), (1, 0))).tolist()
        test = run.metrics.test.model_copy(update={"confusion_matrix": matrix})
        return run.model_copy(update={"metrics": run.metrics.model_copy(update={"test": test})})

    study = view.summary.study.model_copy(update={"labels": ["none", *view.summary.study.labels]})
    runs = [widened(run).model_copy(update={"labels": study.labels}) for run in view.summary.runs]
    wider = View(view.summary.model_copy(update={"study": study, "runs": runs}), view.curves)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = matrices.class_matrix(wider)
    assert f"Hardest on average: {hardest}." in figure.alt
    assert figure.cells[0][0].text == "–"
    nobody = np.full((2, 3), np.nan)
    assert matrices._hardest(nobody) is None


def test_cost_axes_and_marks(made):
    view = load_view(made("ordinary"))
    by_cost = {figure.cost: figure for figure in score_figures.cost_figures(view)}
    assert list(by_cost)[:4] == ["training_seconds", "peak_memory_bytes", "trainable_parameters", "inference_ms"]
    parameters = {point.label: point for point in by_cost["trainable_parameters"].points}
    assert parameters["full"].x == 3_000_000
    assert by_cost["trainable_parameters"].log
    assert not by_cost["inference_ms"].log
    marks = {row.label: view.mark(row.label) for row in view.rows}
    assert marks["tfidf_char"] == "baseline"
    assert marks[view.verdict.recommended] == "recommended"


def test_interval_and_mean_are_those_of_the_statistics(made):
    view = load_view(made("ordinary"))
    rows = {row.label: row for row in score_figures.score_dots(view).rows}
    for judged in view.method_figures:
        assert rows[judged.label].mean == pytest.approx(100 * judged.test)
        if judged.interval:
            assert rows[judged.label].span[0] == pytest.approx(100 * judged.interval[0])


@pytest.mark.slow  # thirty rows drawn
def test_many_rows_share_one_panel_of_curves(made):
    view = load_view(made("hundred_runs"))
    assert len(training_figures.curve_figures(view)[0].panels) == 20
    doubled = [run.model_copy(update={"label": f"{run.label} again"}) for run in view.summary.runs]
    more = View(view.summary.model_copy(update={"runs": [*view.summary.runs, *doubled]}), view.curves)
    figure = training_figures.curve_figures(more)[0]
    assert [panel.title for panel in figure.panels] == ["All rows"]
    assert len(figure.panels[0].lines) == 200


def test_draws_of_a_search_are_no_rows(made):
    view = load_view(made("ordinary"))
    drawn = {"role": Role.DRAW}
    runs = [run.model_copy(update=drawn) if run.label == "lora" else run for run in view.summary.runs]
    assert "lora" not in View(view.summary.model_copy(update={"runs": runs})).groups


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3), st.integers(3, 9))
@example(1.0, 401.0, 3)
def test_ticks_lie_within_their_range_and_are_few(low, room, most):
    ticks = scales.nice_ticks(low, low + room, most)
    assert 1 <= len(ticks) <= most
    assert all(low - 1e-6 * room <= tick <= low + room + 1e-6 * room for tick in ticks)


@given(st.floats(1e-5, 1e3), st.floats(1.1, 1e9))
def test_logarithmic_ticks_lie_within_their_range(low, ratio):
    ticks = scales.log_ticks(low, low * ratio)
    assert ticks
    assert all(low * 0.999 <= tick <= low * ratio * 1.001 for tick in ticks)
    assert len(ticks) <= 14


def test_wide_signs_count_twice():
    assert scales.text_units("微调🔥a") == 7
    assert scales.clip("微调全部模型", 7) == "微调全…"
    assert scales.clip("short", 7) == "short"


@pytest.mark.parametrize("width", [40, 80, 120, 300])
def test_terminal_shows_decision_and_table_within_its_width(made, width):
    summary = load_summary(made("ordinary"))
    screen = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
    print_summary(summary, screen)
    shown = screen.file.getvalue()
    assert "test accuracy" in " ".join(shown.split())
    for label in ("head_only", "last_block", "lora", "full"):
        assert label in shown
    assert "more column" in " ".join(shown.split()) or width == 300
    assert max(map(scales.text_units, shown.splitlines())) <= width


def test_text_plot_puts_the_better_higher_and_the_dearer_to_the_right(made):
    figure = score_figures.cost_figures(load_view(made("ordinary")))[0]
    lines = text_scatter(figure, 80)
    named = {p.label: letter for letter, p in zip("ABCDE", sorted(figure.points, key=lambda p: -p.y), strict=True)}
    plot = [line.split("│", 1)[-1] if "│" in line else line.split("┤", 1)[-1] for line in lines[1:12]]
    at = {label: next((r, row.index(x)) for r, row in enumerate(plot) if x in row) for label, x in named.items()}
    assert at["lora"][0] < at["head_only"][0]
    assert at["full"][1] > at["lora"][1] > at["last_block"][1] > at["head_only"][1] > at["tfidf_char"][1]
    assert max(map(len, lines)) <= 90
