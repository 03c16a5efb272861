"""What a finished study shows in a terminal: its decision first, figures as short as needed, nothing broken apart."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from report.made_studies import MadeStudy, hundred_runs, many_tongues, only_failures, ordinary
from whichtune.cli import brief
from whichtune.cli.card import card_of
from whichtune.cli.short_table import short_table
from whichtune.cli.summary import print_plot, print_summary
from whichtune.evidence.summary import Summary
from whichtune.report.drawing.scales import text_units
from whichtune.report.view import View
from whichtune.report.write import load_summary
from whichtune.study.roles import Role

LONG = "last_block with a name that nobody would want to read twice, first token"


def shown(summary: Summary, width: int, terminal: bool = True) -> list[str]:
    screen = Console(file=io.StringIO(), force_terminal=terminal, width=width, color_system=None)
    print_summary(summary, screen)
    return screen.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    place = MadeStudy(tmp_path_factory.mktemp("made") / "s")
    for label, accuracy, seconds in (("full", 0.93, 72.4), (LONG, 0.9, 2.5), ("head_only", 0.7, 0.8)):
        place.add(label, accuracy, method="full", seconds=seconds)
    place.add("majority", 0.5, method="majority", seconds=0.01, role=Role.BASELINE, seeds=[None])
    place.add("tfidf_word", 0.8, method="tfidf_word", seconds=0.2, role=Role.BASELINE, seeds=[None])
    return load_summary(place.finish())


WIDTHS = (60, 80, 100, 200)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_decision_comes_first_and_the_table_under_it(study: Summary, width: int) -> None:
    lines = shown(study, width)
    assert lines[0].startswith("── Decision ─")
    assert lines[1].startswith("Use         ")
    assert study.verdict is not None
    assert study.verdict.recommended is not None
    assert study.verdict.recommended[:10] in lines[1]
    end = next(n for n, line in enumerate(lines) if n and set(line) == {"─"})
    names = [line[:12].strip() for line in lines[1:end] if line[:12].strip()]
    assert names == ["Use", "Costs", "Fine-tuned", "Cheapest", "No model", "How sure", "Next"]
    head = next(n for n, line in enumerate(lines) if line.startswith("  row "))
    assert head > end
    assert max(map(text_units, lines)) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_no_name_and_no_heading_is_broken(study: Summary, width: int) -> None:
    lines = shown(study, width)
    text = "\n".join(lines)
    rows = [row.label for row in View(study).rows]
    for label in rows:
        assert label in text or (head_of(label, text) and label == LONG), label
    card = [line[12:] for line in lines[1 : lines.index("─" * min(width, 100))]]
    sentences = " ".join(text for _, text in card_of(View(study)))
    words = set(brief.shortened(sentences, rows, (min(width, 100) - 12) * 2 // 3).split())
    assert {word for line in card for word in line.split()} <= words  # whole words alone
    (head,) = [line for line in lines if line.startswith("  row ")]
    titles = head.replace("  row", "", 1).split("  ")
    known = {"accuracy %", "95 % interval", "train time", "memory", "parameters", "a text", "seeds", "rank", "loss"}
    assert {title.strip() for title in titles if title.strip()} <= known | {"macro F1 %", "validation"}


def head_of(label: str, text: str) -> bool:
    """Whether a name stands there with its middle cut."""
    return any(line.split("…")[0].strip().lstrip("▸ ") in label for line in text.splitlines() if "…" in line)


def test_wider_terminals_show_more_columns(study: Summary) -> None:
    left_out = [short_table(View(study), width)[1] for width in WIDTHS]
    assert left_out == sorted(left_out, reverse=True)
    assert left_out[0] > left_out[-1]
    assert "more column" in " ".join(shown(study, 60))


def test_rows_are_sorted_by_score_with_baselines_apart(study: Summary) -> None:
    lines, _ = short_table(View(study), 200)
    names = [line.text[2:].split("  ")[0] for line in lines if line.kind in ("row", "chosen")]
    assert names == ["full", LONG, "head_only", "tfidf_word", "majority"]
    assert [line.kind for line in lines].index("apart") == 5
    (chosen,) = [line.text for line in lines if line.kind == "chosen"]
    assert chosen.startswith("▸ ")


def test_figures_are_as_short_as_a_reader_needs(study: Summary) -> None:
    lines, _ = short_table(View(study), 200)
    (full,) = [line.text for line in lines if line.text[2:].startswith("full ")]
    accuracy = 100 * (View(study).rows[0].mean("test", "accuracy") or 0)
    assert f" {accuracy:.1f} " in full
    assert f"{accuracy:.2f}" not in " ".join(shown(study, 200))
    assert re.search(r" \d\d s ", full)


SHORT = {
    (brief.duration, 61.2): "61 s",
    (brief.duration, 1.62): "1.6 s",
    (brief.duration, 0.0229): "0.02 s",
    (brief.duration, 0.0001): "<0.01 s",
    (brief.duration, 100): "1.7 min",
    (brief.duration, 754): "13 min",
    (brief.duration, 8280): "2.3 h",
    (brief.duration, None): "–",
    (brief.count, 770): "770",
    (brief.count, 2240): "2.2 k",
    (brief.count, 38_798): "39 k",
    (brief.count, 999_999): "1.0 M",
    (brief.count, 1_775_234): "1.8 M",
    (brief.count, 124_439_808): "124 M",
    (brief.count, 7e9): "7.0 G",
    (brief.memory, 272 * 2**20): "272 MiB",
    (brief.memory, 1400 * 2**20): "1.4 GiB",
    (brief.milliseconds, 4.12): "4.1 ms",
    (brief.milliseconds, 0.00236): "<0.01 ms",
    (brief.milliseconds, 1500): "1.5 s",
}


def test_short_figures() -> None:
    for (show, value), text in SHORT.items():
        assert show(value) == text, value
    assert brief.figure("accuracy", 0.97234) == "97.2"
    assert brief.figure("loss", 0.41234) == "0.412"


def test_long_names_are_cut_in_the_middle() -> None:
    assert brief.cut("last_block, random weights", 17) == "last_blo… weights"
    assert text_units(brief.cut("微调全部模型的最后一层", 9)) <= 9
    assert brief.cut("short", 5) == "short"
    assert brief.wrapped("a text of 97.3 % (95 % interval)", 16) == ["a text of 97.3 %", "(95 % interval)"]
    assert all(text_units(line) <= 10 for line in brief.wrapped(f"x {'long' * 9} y", 10))


def test_a_pipe_gets_whole_lines_and_no_colours(study: Summary) -> None:
    lines = shown(study, 80, terminal=False)
    assert lines[1].startswith("Use ")
    assert not any("\x1b" in line for line in lines)
    assert any(LONG in line for line in lines)


@pytest.mark.parametrize(
    "make", [ordinary, pytest.param(hundred_runs, marks=pytest.mark.slow), many_tongues, only_failures]
)
@pytest.mark.parametrize("width", [40, 80])
def test_any_study_fits_its_terminal(make, width: int, tmp_path: Path) -> None:
    lines = shown(load_summary(make(tmp_path / "s")), width)
    assert lines[0].startswith("── Decision")
    assert max(map(text_units, lines)) <= width


def test_why_a_row_failed_is_told(tmp_path: Path) -> None:
    summary = load_summary(only_failures(tmp_path / "s"))
    text = " ".join(" ".join(shown(summary, 80)).split())
    error = next(run.error for run in summary.runs if run.error)
    assert "Failed: " in text
    assert error[:40] in text


def test_the_plot_is_drawn_where_it_is_asked_for(study: Summary) -> None:
    assert not any("┤" in line for line in shown(study, 80))
    screen = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    print_plot(study, screen)
    assert "┤" in screen.file.getvalue()  # type: ignore[attr-defined]
