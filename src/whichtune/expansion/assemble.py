"""From command-line words to a study: a file's settings, overridden by options."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypedDict

from pydantic import JsonValue

from whichtune.baselines import BASELINES
from whichtune.embedded import usual_path
from whichtune.errors import SettingError, UnknownNameError
from whichtune.expansion.asked import Values, parse_seeds, with_axes_of
from whichtune.expansion.names import as_registered, spelled
from whichtune.methods import METHODS
from whichtune.plugins import load_plugin
from whichtune.registry import did_you_mean
from whichtune.study.constraints import parse_constraint
from whichtune.study.costs import read_costs
from whichtune.study.data_settings import DataSettings
from whichtune.study.decide import parse_seconds
from whichtune.study.folders import named as named_study
from whichtune.study.load import parse_assignment, parse_study, read_yaml
from whichtune.study.price import parse_power, parse_price
from whichtune.study.spaces import STRATEGIES, parse_budget
from whichtune.study.spec import DEFAULT_TASK, EMBEDDED, Study
from whichtune.tasks import TASKS
from whichtune.wording import listed, shown

# Keys of a study that --set can change; all others are settings of runs.
STUDY_KEYS = (
    "baseline",
    "baselines",
    "cost_matrix",
    "defaults",
    "margin",
    "metrics",
    "name",
    "positive_class",
    "power",
    "precision_at_recall",
    "price",
    "primary_metric",
    "prior_seed_sd",
    "prior_weight",
    "remote_code",
    "require",
    "revision",
    "selection_cost",
    "texts",
)
TUNING_KEYS = ("draws", "budget", "strategy", "seed")


class Deciding(TypedDict, total=False):
    """What a command says of seeds that are added where they are needed."""

    decide: bool
    max_seeds: int | None
    budget: str | None


class Judged(TypedDict, total=False):
    """What a command says of costs: what a row must keep, a price and a power to tell them by, and a file that says
    what mistakes cost."""

    require: list[str] | None
    price: str | None
    power: str | None
    cost_matrix: Path | None


class Search(TypedDict, total=False):
    """What a command says of the search for settings; None where it says nothing."""

    draws: int | None
    budget: str | None
    strategy: str | None


def assemble_study(
    file: Path | None,
    data: str | None,
    text_column: str | None,
    label_column: str | None,
    model: str | None,
    methods: str | None,
    seeds: str | None,
    assignments: list[str],
    plan: str | None,
    device: str | None,
    search: Search | None = None,
    task: str | None = None,
    target_column: str | None = None,
    judged: Judged | None = None,
    deciding: Deciding | None = None,
    train_sizes: str | None = None,
    no_texts: bool = False,
    label_separator: str | None = None,
) -> Study:
    """The study that a `compare` command means. Without a file or methods, those of `usual.yaml`, or those
    that a task of written texts names.

    `search` has what the command says of a search for settings, `judged` what it says of costs, `deciding` of seeds
    that are added; `no_texts` that no text is to be kept.
    """
    value: Values = read_yaml(file) if file is not None else {}
    where = str(file) if file is not None else "The command"
    load_named(value)
    if task is not None:
        check_choice("--task", task := spelled(task, TASKS), tuple(TASKS))
        value["task"] = task
    elif isinstance(written := value.get("task"), str):
        value["task"] = spelled(written, TASKS)
    value = _with_data(value, data, text_column, label_column, target_column, label_separator)
    value = with_methods(value, split_methods(methods)) if methods is not None else with_usual_rows(value, model)
    for key, chosen in (("plan", plan), ("device", device)):
        if chosen is not None:
            value[key] = chosen
    value = with_axes_of(value, model, train_sizes)
    if seeds is not None:
        value["seeds"] = [*parse_seeds(seeds)]
    value = _with_search(value, **(search or {}))
    value = _with_costs(value, **(judged or {}))
    value = _with_decision(value, **(deciding or {}))
    if assignments:
        value = with_assignments(value, assignments, where)
    study = parse_study(_without_texts(value, assignments) if no_texts else value, where)
    return named_study(as_registered(study))


def refuse_no_data(file: Path | None, data: str | None, assignments: list[str]) -> None:
    """Raise SettingError where a command says nothing of the data that it is to be about."""
    if file is None and data is None and not any(text.startswith("data.source=") for text in assignments):
        raise SettingError(
            "There is nothing to compare on: give --data FILE (and --model NAME), or a study file; `whichtune demo` "
            "shows an example that needs neither."
        )


def load_named(value: Values) -> None:
    """Import the study's plugins, before names are checked, which may be theirs."""
    named = value.get("plugins")
    for place in named if isinstance(named, list) else []:
        if isinstance(place, str):  # what is no text is left to its check
            load_plugin(place)


def with_usual_rows(value: Values, model: str | None = None) -> Values:
    """A study that names neither methods nor runs with those that its task usually compares."""
    if value.get("methods") or value.get("runs"):
        return value
    if usual := _usual_methods(value):
        return {**value, "methods": usual}
    rows = read_yaml(usual_path())
    own = {key: given for key, given in value.items() if given or key != "runs"}  # the pairs are of the runs
    value = {**{k: rows[k] for k in ("runs", "pairs")}, **own}
    if (model or value.get("model") or EMBEDDED) == EMBEDDED:  # rates and jobs are for that model
        value.setdefault("jobs", rows["jobs"])
        value["settings"] = {**rows["settings"], **_mapping(value.get("settings"))}
    return value


def _mapping(value: JsonValue) -> Values:
    """A part of a study that its file may leave empty; what is no mapping is left to its check."""
    if value and not isinstance(value, dict):
        raise SettingError(f"A study's settings, data and tuning are mappings of names to values, not {shown(value)}.")
    return dict(value) if isinstance(value, dict) else {}


def _usual_methods(value: Values) -> list[JsonValue]:
    """What the study's task compares where nothing is named; those of `usual.yaml` stand for
    classification."""
    name = str(value.get("task") or DEFAULT_TASK)
    return list(TASKS[name].default_methods) if name in TASKS else []


def _with_data(
    value: Values,
    source: str | None,
    text_column: str | None,
    label_column: str | None,
    target_column: str | None = None,
    label_separator: str | None = None,
) -> Values:
    data = _mapping(_as_mapping(value.get("data")))
    options = {"source": source, "text_column": text_column, "label_column": label_column}
    others = {"target_column": target_column, "label_separator": label_separator}
    for key, chosen in {**options, **others}.items():
        if chosen is not None:
            data[key] = chosen
    return {**value, "data": data} if data else value


def with_methods(value: Values, chosen: Values) -> Values:
    """A study with other methods: what speaks of its own ones goes with them."""
    left = {key: given for key, given in value.items() if key not in ("runs", "factors", "pairs", "baseline")}
    return _without_lines({**left, **chosen})


def _without_lines(value: Values) -> Values:
    """The search without ranges for lines that `--methods` has replaced; those for methods stay."""
    tuning = value.get("tuning")
    if not isinstance(tuning, dict) or not isinstance(spaces := tuning.get("spaces"), dict):
        return value
    kept = {owner: ranges for owner, ranges in spaces.items() if owner in METHODS}
    return {**value, "tuning": {**tuning, "spaces": kept}}


def _with_search(
    value: Values, draws: int | None = None, budget: str | None = None, strategy: str | None = None
) -> Values:
    """`--tune`, `--tune-budget` and `--tune-strategy`, over what the file says of its search."""
    given: Values = {"draws": draws, "budget": budget, "strategy": strategy}
    if strategy is not None:
        check_choice("--tune-strategy", strategy, STRATEGIES)
        if draws is None and budget is None and not value.get("tuning"):
            raise SettingError("--tune-strategy says how settings are searched: give --tune or --tune-budget, too.")
    if all(chosen is None for chosen in given.values()):
        return value
    if draws is not None and draws < 1:
        raise SettingError(f"--tune {draws}: a search needs at least one draw.")
    if budget is not None:
        try:
            parse_budget(budget)
        except ValueError as error:
            raise SettingError(f"--tune-budget {shown(budget)} is no budget: {error}.") from error
    return {**value, "tuning": _tuning_with(value.get("tuning"), given)}


def _with_costs(
    value: Values,
    require: list[str] | None = None,
    price: str | None = None,
    power: str | None = None,
    cost_matrix: Path | None = None,
) -> Values:
    """`--require`, `--price`, `--power` and `--cost-matrix`, over what the file says of costs."""
    for text in require or []:
        _check_option("--require", text, parse_constraint)
    if price is not None:
        _check_option("--price", price, parse_price)
    if power is not None:
        _check_option("--power", power, parse_power)
    given: Values = {"require": [*require] if require else None, "price": price, "power": power}
    given["cost_matrix"] = None if cost_matrix is None else read_costs(cost_matrix)
    return {**value, **{key: chosen for key, chosen in given.items() if chosen is not None}}


def _with_decision(
    value: Values, decide: bool = False, max_seeds: int | None = None, budget: str | None = None
) -> Values:
    """`--decide`, `--max-seeds` and `--budget`, over what the file says of the same."""
    said = value.get("decide")
    if not decide and not said:
        for option, given in (("--max-seeds", max_seeds), ("--budget", budget)):
            if given is not None:
                raise SettingError(f"{option} says how far seeds are added: give --decide, too.")
        return value
    if said and not isinstance(said, (bool, dict)):
        return value  # left to its check
    if budget is not None:
        _check_option("--budget", budget, parse_seconds)
    own: Values = {"max_seeds": max_seeds, "budget": budget}
    plain = dict(said) if isinstance(said, dict) else {}
    return {**value, "decide": plain | {key: chosen for key, chosen in own.items() if chosen is not None}}


def _without_texts(value: Values, assignments: list[str]) -> Values:
    """`--no-texts`, over what the file says of texts."""
    for key, chosen in map(parse_assignment, assignments):
        if key == "texts" and chosen is True:
            raise SettingError("--no-texts leaves texts out, and --set texts=true keeps them: give one of the two.")
    return {**value, "texts": False}


def _check_option(option: str, text: str, parse: Callable[[str], object]) -> None:
    try:
        parse(text)
    except ValueError as error:
        raise SettingError(f"{option} {shown(text)} cannot be read: {error}.") from error


def _tuning_with(tuning: JsonValue, given: Values) -> Values:
    plain: Values = {"draws": tuning} if isinstance(tuning, int) else _mapping(tuning)
    return plain | {key: chosen for key, chosen in given.items() if chosen is not None}


def split_methods(text: str) -> Values:
    """Methods and baselines of `--methods`; baselines that are named replace the default three."""
    names: list[JsonValue] = [spelled(name.strip(), [*METHODS, *BASELINES]) for name in text.split(",") if name.strip()]
    if not names:
        raise SettingError("--methods is empty: name one or more, separated by commas.")
    return chosen_methods(names, "--methods")


def chosen_methods(entries: list[JsonValue], said: str) -> Values:
    """Names of methods and of baselines, and methods with settings; baselines that are named replace the default three.

    `said` is what named them. Raises UnknownNameError, SettingError for a name that stands twice.
    """
    baselines: list[JsonValue] = []
    for entry in entries:
        if not isinstance(entry, str):
            continue  # a method with settings: left to its check
        if entry not in METHODS and entry not in BASELINES:
            known = did_you_mean(entry, [*METHODS, *BASELINES])
            raise UnknownNameError(f"There is no method '{shown(entry)}': {known}")
        if entries.count(entry) > 1:
            raise SettingError(f"{said} names '{entry}' twice: remove one.")
        baselines += [entry] if entry not in METHODS else []
    chosen: Values = {"methods": [entry for entry in entries if entry not in baselines]}
    return {**chosen, "baselines": baselines} if baselines else chosen


def with_assignments(value: Values, assignments: list[str], where: str) -> Values:
    """`--set`: settings of runs, or keys of the study itself and of its data (`data.split=given`)."""
    return assigned(value, map(parse_assignment, assignments), "--set ")


def assigned(value: Values, given: Iterable[tuple[str, JsonValue]], said: str) -> Values:
    """A study with settings of runs, keys of its own, of its data and of its search. `said` stands before a key in
    messages."""
    settings, data = _mapping(value.get("settings")), _mapping(_as_mapping(value.get("data")))
    for key, chosen in given:
        head, _, name = key.partition(".")
        if head == "data" and name in DataSettings.model_fields:
            data[name] = chosen
        elif head == "data":
            raise UnknownNameError(f"{said}{shown(key)}: {did_you_mean(name, list(DataSettings.model_fields))}")
        elif head == "tuning" and name not in TUNING_KEYS:
            raise UnknownNameError(
                f"{said}{shown(key)}: {did_you_mean(name, TUNING_KEYS)} Ranges are set in a study file."
            )
        elif head == "tuning":
            value = {**value, "tuning": _tuning_with(value.get("tuning"), {name: chosen})}
        elif key in STUDY_KEYS:
            value = {**value, key: chosen}
        else:
            settings[key] = chosen
    return {**value, "settings": settings, **({"data": data} if data else {})}


def _as_mapping(data: JsonValue) -> JsonValue:
    return {"source": data} if isinstance(data, str) else data


def lines_that_keep(study: Study, assignments: list[str]) -> list[str]:
    """One sentence for each `--set` that does not reach every line, as some have a value of their own."""
    sentences = []
    given = {parse_assignment(text)[0] for text in assignments}
    for text in assignments:
        key, _ = parse_assignment(text)
        own = [
            str(entry.label or entry.method)
            for entry in [*study.methods, *study.runs]
            if key in entry.settings or f"{entry.method}.{key}" in study.settings.keys() - given
        ]
        if key in study.factors:
            sentences.append(f"--set {shown(text)} changes nothing where the study varies {key} as a factor.")
        elif own:
            sentences.append(f"--set {shown(text)} leaves out lines with a {key} of their own: {listed(own)}.")
    return sentences


def check_choice(option: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise SettingError where an option has none of its values."""
    if value not in allowed:
        raise SettingError(f"{option} {shown(value)}: {did_you_mean(value, allowed)}")
