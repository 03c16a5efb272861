"""One run by the flags of the published SMS-spam script, with that script's semantics."""

from __future__ import annotations

import re
from dataclasses import dataclass

from whichtune.errors import SettingError
from whichtune.published.presets import read_preset
from whichtune.published.reproduce import local_copy
from whichtune.records.events import Event
from whichtune.records.record import SPLITS, Metrics, RunRecord
from whichtune.registry import did_you_mean
from whichtune.study.load import parse_study
from whichtune.study.spec import Study
from whichtune.wording import shown

MODEL_SIZES = {
    "gpt2-small (124M)": "openai-community/gpt2",
    "gpt2-medium (355M)": "openai-community/gpt2-medium",
    "gpt2-large (774M)": "openai-community/gpt2-large",
    "gpt2-xl (1558M)": "openai-community/gpt2-xl",
}
TRAINABLE_LAYERS = {
    "all": "full",
    "last_block": "last_block",
    "last_two_blocks": "last_two_blocks",
    "last_layer": "head_only",
    "lora": "lora",
    "lora_alternative": "lora",  # the same function, computed from merged weights
}
TOKEN_POSITIONS = {"first": "first", "last": "last", "flexible": "last_nonpad"}
CONTEXT_LENGTHS = {"longest_training_example": "longest", "model_context_length": "model"}
NO_LABEL = -100


@dataclass(frozen=True)
class Flags:
    """The script's flags with its defaults, and where model and data are."""

    model_size: str = "gpt2-small (124M)"
    weights: str = "pretrained"
    trainable_layers: str = "last_block"
    trainable_token_pos: str = "last"
    average_embeddings: bool = False
    context_length: str = "longest_training_example"
    lora_rank: int = 8
    lora_alpha: int = 8
    no_padding: bool = False
    num_epochs: int = 5
    batch_size: int = 8
    accumulation_steps: int = 1
    disable_causal_mask: bool = False
    ignore_index: int = NO_LABEL
    model: str | None = None
    data: str = "sms_spam"
    seed: int = 123
    device: str = "auto"


def experiment_study(flags: Flags) -> Study:
    """A study of one run. Raises SettingError for a value that the script does not know.

    `ignore_index` is left out whatever its value: the script never passes it to its training loss.
    """
    preset = read_preset("sms-spam")
    method = _choose("--trainable_layers", flags.trainable_layers, TRAINABLE_LAYERS)
    own: dict[str, object] = {
        "token_position": _token_position(flags),
        "context_length": _context_length(flags.context_length),
        "causal_mask": not flags.disable_causal_mask,
        "weights": _choose("--weights", flags.weights, {"pretrained": "pretrained", "random": "random"}),
        "epochs": flags.num_epochs,
        "batch_size": flags.batch_size,
        "accumulation_steps": flags.accumulation_steps,
    }
    if flags.no_padding:
        if flags.batch_size != 1:
            raise SettingError("--no_padding needs --batch_size 1: texts of different lengths make no batch.")
        own |= {"padding": "none", "context_length": "model"}  # without padding the script cuts nothing
    if method == "lora":
        own |= {"lora_rank": flags.lora_rank, "lora_alpha": flags.lora_alpha, "lora_scaling": "alpha"}
        own |= {"lora_initialisation": "reference", "lora_head": True}
    value = {
        "name": "experiment",
        "data": local_copy(flags.data),
        "model": flags.model or _model_of(flags.model_size),
        "seeds": [flags.seed],
        "device": flags.device,
        "baselines": [],
        "primary_metric": "accuracy",
        "settings": preset["settings"],
        "runs": [{"method": method, "label": "experiment", "settings": own}],
    }
    return parse_study(value, "The command")


def _choose(flag: str, value: str, allowed: dict[str, str]) -> str:
    if value not in allowed:
        raise SettingError(f"{flag} {shown(value)}: {did_you_mean(value, allowed)}")
    return allowed[value]


def _token_position(flags: Flags) -> str:
    """Averaging goes over all positions, whichever of first and last is named; `flexible` ignores it."""
    position = _choose("--trainable_token_pos", flags.trainable_token_pos, TOKEN_POSITIONS)
    return "mean" if flags.average_embeddings and position != "last_nonpad" else position


def _context_length(value: str) -> str | int:
    if re.fullmatch(r"\d{1,9}", value, re.ASCII):
        return int(value)
    return _choose("--context_length", value, CONTEXT_LENGTHS)


def _model_of(size: str) -> str:
    short = {name.split()[0]: name for name in MODEL_SIZES}
    return MODEL_SIZES[short[size]] if size in short else _choose("--model_size", size, MODEL_SIZES)


def loss_line(event: Event) -> str | None:
    """What the script tells while it trains: two losses at an interval, two accuracies after an epoch."""
    if event["event"] != "point":
        return None
    if event.get("end_of_epoch"):
        train, validation = 100 * event["train_accuracy"], 100 * event["validation_accuracy"]
        return f"epoch {event['epoch']:.0f} done: train accuracy {train:.2f} %, validation accuracy {validation:.2f} %"
    losses = f"train loss {event['train_loss']:.3f}, validation loss {event['validation_loss']:.3f}"
    return f"epoch {int(event['epoch'] - 1e-9) + 1}, batch {event['batch']:06d}: {losses}"


def final_lines(run: RunRecord) -> list[str]:
    """The three accuracies and the time of a completed run, from its record."""
    cost = run.cost
    seconds = sum(spent or 0.0 for spent in (cost.training_seconds, cost.curve_seconds))
    figures = [(split, run.metrics.of(split)) for split in SPLITS]
    return [
        f"trained in {seconds / 60:.2f} minutes",
        *(f"{split} accuracy {100 * part.accuracy:.2f} %" for split, part in figures if isinstance(part, Metrics)),
    ]
