"""The model card of an exported row: what it is, what the study showed of it, what it cost, and how it is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from whichtune.handover.card_code import Card, is_chat, loading_lines
from whichtune.handover.told import SelfTest
from whichtune.metrics import metrics_of
from whichtune.metrics.table import Metric
from whichtune.report import words
from whichtune.report.tables import cells, escape, markdown_rows
from whichtune.report.view import View
from whichtune.wording import number, plural

if TYPE_CHECKING:
    from whichtune.handover.trained import Trained

COSTS = (
    ("training_seconds", "training, alone", lambda value: f"{number(value, 2)} s"),
    ("peak_memory_bytes", "peak memory in training", lambda value: f"{number(value / 2**20)} MiB"),
    ("trainable_parameters", "trainable parameters", lambda value: f"{value:,}"),
    ("adapter_bytes", "trained weights", lambda value: f"{number(value / 1e6, 3)} MB"),
    ("inference_ms", "one text", lambda value: f"{number(value, 2)} ms"),
    ("inference_ms_batch_32", "a text in a batch of 32", lambda value: f"{number(value, 2)} ms"),
)


DOES = {
    "classes": "puts a text into one of its classes",
    "numbers": "gives a number for a text",
    "labels": "gives a text any number of its labels",
    "tags": "gives each word of a text a tag",
}


def write_card(card: Card, folder: Path) -> None:
    parts = [_front(card), _title(card), _loading(card), _use(card), _evidence(card), _cost(card), _data(card)]
    (folder / "README.md").write_text("\n".join(line for part in parts for line in [*part, ""]), encoding="utf-8")


def _front(card: Card) -> list[str]:
    """What the Hub reads: YAML, each value as JSON, which YAML is too."""
    told, trained = card.told, card.trained
    library = {"transformers": "transformers", "peft": "peft", "onnx": "onnx"}[told.form]
    task = "token-classification" if told.answers == "tags" else "text-classification"
    task = "text-generation" if told.kind == "words" else task
    lines = ["---", f"library_name: {library}", f"pipeline_tag: {task}", "tags: [whichtune]"]
    if trained is not None and not trained.base_is_local:
        lines.append(f"base_model: {json.dumps(trained.base_name)}")
    if trained is not None and (licence := licence_of(trained.base)) is not None:
        lines.append(f"license: {json.dumps(licence)}")
    return [*lines, "---"]


def licence_of(base: Path) -> str | None:
    """The licence that a pretrained model's card or configuration names; None where neither does."""
    import yaml

    try:
        text = (base / "README.md").read_text(encoding="utf-8")
        front = yaml.safe_load(text.split("---")[1]) if text.startswith("---") else None
        named = front.get("license") if isinstance(front, dict) else None
        if named is None:
            named = json.loads((base / "config.json").read_text(encoding="utf-8")).get("license")
    except (OSError, ValueError, IndexError, yaml.YAMLError):
        return None
    return named if isinstance(named, str) else None


def _title(card: Card) -> list[str]:
    told, record = card.told, card.record
    seed = "" if record.seed is None else f", seed {record.seed}"
    made = f"from the study {_code(card.summary.study.name)} by whichtune {told.whichtune}"
    lines = [
        f"# {escape(record.label)}",
        "",
        f"The row {_code(record.label)}{seed} {made}: method {_code(record.method)}, run {_code(record.run_id)}.",
    ]
    if card.trained is not None:
        lines += ["", _base_sentence(card.trained)]
    lines += _outputs_lines(told)
    if told.threshold is not None:
        lines += [f"{_code(told.labels[1])} is the answer where its probability is {told.threshold:.6g} or more."]
    lines += [f"\n{escape(note)}" for note in card.notes]
    return lines


def _outputs_lines(told: SelfTest) -> list[str]:
    """What the model's outputs stand for, and what its texts are."""
    names = ", ".join(_code(name) for name in told.labels)
    lines = []
    if told.ordered:
        classes = ", ".join(f"{place} {_code(name)}" for place, name in enumerate(told.ordered))
        lines = ["", f"It gives one number, {names}, whose nearest whole one is the place of a class: {classes}."]
    elif told.answers == "numbers":
        lines = ["", f"It gives one number, {names}, in the unit of the study's data: nothing is left to turn back."]
    elif told.answers == "labels":
        pairs = zip(told.labels, told.thresholds, strict=True)
        each = ", ".join(f"{_code(name)} {least:.4g}" for name, least in pairs)
        lines = ["", f"Labels, in the order of the logits, each given from this probability on: {each}."]
    elif told.answers == "tags":
        lines = ["", f"Tags, in the order of the logits: {names}. An entity begins at `B` and goes on at `I` (IOB2)."]
    elif told.labels:
        lines = ["", f"Classes, in the order of the logits: {names}."]
    if told.fields:
        how = "as a pair" if told.template is None else "as one text, by the template below"
        lines += ["", f"A text has the fields {', '.join(_code(name) for name in told.fields)}, read {how}."]
    return lines


def _base_sentence(trained: Trained) -> str:
    licence = licence_of(trained.base)
    if trained.base_is_local:
        name = f"{_code(trained.base_shown)}, a folder of the machine that made this"
    else:
        name = f"[{trained.base_name}](https://huggingface.co/{trained.base_name})"
        name += f", revision {_code(trained.base_revision)}" if trained.base_revision else ""
    terms = f"Its licence is {_code(licence)}." if licence else "It does not say its licence here: see its own card."
    drawn = " Its weights were drawn at random." if trained.spec.weights == "random" else ""
    return f"The pretrained model is {name}.{drawn} {terms}"


def _code(text: object) -> str:
    return f"`{' '.join(str(text).split()).replace('`', '')}`"


# -- loading -----------------------------------------------------------------------------------------


def _loading(card: Card) -> list[str]:
    told = card.told
    lines = ["## Loading it", "", "```python", *loading_lines(card), "```", ""]
    if told.kind == "texts":
        lines.append("Texts are given in lower case, as `str.lower` makes it.")
    elif told.kind == "words":
        lines.append(_prompt_words(card))
    else:
        end = "beginning" if _cuts_beginning(card) else "end"
        lines.append(
            f"The tokenizer cuts texts to {plural(told.context_length, 'token')}, at their {end}, and pads as the "
            "study did."
        )
        if told.tag_token is not None:
            lines.append(
                f"Words have one blank between and are read at their {told.tag_token} token; punctuation is a word of "
                "its own where it was in the training data. A word that is cut off is O."
            )
    if told.form == "peft" and card.trained is not None and card.trained.base_is_local:
        lines.append(
            "The pretrained model is looked for where it lay: elsewhere, load it yourself and give it to "
            "`PeftModel.from_pretrained(model, folder)`."
        )
    lines += [
        "",
        f"Tested versions are in `requirements.txt`. `whichtune selftest FOLDER` asks {_selftest_words(told)}.",
    ]
    if card.difference is not None:
        what = (
            "number"
            if told.answers == "numbers"
            else "probability"
            if told.kind == "texts" or told.answers == "tags"
            else "logit"
        )
        lines.append(f"At export the largest difference of a {what} to the recorded ones was {card.difference:.1e}.")
    if told.opset is not None:
        lines.append(f"The graph has opset {told.opset}; both of its axes, batch and length, are open.")
    return lines


def _prompt_words(card: Card) -> str:
    """How the study made a prompt of a text, beyond what the code above does."""
    assert card.trained is not None
    if is_chat(card):
        together = plural(card.told.context_length, "token")
        return f"A conversation and its answer have {together} together; a longer one loses its beginning."
    own = card.trained.spec.task_settings
    done = [
        name
        for key, name in (("lower_case", "in lower case"), ("remove_punctuation", "without punctuation"))
        if own.get(key)
    ]
    room = (card.record.room or {}).get("source")
    cut = f", and has at most {plural(room, 'token')}" if room else ""
    read = f" A text is read {' and '.join(done)}." if done else ""
    return (
        f"In the study the template's words and the text became tokens apart, so that none spans both{cut}; a prompt "
        f"and what is written after it have {plural(card.told.context_length, 'token')} together.{read}"
    )


def _cuts_beginning(card: Card) -> bool:
    return card.trained is not None and card.trained.spec.long_texts_keep == "tail"


def _selftest_words(told: SelfTest) -> str:
    texts = (
        "test texts of the study, which stand in `selftest.json`" if told.texts_from == "study" else "invented texts"
    )
    return f"{len(told.texts)} {texts}, whether it still answers as it did"


# -- evidence ----------------------------------------------------------------------------------------


def _use(card: Card) -> list[str]:
    test = card.record.metrics.test
    count = "no test texts" if test is None else plural(test.n, "test text")
    study, told = card.summary.study, card.told
    kind = "writes a text after another" if told.kind == "words" else DOES[told.answers]
    return [
        "## Intended use",
        "",
        f"It {kind}, on texts like those of the study {_code(study.name)}, which were judged on {count}. What it "
        "answers to other kinds of text was not measured.",
        *(f"- {escape(line)}" for line in (card.summary.verdict.does_not_show if card.summary.verdict else [])),
    ]


def _evidence(card: Card) -> list[str]:
    view = View(card.summary)
    verdict = card.summary.verdict
    lines = ["## Evidence", ""]
    if verdict is not None and verdict.headline:
        lines += [escape(verdict.headline), ""]
    if (own := _own_figures(card)) is not None:
        lines += [own, ""]
    lines += markdown_rows(*cells(view, beside=False))
    command = card.summary.study.command
    return [*lines, "", "Made by:", "", f"    {' '.join(command.split())}"] if command else lines


def _own_figures(card: Card) -> str | None:
    """The scores of the run itself, which is one seed of its row."""
    test = card.record.metrics.test
    if test is None:
        return None
    named = metrics_of("texts" if card.told.kind == "words" else card.told.answers)
    scores = [(metric, test.value(metric.name)) for metric in named]
    said = [f"{metric.title} {_figure(metric, value)}" for metric, value in scores if value is not None]
    return f"This run on {plural(test.n, 'test text')}: {', '.join(said)}."


def _figure(metric: Metric, value: float) -> str:
    return f"{words.percent(value)} %" if metric.unit == "points" else number(value, metric.digits)


def _cost(card: Card) -> list[str]:
    rows = []
    for name, title, show in COSTS:
        value = getattr(card.record.cost, name)
        rows.append([title, words.NOTHING if value is None else show(value)])
    machine = card.record.environment
    where = [] if machine is None else ["", f"Measured on {escape(machine.processor)}, {machine.device}."]
    return ["## Cost", "", *markdown_rows(["what", "cost of this run"], rows), *where]


def _data(card: Card) -> list[str]:
    prints = "; ".join(f"{name} {_code(value)}" for name, value in sorted(card.record.fingerprints.items()))
    return [
        "## Data",
        "",
        "The training texts are not here. By sha256 they and what the run began with are told from others: "
        f"{prints or 'none was recorded'}.",
    ]
