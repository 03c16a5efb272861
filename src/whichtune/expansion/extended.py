"""A stored study with more of what it varies, so that only what is missing is made."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from whichtune.errors import SettingError, StoreError
from whichtune.expansion.asked import Values, parse_seeds, parse_sizes
from whichtune.expansion.assemble import split_methods, with_assignments
from whichtune.records.store import StudyFolder
from whichtune.study.load import parse_study
from whichtune.study.resolved import ResolvedStudy
from whichtune.study.spec import Study


def extended(
    folder: Path,
    methods: str | None = None,
    seeds: str | None = None,
    models: str | None = None,
    train_sizes: str | None = None,
    assignments: Iterable[str] = (),
) -> Study:
    """The study of a folder with these methods, seeds, models and sizes added, and with these settings set.

    Raises SettingError where nothing is asked for, and StoreError where the folder holds no study.
    """
    place = StudyFolder(folder)
    try:
        stored = ResolvedStudy.model_validate(place.read_json("study.json"))
    except ValueError as error:
        raise StoreError(f"'{folder}' holds no study that can be extended: run `whichtune compare` anew.") from error
    assigned = list(assignments)
    if all(each is None for each in (methods, seeds, models, train_sizes)) and not assigned:
        raise SettingError("There is nothing to add: give --methods, --seeds, --model, --train-sizes or --set.")
    plain = stored.model_dump(mode="json", include=set(Study.model_fields))
    if methods is not None:
        asked_for = split_methods(methods)
        there = {entry["method"] for entry in [*plain["methods"], *plain["runs"]]}
        plain["methods"] += [{"method": name} for name in _listed(asked_for, "methods") if name not in there]
        plain["baselines"] = _union(plain["baselines"] or [], _listed(asked_for, "baselines"))
    if seeds is not None:
        plain["seeds"] = _union(plain["seeds"], parse_seeds(seeds))
    if models is not None:
        plain["models"] = _union(plain["models"] or [plain["model"]], [name.strip() for name in models.split(",")])
    if train_sizes is not None:
        plain["train_sizes"] = _union(plain["train_sizes"] or ["all"], parse_sizes(train_sizes))
    if models is not None or train_sizes is not None:
        plain["pairs"] = []  # they are of rows on one model and all texts
    if isinstance(plain.get("tuning"), dict):
        plain["tuning"].pop("lines", None)
    return parse_study(with_assignments(plain, assigned, "The command"), str(folder))


def _listed(value: Values, key: str) -> list[object]:
    found = value.get(key)
    return list(found) if isinstance(found, list) else []


def _union(there: Iterable[object], more: Iterable[object]) -> list[object]:
    return list(dict.fromkeys([*there, *more]))
