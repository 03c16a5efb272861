"""What a study's search tries: the ranges of each line, and the draws from them.

All draws follow from one seed, the setting's name and the draw's number, and from nothing else: they are the same
on every machine, whatever other lines the study has, and the first three of six are the three of three.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import JsonValue

from whichtune.errors import SettingError
from whichtune.expansion.expand import Expansion, entries, expand
from whichtune.expansion.merging import merged_settings
from whichtune.expansion.rates import default_rate
from whichtune.methods import METHODS
from whichtune.registry import did_you_mean
from whichtune.seeding import stream_seed
from whichtune.study.roles import Role
from whichtune.study.spaces import Space
from whichtune.study.spec import RunEntry, RunSpec, Settings, Study

if TYPE_CHECKING:
    from whichtune.tasks.base import AnyDataset

Chosen = Mapping[str, Mapping[str, JsonValue]]  # by label: settings that a search has drawn or selected
# What each line's rate is searched around, rather than what it is held at.
CENTRE = "learning_rate"


@dataclass(frozen=True)
class SearchedLine:
    """A line of the study and what is searched in it; nothing for a method in closed form."""

    label: str
    method: str
    spaces: dict[str, Space]


@dataclass(frozen=True)
class Draw:
    """One configuration of one line; `number` counts from 1. `flops` is what its training will take, if known."""

    label: str
    number: int
    settings: dict[str, JsonValue]
    spec: RunSpec
    flops: int | None = None


def searched_lines(study: Study) -> list[SearchedLine]:
    """The lines of a study with their ranges, in the order of its table.

    What a line or a factor sets is held. Of the shared settings the learning rate is what the range lies around,
    and others are held unless the study gives a range for them. Raises SettingError for a range of something that
    is unknown or held.
    """
    if study.tuning is None:
        return []
    listed = entries(study)
    labels = [str(entry.label) for entry, _ in listed]
    _check_owners(study, labels)
    return [SearchedLine(str(entry.label), entry.method, _spaces_of(study, entry, factor)) for entry, factor in listed]


def has_spaces_of_lines(study: Study) -> bool:
    """Whether single lines have ranges of their own: what they then search may be all that sets two lines apart."""
    return study.tuning is not None and any(owner not in METHODS for owner in study.tuning.spaces)


def _check_owners(study: Study, labels: list[str]) -> None:
    assert study.tuning is not None
    for owner in study.tuning.spaces:
        if owner not in labels and owner not in METHODS:
            known = [*labels, *METHODS]
            raise SettingError(f"tuning.spaces: there is no line or method '{owner}': {did_you_mean(owner, known)}")


def _spaces_of(study: Study, entry: RunEntry, factor: dict[str, JsonValue]) -> dict[str, Space]:
    assert study.tuning is not None
    method, label = METHODS[entry.method], str(entry.label)
    of_method = study.tuning.spaces.get(entry.method, {})
    of_label = study.tuning.spaces.get(label, {}) if label != entry.method else {}
    known = [*Settings.model_fields, *method.Settings.model_fields]
    for setting in (*of_method, *of_label):
        if setting not in known and method.open_settings is None:
            where = f"tuning.spaces of '{label}'"
            raise SettingError(f"{where}: {entry.method} has no setting '{setting}': {did_you_mean(setting, known)}")
    held = {**factor, **entry.settings}
    for setting in of_label:
        if setting in held:
            raise SettingError(f"tuning.spaces of '{label}': the line itself sets {setting}: remove one of the two.")
    shared = merged_settings(study, entry, factor)
    rate = shared.get(CENTRE) or default_rate(study, entry.method, str(shared.get("model") or study.model))
    usual = method.spaces(float(rate) if isinstance(rate, (int, float, str)) else None)
    if shared.get("warmup_steps") is not None:
        usual.pop("warmup_ratio", None)
    found: dict[str, Space | None] = {k: v for k, v in usual.items() if k == CENTRE or k not in shared}
    found |= {**of_method, **of_label}
    return {setting: space for setting, space in found.items() if space is not None and setting not in held}


def drawn_settings(line: SearchedLine, seed: int, number: int) -> dict[str, JsonValue]:
    """The values of a line's draw. A setting's quantile is shared by all lines, as seeds share a data order."""
    return {setting: space.value(quantile(seed, setting, number)) for setting, space in line.spaces.items()}


def quantile(seed: int, setting: str, number: int) -> float:
    """In [0, 1): from the seed, the setting's name and the draw's number alone."""
    return stream_seed(seed, f"tuning/{setting}/{number}") / 2**63


def draws_of(expansion: Expansion, dataset: AnyDataset, numbers: range | None = None) -> dict[str, list[Draw]]:
    """The draws of each searched line by their `numbers` (None: all up to the limit), resolved and checked, in order;
    lines whose model is missing are left out."""
    study = expansion.study
    if study.tuning is None:
        return {}
    missing = {spec.label for spec in expansion.specs if spec.run_id in expansion.missing}
    lines = [line for line in searched_lines(study) if line.spaces and line.label not in missing]
    found: dict[str, list[Draw]] = {line.label: [] for line in lines}
    alone = study.model_copy(update={"seeds": study.seeds[:1], "baselines": [], "pairs": [], "baseline": None})
    for number in numbers or range(1, study.tuning.limit + 1):
        settings = {line.label: drawn_settings(line, study.tuning.seed, number) for line in lines}
        for spec in specs_with(alone, settings, expansion, dataset):
            if spec.label in found:
                draw = spec.model_copy(update={"role": Role.DRAW})
                found[spec.label].append(Draw(spec.label, number, settings[spec.label], draw))
    return found


def specs_with(study: Study, chosen: Chosen, expansion: Expansion, dataset: AnyDataset) -> list[RunSpec]:
    """The runs of a study in which some lines have these settings beside their own."""
    lines = [
        entry.model_copy(update={"settings": {**factor, **entry.settings, **chosen.get(str(entry.label), {})}})
        for entry, factor in entries(study)
    ]
    plain = study.model_copy(update={"methods": [], "factors": {}, "runs": lines})
    specs = expand(plain, dataset, expansion.models, expansion.device, allow_twins=True).specs
    return [_marked(spec, chosen.get(spec.label, {})) if spec.role is Role.RUN else spec for spec in specs]


def _marked(spec: RunSpec, settings: Mapping[str, JsonValue]) -> RunSpec:
    """The run with a note of which of its settings a search has chosen."""
    if not settings:
        return spec
    source = "tuned" if CENTRE in settings else spec.learning_rate_source
    return spec.model_copy(update={"tuned": sorted(settings), "learning_rate_source": source})
