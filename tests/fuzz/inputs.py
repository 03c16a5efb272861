"""Inputs by a seed: what users mistype, what other programs write, and what nobody would write on purpose.

Every kind draws from a generator of its own, so that the same number is the same input whichever others are made.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args, get_origin

from fuzz.harness import Case
from whichtune.expansion.merging import setting_names
from whichtune.methods import METHODS
from whichtune.study.data_settings import DataSettings
from whichtune.study.spaces import Tuning
from whichtune.study.spec import Settings, Study

ODD_TEXTS = [
    "",
    " ",
    "nope",
    "head_only",
    "é",
    "\t",
    "a b",
    "../x",
    "/dev/null",
    "~nobody",
    "null",
    "x" * 300,
    "0",
    "=",
    "*",
]
ODD_NUMBERS = [
    "0",
    "-1",
    "1",
    "2.5",
    "1e400",
    ".nan",
    ".inf",
    "-.inf",
    "1" * 30,
    "1" * 5000,
    "0x",
    "1_0",
    "٣",
    "5e-4",
    "1:30",
]
ODD_YAML = [
    "[]",
    "{}",
    "[[1]]",
    "{a: {b: c}}",
    "true",
    "null",
    "2024-01-01",
    "[1, a]",
    "&a [*a]",
    "!!set {a}",
    "'",
    "[",
]
ODD_YAML += ["{a: 1, a: 2}", "? [a]", "|\n  x", "!x 1", "*b", "[null]", "['', '']", "- - -", '"\\0"', '"\\ud800"']
CONFIG_KEYS = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "model_type", "architectures", "torch_dtype")
CONFIG_KEYS += ("activation_function", "eos_token_id", "pad_token_id", "n_inner", "dtype", "tie_word_embeddings")
ODD_JSON: list[object] = [None, 0, -1, 1, 7, 2**40, 1.5, True, "", "x", [], {}, [1], {"a": 1}, 10**30]


@dataclass(frozen=True)
class Bases:
    """What is right, and is then spoilt: data, a model's folder, a finished study's folder."""

    data: Path
    model: Path
    study: Path


def cases(kind: str, number: int, bases: Bases, seed: int = 0) -> list[Case]:
    """So many inputs of a kind."""
    found = []
    for place in range(number):
        rng = random.Random(f"{seed}/{kind}/{place}")
        found.append(KINDS[kind](rng, bases))
    return found


def _odd(rng: random.Random) -> str:
    return rng.choice(rng.choice([ODD_TEXTS, ODD_NUMBERS, ODD_YAML]))


def _value(rng: random.Random, annotation: object) -> str:
    """As often one that its kind allows, so that what comes after its check is reached, too."""
    if rng.random() < 0.5:
        return _odd(rng)
    choices = [str(choice).lower() for part in (annotation, *get_args(annotation)) for choice in _choices(part)]
    return rng.choice([*choices, "1", "2", "3", "0.1", "0.5", "true", "false", "100000"])


def _choices(annotation: object) -> tuple[object, ...]:
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _base(bases: Bases) -> list[str]:
    return ["compare", "--data", str(bases.data), "--model", str(bases.model), "--dry-run"]


def _settings(rng: random.Random, bases: Bases) -> Case:
    """One to three settings by `--set`, with values that may mean nothing."""
    known = [*setting_names(Study()), *(f"data.{name}" for name in DataSettings.model_fields)]
    known += [f"tuning.{name}" for name in Tuning.model_fields] + ["margin", "name", "baselines", "primary_metric"]
    words = []
    for _ in range(rng.randint(1, 3)):
        key = rng.choice(known) if rng.random() < 0.9 else rng.choice(ODD_TEXTS)
        field = Settings.model_fields.get(key) or DataSettings.model_fields.get(key.removeprefix("data."))
        words += ["--set", f"{key}={_value(rng, field.annotation if field else None)}"]
    return Case((*_base(bases), "--methods", rng.choice([*METHODS, "lora,full"]), *_without_nulls(words)))


def _without_nulls(words: list[str]) -> list[str]:
    return [word.replace("\0", "") for word in words]  # no shell can give them


FLAGS = ("--data", "--text-column", "--label-column", "--target-column", "--task", "--model", "--methods", "--seeds")
FLAGS += ("--tune", "--tune-budget", "--plan", "--device", "--save", "--out", "--logger", "--threads", "--jobs")
FLAGS += ("--cache-limit", "--executor", "--plugin", "--nope", "--set")


def _flags(rng: random.Random, bases: Bases) -> Case:
    words = [*_base(bases), "--methods", "head_only"]
    for _ in range(rng.randint(1, 2)):
        words += [rng.choice(FLAGS), *([_odd(rng)] if rng.random() < 0.95 else [])]
    return Case(tuple(words), kind="flags")


COMMANDS = ("plan", "reproduce", "experiment", "studies", "show", "report", "predict", "methods", "cache")
OPTIONS = ("--row", "--rows", "--seeds", "--check", "--json", "--set", "--weights", "--plan", "--device", "--save")
OPTIONS += ("--model_size", "--trainable_layers", "--trainable_token_pos", "--context_length", "--lora_rank", "--seed")
OPTIONS += ("--text-column", "--threads", "--out", "--jobs", "--no_padding", "--batch_size")


def _commands(rng: random.Random, bases: Bases) -> Case:
    """Every other command. What could train runs is given `--dry-run`, or data that are not there."""
    command = rng.choice(COMMANDS)
    words = [command]
    if command == "experiment":
        words += ["--model", str(bases.model), "--data", "nothing.csv"]
    elif command == "reproduce":
        name = rng.choice(["sms-spam", "imdb", "nope", ""])
        words += [name, "--dry-run", "--data", rng.choice(["messages", "nothing.csv", ""]), "--model", str(bases.model)]
    elif command == "plan":
        words += ["--data", str(bases.data), "--model", str(bases.model), "--methods", rng.choice(["full", "", "x"])]
    elif command == "studies":
        words += rng.choice([[], ["sms-spam"], ["cnn-dailymail"], ["demo"], ["nope"], [""]])
    elif command in ("show", "report"):
        words += [rng.choice([str(bases.data), "nothing", "", "/dev/null", "."])]
    elif command == "predict":
        words += [
            str(bases.study),
            rng.choice(["majority", "", "nope", "0"]),
            rng.choice([str(bases.data), "", "/dev/null"]),
        ]
    for _ in range(rng.randint(0, 2)):
        words += [rng.choice(OPTIONS), *([_odd(rng)] if rng.random() < 0.9 else [])]
    return Case(tuple(word for word in words if word != "--clear"), kind="commands")


def _study_files(rng: random.Random, bases: Bases) -> Case:
    """A study's YAML with one to three keys spoilt, or with its bytes spoilt."""
    lines = {"data": str(bases.data), "model": str(bases.model), "methods": "[head_only, lora]", "seeds": "[0]"}
    for _ in range(rng.randint(1, 3)):
        key = rng.choice([*Study.model_fields, rng.choice(ODD_TEXTS)])
        field = Study.model_fields.get(key)
        lines[key] = _value(rng, field.annotation if field else None)
        if rng.random() < 0.4:
            inner = rng.choice([*Tuning.model_fields, *DataSettings.model_fields, "epochs", "head_only", "a", "method"])
            lines[key] = f"{{{inner}: {lines[key]}}}"
    content = "".join(f"{key}: {value}\n" for key, value in lines.items()).encode("utf-8", "surrogatepass")
    if rng.random() < 0.3:
        content = _spoilt(rng, content)
    return Case(("compare", "s.yaml", "--dry-run"), {"s.yaml": content}, "study files")


def _spoilt(rng: random.Random, content: bytes) -> bytes:
    """Bytes put in, taken out, doubled, or in another encoding."""
    how = rng.randint(0, 5)
    at = rng.randrange(len(content) + 1)
    if how == 0:
        return content[:at] + bytes(rng.randrange(256) for _ in range(rng.randint(1, 4))) + content[at:]
    if how == 1:
        return content[:at]
    if how == 2:
        return content[:at] + content[at:] * 2
    if how == 3:
        return content.decode("utf-8", "replace").encode(rng.choice(["utf-16", "utf-32", "utf-8-sig", "utf-16-le"]))
    if how == 4:
        return content.replace(b"\n", rng.choice([b"\r", b"\r\n", b"\n\n", b"\n\t", b" "]))
    return content.replace(rng.choice([b":", b"[", b",", b'"', b"a"]), rng.choice([b"", b"\t", b"::", b"\xff", b"\0"]))


def _data_files(rng: random.Random, bases: Bases) -> Case:
    """A few rows in a file of any kind, spoilt."""
    rows = [
        {"text": f"message {i} {rng.choice(ODD_TEXTS)}", "label": rng.choice("ab")} for i in range(rng.randint(0, 40))
    ]
    ending = rng.choice(["csv", "tsv", "jsonl", "json", "txt", "parquet", "csv.gz"])
    if ending in ("jsonl", "json"):
        text = "\n".join(json.dumps(row) for row in rows)
    else:
        mark = "\t" if ending == "tsv" else rng.choice([",", ";", "\t"])
        text = f"text{mark}label\n" + "".join(f"{row['text']}{mark}{row['label']}\n" for row in rows)
    content = text.encode()
    if rng.random() < 0.7:
        content = _spoilt(rng, content)
    words = ("compare", "--data", f"d.{ending}", "--model", str(bases.model), "--methods", "head_only", "--dry-run")
    return Case(words, {f"d.{ending}": content}, "data files")


def _model_folders(rng: random.Random, bases: Bases) -> Case:
    """A saved model with its configuration, or one of its files, spoilt."""
    files = {path.name: path.read_bytes() for path in bases.model.iterdir() if path.is_file()}
    config = json.loads(files["config.json"])
    how = rng.random()
    if how < 0.6:
        for _ in range(rng.randint(1, 2)):
            key = rng.choice(CONFIG_KEYS)
            config[key] = rng.choice(ODD_JSON)
            if rng.random() < 0.2:
                del config[key]
        files["config.json"] = json.dumps(config).encode()
    elif how < 0.9:
        name = rng.choice(sorted(files))
        files[name] = _spoilt(rng, files[name]) if len(files[name]) < 10_000_000 else b""
    else:
        del files[rng.choice(sorted(files))]
    words = ("compare", "--data", str(bases.data), "--model", "{here}/m", "--methods", "lora", "--dry-run")
    return Case(words, {f"m/{name}": content for name, content in files.items()}, "model folders")


def _study_folders(rng: random.Random, bases: Bases) -> Case:
    """A finished study's folder with one file spoilt: what is stored is read, or told to be broken."""
    files = {str(p.relative_to(bases.study)): p.read_bytes() for p in bases.study.rglob("*") if p.is_file()}
    readable = sorted(name for name in files if name.endswith((".json", ".jsonl", ".parquet")))
    name = rng.choice(readable)
    how = rng.random()
    if how < 0.45 and name.endswith(".json"):
        files[name] = json.dumps(_edited(rng, json.loads(files[name]))).encode()
    elif how < 0.9:
        files[name] = _spoilt(rng, files[name])
    else:
        del files[name]
    words = rng.choice(
        [("show", "s"), ("show", "s", "majority"), ("report", "s", "--no-figures"), ("show", "s", "--json")]
    )
    return Case(words, {f"s/{name}": content for name, content in files.items()}, "study folders")


def _edited(rng: random.Random, value: object) -> object:
    """One value somewhere within another one."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(sorted(value))
        return {**value, key: _edited(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        return [*value[:at], _edited(rng, value[at]), *value[at + 1 :]]
    return rng.choice(ODD_JSON)


KINDS: dict[str, Callable[[random.Random, Bases], Case]] = {
    "settings": _settings,
    "flags": _flags,
    "commands": _commands,
    "study files": _study_files,
    "data files": _data_files,
    "model folders": _model_folders,
    "study folders": _study_folders,
}
