"""The table in Markdown, LaTeX and CSV, and figures as people read them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from typing import Any

from whichtune.metrics import metric_title
from whichtune.report.run_notes import run_notes, stopping_notes
from whichtune.report.summary import ROUGE_NAMES, table_rows, writes_texts
from whichtune.study.spec import ADDED_SETTINGS

NOTHING = "–"
SHOWN_SETTINGS = (
    "token_position",
    "context_length",
    "long_texts_keep",
    "padding",
    "attend_to_padding",
    "causal_mask",
    "weights",
    "dropout",
    "epochs",
    "max_steps",
    "batching",
    "batch_size",
    "accumulation_steps",
    "optimiser",
    "learning_rate",
    "weight_decay",
    "schedule",
    "warmup_steps",
    "warmup_ratio",
    "gradient_clip",
    "precision",
    "device",
    "plan",
)
Cell = Callable[[dict[str, Any]], str]


def percent(value: float | None, digits: int = 2) -> str:
    """0.9733 as 97.33."""
    return NOTHING if value is None else f"{100 * value:.{digits}f}"


def count(value: float | None) -> str:
    """1234567 as 1,234,567."""
    return NOTHING if value is None else f"{value:,.0f}"


def seconds(value: float | None) -> str:
    """Three significant digits, never in scientific notation."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 0.001 else "<0.001"


def mebibytes(value: float | None) -> str:
    return NOTHING if value is None else f"{value / 2**20:,.0f}"


def mebibytes_fine(value: float | None) -> str:
    """As `mebibytes`, with what a small file needs to be told from none."""
    if value is None or value >= 2**24:
        return mebibytes(value)
    return f"{value / 2**20:.2g}" if value >= 2**20 / 100 else "<0.01"


def plural(n: int, noun: str, many: str | None = None) -> str:
    """`1 row`, `2 rows`, `1,045 examples`."""
    return f"{n:,} {noun if n == 1 else many or noun + 's'}"


def few(names: Sequence[str], most: int = 6) -> str:
    """A list of names in a sentence, its tail counted instead of named."""
    shown = list(names[:most])
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def number(value: float | None) -> str:
    """1234.5 as 1,234.50."""
    return NOTHING if value is None else f"{value:,.2f}"


def seed(value: int | None) -> str:
    return NOTHING if value is None else str(value)


def giga_operations(value: float | None) -> str:
    """Operations in thousands of millions; 0 where a run found all it needed in the cache."""
    if value is None or value == 0:
        return NOTHING if value is None else "0"
    return f"{value / 1e9:,.0f}" if value >= 1e10 else f"{value / 1e9:.2g}"


def _score(split: str, figure: str) -> Cell:
    """The mean over seeds, with the lowest and highest where there are several."""

    def cell(row: dict[str, Any]) -> str:
        key = f"{split}_{figure}"
        text = percent(row.get(key))
        low, high = row.get(f"{key}_range") or (None, None)
        return text if low == high or low is None else f"{text} ({percent(low)} to {percent(high)})"

    return cell


def _plain(key: str, show: Callable[[float | None], str]) -> Cell:
    return lambda row: show(row.get(key))


def loss(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"


# Every column of table.md and the page, in order.
COLUMNS: dict[str, Cell] = {
    "run": lambda row: row["label"] + (" (baseline)" if row["role"] == "baseline" else ""),
    "seeds": lambda row: ", ".join(str(seed) for seed in row["seeds"] if seed is not None) or NOTHING,
    "test accuracy %": _score("test", "accuracy"),
    "test macro F1 %": _score("test", "f1_macro"),
    "test loss": _plain("test_loss", loss),
    "validation accuracy %": _plain("validation_accuracy", percent),
    "train accuracy %": _plain("train_accuracy", percent),
    "trainable parameters": _plain("trainable_parameters", count),
    "train s": _plain("train_seconds", seconds),
    "longest epoch s": _plain("max_epoch_seconds", seconds),
    "peak memory MiB": _plain("peak_memory_bytes", mebibytes),
    "GFLOP": _plain("flops", giga_operations),
    "ms/text": _plain("inference_ms", seconds),
}


# The same of studies whose runs write texts.
TEXT_COLUMNS: dict[str, Cell] = {
    "run": COLUMNS["run"],
    "seeds": COLUMNS["seeds"],
    **{f"test {name} %": _score("test", key) for key, name in ROUGE_NAMES.items()},
    "test loss": COLUMNS["test loss"],
    "test perplexity": _plain("test_perplexity", number),
    "validation ROUGE-L %": _plain("validation_rougeL", percent),
    "trainable parameters": COLUMNS["trainable parameters"],
    "train s": COLUMNS["train s"],
    "longest epoch s": COLUMNS["longest epoch s"],
    "peak memory MiB": COLUMNS["peak memory MiB"],
    "GFLOP": COLUMNS["GFLOP"],
    "tokens written": _plain("test_written_tokens", lambda value: NOTHING if value is None else f"{value:.1f}"),
    "ms/text": COLUMNS["ms/text"],
}


def cells(summary: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of the table as text; what did not complete is said beside the label."""
    columns = TEXT_COLUMNS if writes_texts(summary) else COLUMNS
    if has_stopping(summary):
        columns = {**columns, "epochs": _plain("epochs", seconds)}
    rows = []
    for row in table_rows(summary):
        line = [cell(row) for cell in columns.values()]
        if row["completed"] < row["runs"]:
            line[0] += f" [{row['runs'] - row['completed']} of {row['runs']} {' and '.join(row['statuses'])}]"
        rows.append(line)
    return list(columns), rows


def has_stopping(summary: dict[str, Any]) -> bool:
    """Whether any run was trained with early stopping: how many epochs were run is then worth a column."""
    return any(run.get("stopping") for run in summary["runs"])


def markdown_table(summary: dict[str, Any]) -> str:
    """table.md: one row a label, the reasons of what failed, and what the figures are."""
    header, rows = cells(summary)
    lines = ["| " + " | ".join(_escape(cell) for cell in line) + " |" for line in [header, *rows]]
    lines.insert(1, "| --- " * len(header) + "|")
    lines += ["", "## Verdict", "", *(f"{_escape(line)}\n" for line in verdict_lines(summary))]
    lines += _tuning_section(summary)
    lines += ["## Notes", "", *(f"{_escape(note)}\n" for note in [*footnotes(summary), *run_notes(summary)])]
    return "\n".join(lines).rstrip() + "\n"


def _tuning_section(summary: dict[str, Any]) -> list[str]:
    """What the search was and what it selected, in Markdown; nothing where there was none."""
    from whichtune.report.tuning import selected_table, tuning_lines

    selected = selected_table(summary)
    if selected is None:
        return []
    body = [
        "| " + " | ".join(_escape(cell) for cell in line) + " |" for line in [selected["header"], *selected["rows"]]
    ]
    body.insert(1, "| --- " * len(selected["header"]) + "|")
    return ["## What tuning bought", "", *(f"{_escape(line)}\n" for line in tuning_lines(summary)), *body, ""]


def _escape(text: str) -> str:
    """Text that Markdown shows as it is: no cell ends early, nothing becomes HTML, a link or emphasis."""
    text = " ".join(text.split())
    for sign in "\\`*[]|~$":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "–": "--",
    "−": "$-$",
}


def latex_escape(text: str) -> str:
    """Text that LaTeX sets as it is. Other than Latin letters need XeLaTeX or LuaLaTeX."""
    return "".join(LATEX.get(sign, sign) for sign in " ".join(text.split()))


def latex_table(summary: dict[str, Any]) -> str:
    """table.tex: a `table` environment that needs the `booktabs` and `graphicx` packages.

    Scores and costs stand below each other: side by side they would be too small to read on a page.
    """
    header, rows = cells(summary)
    cut = header.index("trainable parameters")
    halves = [range(cut), [0, *range(cut, len(header))]]
    scores, costs = ([[line[i] for i in half] for line in [header, *rows]] for half in halves)
    lines = ["% Needs \\usepackage{booktabs} and \\usepackage{graphicx}.", "\\begin{table}", "\\centering"]
    lines += [*_tabular(scores, "ll"), "\\par\\bigskip", *_tabular(costs, "l")]
    caption = " ".join(latex_escape(note) for note in footnotes(summary))
    return "\n".join([*lines, f"\\caption{{{caption}}}", "\\end{table}"]) + "\n"


def _tabular(lines: Sequence[Sequence[str]], left: str) -> list[str]:
    """One tabular, made smaller where it is wider than the page; `left` are its columns of text."""
    header, *rows = [[latex_escape(cell) for cell in line] for line in lines]
    stacked = [header[0], *(_stacked(name) for name in header[1:])]
    return [
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%",
        f"\\begin{{tabular}}{{{left}{'r' * (len(header) - len(left))}}}",
        "\\toprule",
        " & ".join(stacked) + r" \\",
        "\\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        "\\bottomrule",
        "\\end{tabular}}",
    ]


def _stacked(name: str) -> str:
    """A column's name on two lines where it has several words."""
    first, _, rest = name.partition(" ")
    return rf"\shortstack[r]{{{first}\\{rest}}}" if len(rest) > 2 else name


def verdict_lines(summary: dict[str, Any]) -> list[str]:
    """What to read before the verdict, the verdict, why, and what it does not show."""
    verdict = summary.get("verdict")
    if not verdict:
        return ["No verdict is stored with this study."]
    reasons = [*verdict["warnings"], verdict["headline"], verdict["rule"], *verdict["reasons"]]
    reasons += verdict["paragraphs"] or [text for text in [verdict["against_baseline"]] if text]
    return reasons + [f"Not shown: {text}" for text in verdict["does_not_show"]]


def footnotes(summary: dict[str, Any]) -> list[str]:
    """What a reader must know beside the figures."""
    metric = summary["study"]["primary_metric"]
    notes = [f"Primary metric: {metric_title(metric)}. Scores are means over seeds (lowest to highest), costs medians."]
    done = [run for run in summary["runs"] if run["metrics"]["test"]]
    if done:
        test = done[0]["metrics"]["test"]
        one = "" if writes_texts(summary) else f": one is {100 / test['n']:.2f} points"
        notes.append(f"The test split has {test['n']} examples{one}.")
        if writes_texts(summary):
            notes.append(
                "ROUGE is the F-measure against the reference, with stemming. The loss is that of a target's token, in "
                "nats, and perplexity its exponential; extracted sentences have none."
            )
        if test["duplicates_of_train"]:
            without = [
                f"{row['label']} {percent(row['test_accuracy_without_duplicates'])}"
                for row in table_rows(summary)
                if row["test_accuracy_without_duplicates"] is not None
            ]
            notes.append(
                f"{test['duplicates_of_train']} of them stand verbatim in train"
                + (f"; accuracy without them: {', '.join(without)}." if without else ".")
            )
    notes += [*stopping_notes(summary), *common_settings(summary)]
    for row in table_rows(summary):
        notes += [f"{row['label']}: {error}" for error in row["errors"]]
    return notes


def common_settings(summary: dict[str, Any]) -> list[str]:
    """One sentence with the settings that all trained runs share, defaults included."""
    specs = [run["spec"] for run in summary["runs"] if run["role"] != "baseline"]
    if not specs:
        return []
    same = {
        key: value
        for key, value in specs[0].items()
        if key in SHOWN_SETTINGS
        and value is not None
        and ADDED_SETTINGS.get(key) != value
        and all(spec.get(key) == value for spec in specs)
    }
    return [f"All runs: {', '.join(f'{key} {setting_text(value)}' for key, value in same.items())}."] if same else []


def setting_text(value: Any) -> str:
    """A setting's value as it is written in a study file."""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def runs_csv(summary: dict[str, Any]) -> str:
    """table.csv: one row a run, every figure unrounded."""
    header = ["run_id", "label", "role", "status", "method", "seed"]
    lines = []
    for run in summary["runs"]:
        line = {key: run[key] for key in header}
        for split in ("train", "validation", "test"):
            figures = run["metrics"][split] or {}
            line |= {f"{split}_{k}": v for k, v in figures.items() if not isinstance(v, list)}
        line |= run["cost"]
        line["error"] = run["error"]
        lines.append(line)
    names = list(dict.fromkeys(key for line in lines for key in line))
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()
