"""The section on a search: its curves, its dots, its tables, and nothing of it where there was no search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from report.conftest import by_id, text_of
from whichtune.records.store import StudyFolder
from whichtune.report.drawing.kinds import Gains, Sensitivity
from whichtune.report.tuning import draws_table, selected_table
from whichtune.report.tuning_figures import tuning_figures
from whichtune.report.write import load_view, write_report

Made = Callable[[str], StudyFolder]


def test_the_section_stands_on_the_page_of_a_searched_study_alone(parsed: Callable[[str], Any]) -> None:
    section = by_id(parsed("searched"), "tuning")
    said = text_of(section)
    assert "What tuning bought" in said
    assert "no draw saw the test split" in said
    assert "Nothing was searched for linear_probe." in said
    assert len(section.findall(".//svg")) == 3 * 3  # two kinds of curves and the dots, a panel a searched row
    assert "The loss became infinite." in said
    assert parsed("ordinary").find(".//*[@id='tuning']") is None


def test_curves_and_dots_hold_what_the_summary_says(made: Made) -> None:
    view = load_view(made("searched"))
    gains, costs, dots = tuning_figures(view)
    assert isinstance(gains, Gains)
    assert isinstance(costs, Gains)
    assert isinstance(dots, Sensitivity)
    assert view.summary.tuning is not None
    lines = {line.label: line for line in view.summary.tuning.lines}
    assert [panel.title for panel in gains.panels] == ["head_only", "lora", "full, all blocks"]
    for panel in gains.panels:
        curve = lines[panel.title].curve
        assert [point.x for point in panel.curve] == [point.draws for point in curve]
        assert [point.y for point in panel.curve] == [100 * point.best for point in curve]
    assert costs.log
    assert costs.panels[1].curve[0].x == (lines["lora"].curve[0].flops or 0.0) / 1e9
    lora = next(panel for panel in dots.panels if panel.title == "lora")
    assert len(lora.points) == 7  # one of eight failed
    assert [p.number for p in lora.points if p.selected] == [lines["lora"].selected]
    assert lora.range == (1e-5, 1e-1)
    for figure in (gains, costs, dots):
        assert figure.data is not None
        assert all(len(row) == len(figure.data.header) for row in figure.data.rows)


def test_tables_name_the_selected_settings_and_their_edges(made: Made) -> None:
    view = load_view(made("searched"))
    selected = selected_table(view)
    assert selected is not None
    assert selected.header[:3] == ["run", "draws", "validation accuracy (%)"]
    rows = {row[0]: dict(zip(selected.header, row, strict=True)) for row in selected.rows}
    assert rows["lora"]["draws"] == "8, 1 failed"
    edges = {line.label: line.at_edge for line in view.summary.tuning.lines} if view.summary.tuning else {}
    assert edges["full, all blocks"] == {"learning_rate": "low"}
    assert rows["full, all blocks"]["learning rate"].endswith("(low end)")
    assert any("lies at the low end of its range" in line for line in (view.verdict.warnings if view.verdict else []))
    every = draws_table(view)
    assert every is not None
    assert len(every.rows) == 6 + 8 + 8
    assert sum(row[-1] == "selected" for row in every.rows) == 3


def test_files_and_markdown(made: Made) -> None:
    folder = made("searched")
    written = write_report(folder)
    names = {path.name for path in written.figures}
    assert {"tuning.png", "tuning-flops.svg", "sensitivity.png"} <= names
    text = (folder.path / "table.md").read_text()
    assert "## What tuning bought" in text
    assert "| lora | 8, 1 failed |" in text
    assert "What tuning bought" not in (made("ordinary").path / "table.md").read_text()
