"""Tables and figures as files, the command, and what a report may load."""

from __future__ import annotations

import csv
import itertools
import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from typer.testing import CliRunner

from report.conftest import places
from report.made_studies import HOSTILE, many_tongues, one_run, ordinary
from whichtune.cli.app import app, main
from whichtune.errors import StoreError
from whichtune.records.store import StudyFolder
from whichtune.report.tables import latex_escape
from whichtune.report.write import write_report

FIGURES = {
    "scores", "cost-training_seconds", "cost-peak_memory_bytes", "cost-trainable_parameters", "cost-inference_ms",
    "cost-training_flops", "cost-adapter_bytes", "curves-loss", "curves-score", "decision", "differences", "classes",
    "calibration", "confusion",
}  # fmt: skip


def words_of(drawing: Path) -> str:
    """All text of an SVG file."""
    return "".join(ElementTree.parse(drawing).getroot().itertext())


def test_every_figure_is_written_as_png_and_svg(tmp_path):
    import matplotlib.image

    folder = ordinary(tmp_path)
    report = write_report(folder)
    assert places(tmp_path / "figures") == {f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg")}
    assert {path.name for path in report.figures} == places(tmp_path / "figures")
    for path in report.figures:
        if path.suffix == ".png":
            image = matplotlib.image.imread(path)[..., :3]
            assert image.std() > 0.02, f"{path.name} is blank"
        else:
            ElementTree.parse(path)
    assert "last_block" in words_of(tmp_path / "figures" / "scores.svg")
    curves = words_of(tmp_path / "figures" / "curves-loss.svg")  # which stands without the page's caption
    assert all(words in curves for words in ("train, while it was trained", "validation", "best point"))


def test_figures_of_an_earlier_report_do_not_stay(tmp_path):
    folder = one_run(tmp_path)
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "differences.png").write_bytes(b"old")
    write_report(folder)
    assert "differences.png" not in places(tmp_path / "figures")
    assert "scores.png" in places(tmp_path / "figures")


def test_figures_with_chinese_emoji_and_formula_signs_are_drawn(tmp_path, recwarn):
    folder = many_tongues(tmp_path)
    summary = folder.read_json("summary.json")
    for run in summary["runs"]:
        run["label"] = f"{run['label']} $\\frac{{$ _x_"
    folder.write_json("summary.json", summary | {"verdict": None})
    write_report(folder)
    text = words_of(tmp_path / "figures" / "scores.svg")
    assert "微调全部" in text
    assert "$\\frac{$" in text
    assert not [w for w in recwarn if "Glyph" in str(w.message)]


def test_latex_table_is_escaped_and_complete(made):
    text = (made("ordinary").path / "table.tex").read_text(encoding="utf-8")
    assert r"head\_only" in text
    assert sum(line.endswith(r" \\") for line in text.splitlines()) == 12  # twice the header and five rows
    assert text.count("{") == text.count("}")
    assert latex_escape("50 % of a_b & c$ {x} \\ #~^<") == (
        r"50 \% of a\_b \& c\$ \{x\} \textbackslash{} \#\textasciitilde{}\textasciicircum{}\textless{}"
    )


def test_markdown_table_shows_a_hostile_text_as_text(made):
    text = (made("hostile").path / "table.md").read_text(encoding="utf-8")
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    found = [list(lines) for piped, lines in itertools.groupby(text.splitlines(), lambda x: x.startswith("|")) if piped]
    assert len(found) == 2  # the rows, and what a search selected
    for header, rule, *rows in found:
        for row in rows:
            assert row.replace("\\|", "").count("|") == rule.count("|") == header.count("|")


def test_csv_has_every_run_unrounded(made):
    folder = made("ordinary")
    with (folder.path / "table.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    runs = folder.read_json("summary.json")["runs"]
    assert [line["run_id"] for line in lines] == [run["run_id"] for run in runs]
    assert float(lines[3]["test_accuracy"]) == runs[3]["metrics"]["test"]["accuracy"]


def test_report_loads_neither_torch_nor_what_it_does_not_draw_with(made):
    code = (
        "import sys, whichtune.report, whichtune.report.page, whichtune.cli.terminal, whichtune.cli.reference\n"
        "from whichtune.records.store import StudyFolder\n"
        "from whichtune.report.write import write_report\n"
        f"write_report(StudyFolder({str(made('ordinary').path)!r}), figures=False)\n"
        "print([m for m in ('torch', 'transformers', 'pandas', 'scipy', 'sklearn', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_report_is_written_where_torch_cannot_be_imported(made):
    """As on a machine without torch: any import of it ends the program."""
    code = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from whichtune.cli.app import main\n"
        f"sys.argv = ['whichtune', 'report', {str(made('ordinary').path)!r}]\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "report.html" in done.stdout


def test_command_writes_the_report_and_prints_paths_as_json(tmp_path):
    folder = one_run(tmp_path)
    done = CliRunner().invoke(app, ["report", str(folder.path), "--no-figures", "--json"])
    assert done.exit_code == 0, done.output
    written = json.loads(done.stdout)
    assert written["page"] == str(tmp_path / "report.html")
    assert {"report.html", "table.md", "table.csv", "table.tex"} <= places(tmp_path)
    assert not (tmp_path / "figures").exists()


@pytest.mark.parametrize(
    ("broken", "wanted"),
    [
        (None, "holds no summary.json"),
        ("[]", "is no summary of a study"),
        ("{", "cannot be read"),
        ('{"schema_version": 99, "runs": [], "study": {}}', "schema version 99"),
        ('{"schema_version": 1, "runs": [{"label": 1}], "study": {}}', "'runs.0.run_id' is wrong: it is missing"),
        ('{"schema_version": 1, "runs": [], "study": {}, "verdict": "good"}', "summary.json' is no summary that"),
    ],
)
def test_a_folder_that_is_no_study_is_one_sentence(tmp_path, monkeypatch, capsys, broken, wanted):
    if broken is not None:
        (tmp_path / "summary.json").write_text(broken)
    monkeypatch.setattr(sys, "argv", ["whichtune", "report", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert wanted in message
    assert message.count("\n") == 1


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    folder = one_run(tmp_path)
    (tmp_path / "figures").write_text("a file stands where the figures should go")
    with pytest.raises(StoreError, match="figures"):
        write_report(StudyFolder(folder.path))


def test_hostile_text_is_no_markup_in_the_terminal(made):
    done = CliRunner().invoke(app, ["report", str(made("hostile").path), "--no-figures"])
    assert done.exit_code == 0, done.output
    assert HOSTILE.split()[0] in done.stdout


def test_a_broken_curve_is_one_sentence_that_names_its_file(tmp_path):
    folder = one_run(tmp_path)
    run_id = folder.read_json("summary.json")["runs"][0]["run_id"]
    (folder.run_folder(run_id) / "curves.jsonl").write_text('{"step": 1')
    with pytest.raises(StoreError, match=r"curves\.jsonl' cannot be read"):
        write_report(folder)


def test_a_loss_that_became_infinite_is_left_out_of_the_drawings(tmp_path):
    folder = one_run(tmp_path)
    summary = folder.read_json("summary.json")
    run = summary["runs"][0]
    run["metrics"]["test"]["loss"] = float("nan")
    folder.write_json("summary.json", summary)
    curve = folder.run_folder(run["run_id"]) / "curves.jsonl"
    points = [json.loads(line) for line in curve.read_text().splitlines()]
    points[2]["validation_loss"] = float("inf")
    curve.write_text("".join(json.dumps(point) + "\n" for point in points))
    write_report(folder)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    drawings = page[page.index('id="curves"') : page.index('id="record"')]
    assert "inf," not in drawings
    assert "nan" not in drawings.split('class="panels')[1].split("</div>")[0]
