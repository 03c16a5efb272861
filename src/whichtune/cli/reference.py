"""Documentation that is generated from the code: method cards and the settings reference."""

from __future__ import annotations

from collections.abc import Iterable
from types import UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from whichtune.baselines import BASELINES
from whichtune.embedded import RATES
from whichtune.methods import METHODS
from whichtune.study.data_settings import DataSettings
from whichtune.study.decide import Decide
from whichtune.study.spaces import Tuning
from whichtune.study.spec import Settings, Study
from whichtune.tasks import TASKS
from whichtune.tasks.classification.settings import ClassificationSettings
from whichtune.tasks.multilabel.settings import MultilabelSettings
from whichtune.tasks.regression.settings import RegressionSettings
from whichtune.tasks.tagging.settings import TaggingSettings

FAMILIES = (
    "a head on frozen features",
    "parts of the model",
    "the whole model",
    "adapters by PEFT",
    "virtual tokens",
    "the model as it is, asked in words",
    "of your own",
)


def by_family() -> dict[str, list[str]]:
    """The names of all methods by their family, in the order in which families are told."""
    known = list(dict.fromkeys([*FAMILIES, *(method.family for method in METHODS.values())]))
    found = {family: [name for name, method in METHODS.items() if method.family == family] for family in known}
    return {family: names for family, names in found.items() if names}


def type_words(annotation: object) -> str:
    """A type as users write it: the choices, or number, text, true or false."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_words(parts[0])
    if origin is Literal:
        return _quoted(parts)
    if origin in (Union, UnionType):
        return " or ".join(type_words(part) for part in parts)
    if origin is list:
        return f"list of {type_words(parts[0])}"
    if origin is dict:
        return "mapping"
    names: dict[object, str] = {
        bool: "true or false",
        int: "whole number",
        float: "number",
        str: "text",
        type(None): "null",
    }
    return names.get(annotation, "mapping")


def settings_table(model: type[BaseModel]) -> list[str]:
    """Markdown rows of a settings class."""
    lines = ["| setting | default | allowed | meaning |", "| --- | --- | --- | --- |"]
    choices = _open_choices(model)
    for name, field in model.model_fields.items():
        default = "" if field.is_required() else f"`{_yaml(field)}`"
        allowed = _quoted(choices[name]) if name in choices else type_words(field.annotation)
        meaning = f"{field.description or ''}{_of_each_task() if name == 'baselines' else ''}"
        lines.append(f"| `{name}` | {default} | {allowed} | {meaning} |".replace("\n", " "))
    return lines


def _open_choices(model: type[BaseModel]) -> dict[str, list[str]]:
    """Settings that take a name of something that is registered, with the names that there are."""
    tasks = list(TASKS.values())
    if model is Settings:
        return {"early_stopping": ["none", "primary", *dict.fromkeys(name for task in tasks for name in task.watched)]}
    if model is Study:
        metrics = ["auto", *dict.fromkeys(name for task in tasks for name in task.primary_metrics)]
        return {"task": list(TASKS), "primary_metric": metrics}
    return {}


def _of_each_task() -> str:
    """The baselines that stand where a study names none."""
    each = [f"{_quoted(task.default_baselines)} for {name}" for name, task in TASKS.items()]
    return f" ({'; '.join(each)})"


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _yaml(field: FieldInfo) -> str:
    """A default as it is written in a study file."""
    default = field.get_default(call_default_factory=True)
    if isinstance(default, BaseModel):
        return "..."
    if default is None or isinstance(default, bool):
        return {None: "null", True: "true", False: "false"}[default]
    return f"{default:g}" if isinstance(default, float) else str(default)


def method_card(name: str) -> str:
    """A method's card in Markdown."""
    method = METHODS[name]
    card = method.card
    rate = "none: nothing is learned by steps" if card.learning_rate is None else f"{card.learning_rate:g}"
    lines = [
        f"## {name}",
        "",
        f"{card.title}. {card.summary}" if card.title else card.summary,
        "",
        f"- **Trains**: {card.trains}",
        f"- **Use when**: {card.use_when}",
        f"- **Cost**: {card.cost}",
        f"- **Default learning rate**: {rate}{_other_rates(name)}{f'. {card.rate_note}' if card.rate_note else ''}",
        f"- **Stored of a run**: {card.stored}",
        f"- **Searched by `--tune`**: {_searched(name)}",
        f"- **Source**: {card.reference}",
    ]
    if method.Settings.model_fields:
        lines += ["", *settings_table(method.Settings)]
    return "\n".join(lines) + "\n"


def _other_rates(name: str) -> str:
    """Where another rate is the default."""
    texts, embedded = METHODS[name].card.learning_rate_of_texts, RATES.get(name)
    others = [] if texts is None else [f"{texts:g} where texts are written"]
    others += [] if embedded is None else [f"{embedded:g} for classes with the embedded model"]
    return f" ({'; '.join(others)})" if others else ""


def _searched(name: str) -> str:
    """A method's own ranges, around its own rate."""
    spaces = METHODS[name].spaces(METHODS[name].card.learning_rate)
    return "; ".join(f"`{setting}` {space.words()}" for setting, space in spaces.items()) or "nothing"


def methods_page() -> str:
    """docs/methods.md."""
    parts = [
        "# Methods",
        "",
        "Generated by `make docs` from the cards in the code. `whichtune methods --for MODEL` says which go with a",
        "model, what they train of it and how large a run's file is; [methods tested](methods-tested.md) which were",
        "tried in which families.",
        "",
    ]
    for family, names in by_family().items():
        parts += [f"# {family[:1].upper()}{family[1:]}", ""]
        parts += [method_card(name) for name in names]
    parts += ["# Baselines", ""]
    for name, baseline in BASELINES.items():
        parts += [f"## {name}", "", baseline.card.summary, "", f"- **Source**: {baseline.card.reference}", ""]
    return "\n".join(parts).rstrip() + "\n"


def settings_page() -> str:
    """docs/settings.md."""
    parts = [
        "# Settings",
        "",
        "Generated by `make docs` from the code. On the command line: `--set key=value`, or `--set METHOD.key=value`",
        "for one method; in a study file: under `settings:`. Settings of a method are on its card in `methods.md`.",
        "",
        "## Settings of a run",
        "",
        *settings_table(Settings),
        "",
        "## Classification",
        "",
        "Set as those of a run, where each text has a label. Validation and test losses stay plain cross-entropy;",
        "weights of classes do not reach `linear_probe` and `knn`, whose notes say so.",
        "",
        *settings_table(ClassificationSettings),
        "",
        "## Regression",
        "",
        "Set as those of a run, where each text has a number (`task: regression`, see `regression.md`).",
        "",
        *settings_table(RegressionSettings),
        "",
        "## Multilabel",
        "",
        "Set as those of a run, where each text has any number of labels (`task: multilabel`, see `multilabel.md`).",
        "",
        *settings_table(MultilabelSettings),
        "",
        "## Tagging",
        "",
        "Set as those of a run, where each word has a tag (`task: tagging`, see `tagging.md`).",
        "",
        *settings_table(TaggingSettings),
        "",
        "## Data",
        "",
        "In a study file under `data:`; on the command line `--data`, `--text-column`, `--label-column`,",
        "`--label-separator`, or `--set data.key=value`.",
        "",
        *settings_table(DataSettings),
        "",
        "## Study",
        "",
        "Top-level keys of a study file.",
        "",
        *settings_table(Study),
        "",
        "## Tuning",
        "",
        "In a study file under `tuning:`; on the command line `--tune`, `--tune-budget`, `--tune-strategy`, or",
        "`--set tuning.KEY=value` with `draws`, `budget`, `strategy` or `seed`. See `tuning.md`.",
        "",
        *settings_table(Tuning),
        "",
        "## Decide",
        "",
        "In a study file under `decide:`, or `decide: true`; on the command line `--decide`, `--max-seeds` and",
        "`--budget`. See [seeds where they are needed](statistics.md#seeds-where-they-are-needed).",
        "",
        *settings_table(Decide),
    ]
    return "\n".join(parts) + "\n"
