"""Studies that the package holds: YAML files, with the published figures and claims beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from whichtune.embedded import demo_path
from whichtune.errors import SettingError, UnknownNameError
from whichtune.published.claims import SUFFIX, declared_pairs, load_published, published_names
from whichtune.registry import did_you_mean
from whichtune.study.load import parse_study, read_yaml
from whichtune.study.spec import Pair, RunEntry, Settings, Study
from whichtune.wording import listed

FOLDER = Path(__file__).parent
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
    return read_yaml(_presets()[name])


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
    published = {"study": name, **shown, "rows": figures}
    return Study.model_validate(
        {
            **study.model_dump(),
            "pairs": declared_pairs(name, labels),
            "published": published,
            "baseline": labels.get(facts.baseline_row),
        }
    )


def _check_row(study: Study, known: Mapping[int, RunEntry], number: int, option: str) -> None:
    if number not in known:
        raise SettingError(f"{option} {number}: '{study.name}' has the rows {listed(known, len(known))}.")


def only_rows(study: Study, numbers: list[int] | None) -> Study:
    """The study with only some of its lines, in the study's order. Raises SettingError for an unknown number.

    Pairs, and the baseline, are kept where their lines are.
    """
    if numbers is None:
        return study
    known = rows_of(study)
    for number in numbers:
        _check_row(study, known, number, "--rows")
    from whichtune.expansion.expand import baselines_of

    baselines = baselines_of(study)
    runs = [entry for number, entry in known.items() if number in numbers]
    labels = {entry.label for entry in runs} | set(baselines)
    lines = labels | {entry.method for entry in runs}
    return study.model_copy(
        update={
            "runs": runs,
            "baselines": baselines,
            "pairs": [pair for pair in study.pairs if {pair.a, pair.b} <= labels],
            "baseline": study.baseline if study.baseline in labels else None,
            "tuning": study.tuning and study.tuning.only(lines),
        }
    )


def claim_lines(pairs: Sequence[Pair]) -> list[str]:
    """The pairs that something was claimed of, a line each; a pair may be declared without a claim."""
    return [f"{pair.a} against {pair.b}: {pair.claim}" for pair in pairs if pair.claim]


def row_in_full(study: Study, number: int) -> dict[str, object]:
    """Every setting of one line, defaults filled in, with its published figures and the claims about it.

    Raises SettingError for an unknown number.
    """
    from whichtune.expansion.expand import merged_settings
    from whichtune.methods import METHODS
    from whichtune.tasks import task_of

    known = rows_of(study)
    _check_row(study, known, number, "--row")
    entry = known[number]
    merged = merged_settings(study, entry)
    method = METHODS[entry.method]
    own = {key: merged.pop(key) for key in list(merged) if key in method.Settings.model_fields}
    task = task_of(study)
    of_task = {key: merged.pop(key) for key in list(merged) if key in task.Settings.model_fields}
    model = merged.pop("model", study.model)
    settings = Settings(**merged).model_dump(mode="json")
    shown: dict[str, object] = {
        "label": entry.label,
        "method": entry.method,
        "method_settings": method.Settings(**own).model_dump(mode="json"),
        "model": model,
        "data": study.data.model_dump(mode="json", exclude_none=True),
        "seeds": study.seeds,
        "settings": settings,
    }
    if of_task or task.Settings.model_fields:
        shown |= {"task": task.name, "task_settings": task.Settings(**of_task).model_dump(mode="json")}
    published = (study.published or {}).get("rows", {}).get(entry.label)
    claims = claim_lines([pair for pair in study.pairs if entry.label in (pair.a, pair.b)])
    return shown | ({"published": published} if published else {}) | ({"claims": claims} if claims else {})
