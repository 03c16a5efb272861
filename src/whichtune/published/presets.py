"""Studies that the package holds: YAML files, with the published figures and claims beside them."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from whichtune.embedded import demo_path
from whichtune.errors import SettingError, UnknownNameError
from whichtune.metrics import metric_title
from whichtune.published.claims import SUFFIX, declared_pairs, load_published, published_names
from whichtune.registry import did_you_mean
from whichtune.study.load import parse_study, read_yaml
from whichtune.study.spec import Pair, RunEntry, Settings, Study

FOLDER = Path(__file__).parent
DEFAULTS = 3  # the last edition before bf16 on GPUs, in which none of them was made
ROW = re.compile(r"row (\d+)\b")


def preset_names() -> list[str]:
    """The studies of the package."""
    return sorted(_presets())


def _presets() -> dict[str, Path]:
    files = [path for path in FOLDER.glob("*.yaml") if not path.name.endswith(SUFFIX)]
    return {path.stem: path for path in [*files, demo_path()]}


def read_preset(name: str) -> dict[str, Any]:
    """A preset's plain values. Raises UnknownNameError for a name that is none."""
    if name not in preset_names():
        raise UnknownNameError(f"There is no study '{name}': {did_you_mean(name, preset_names())}")
    return {"defaults": DEFAULTS, **read_yaml(_presets()[name])}


def load_preset(name: str) -> Study:
    """A preset as a study: its published claims are its pairs."""
    return with_claims(parse_study(read_preset(name), name), name)


def rows_of(study: Study) -> dict[int, RunEntry]:
    """The study's lines by number: that of the published row, or the line's place."""
    found: dict[int, RunEntry] = {}
    for place, entry in enumerate(study.runs, start=1):
        match = ROW.match(entry.label or "")
        found[int(match.group(1)) if match else place] = entry
    return found


def with_claims(study: Study, name: str) -> Study:
    """The published claims as pairs, and the published figures, for the lines that the study has."""
    if name not in published_names():
        return study
    facts = load_published(name)
    labels = {number: str(entry.label) for number, entry in rows_of(study).items()}
    figures = {label: facts.figures(number) for number, label in labels.items()}
    shown = facts.model_dump(include={"source", "url", "device", "unit", "notes"})
    charts = {"bar_charts": True} if facts.bar_charts else {}
    published = {"study": name, **shown, **charts, "rows": figures}
    return Study.model_validate(
        {
            **study.model_dump(),
            "pairs": declared_pairs(name, labels),
            "published": published,
            "baseline": None if facts.baseline_row is None else labels.get(facts.baseline_row),
        }
    )


def only_rows(study: Study, numbers: list[int] | None, given: Collection[str] = ()) -> Study:
    """The study with only some of its lines, in the study's order. Raises SettingError for an unknown number.

    Pairs, the baseline, and shared settings of one method (`METHOD.key`) are kept where their lines are. `given` are
    settings that were asked for with the rows: they stay, to be refused where no line has them.
    """
    if numbers is None:
        return study
    known = rows_of(study)
    for number in numbers:
        _row(study, number, "--rows")
    from whichtune.expansion.expand import baselines_of

    baselines = baselines_of(study)
    runs = [entry for number, entry in known.items() if number in numbers]
    labels = {entry.label for entry in runs} | set(baselines)
    methods = {entry.method for entry in runs}
    lines = labels | methods
    return study.model_copy(
        update={
            "runs": runs,
            "settings": {
                key: value
                for key, value in study.settings.items()
                if key in given or "." not in key or key.rpartition(".")[0] in methods
            },
            "baselines": baselines,
            "pairs": [pair for pair in study.pairs if {pair.a, pair.b} <= labels],
            "baseline": study.baseline if study.baseline in labels else None,
            "tuning": study.tuning and study.tuning.only(lines),
        }
    )


def _row(study: Study, number: int, option: str) -> RunEntry:
    """The line of that number. Raises SettingError, which names the option that asked for it."""
    known = rows_of(study)
    if number not in known:
        raise SettingError(f"{option} {number}: '{study.name}' has the rows {min(known)} to {max(known)}.")
    return known[number]


def row_in_full(study: Study, number: int) -> dict[str, object]:
    """Every setting of one line, defaults filled in, with its published figures and the claims about it.

    Raises SettingError for a row that the study does not have.
    """
    from whichtune.expansion.merging import MODEL_KEYS, merged_settings
    from whichtune.expansion.rates import default_rate
    from whichtune.methods import METHODS
    from whichtune.tasks import task_of
    from whichtune.tuning.search import searched_lines

    entry = _row(study, number, "--row")
    merged = merged_settings(study, entry)
    method, task = METHODS[entry.method], task_of(study)

    def taken(names: Collection[str]) -> dict[str, Any]:
        return {key: merged.pop(key) for key in list(merged) if key in names}

    place = {"model": study.model, **taken(MODEL_KEYS)}
    own = method.Settings(**taken(method.Settings.model_fields))
    of_task = task.Settings(**taken(task.Settings.model_fields))
    rate = merged.pop("learning_rate", None) or default_rate(study, entry.method, str(place["model"]))
    settings = Settings(**merged, learning_rate=rate)
    searched = {line.label: line.spaces for line in searched_lines(study)}.get(str(entry.label), {})
    published = (study.published or {}).get("rows", {}).get(entry.label)
    claims = [pair_line(pair) for pair in study.pairs if pair.claim and entry.label in (pair.a, pair.b)]
    shown: dict[str, object] = {
        "label": entry.label,
        "method": entry.method,
        "method_settings": own.model_dump(mode="json"),
        "task": study.task,
        "task_settings": of_task.model_dump(mode="json"),
        **place,
        "data": study.data.model_dump(mode="json", exclude_none=True),
        "seeds": study.seeds,
        "settings": settings.model_dump(mode="json"),
        "searched": {name: space.words() for name, space in searched.items()},
        "published": published,
        "claims": claims,
    }
    return {key: value for key, value in shown.items() if value or key == "method_settings"}


def pair_line(pair: Pair) -> str:
    """A declared pair in a line, with what was claimed of it."""
    about = f", {metric_title(pair.metric)}" if pair.metric else ""
    return f"{pair.a} against {pair.b}{about}" + (f": {pair.claim}" if pair.claim else "")
