"""A tiny pretrained language model and four generated data sets, inside the package.

Only paths and facts: importing this loads neither torch nor pandas.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from whichtune.embedded import (
    generate_booked_trips,
    generate_messages,
    generate_open_matters,
    generate_support_requests,
)
from whichtune.embedded.grammar import LABEL_NOISE, SIZES
from whichtune.errors import UnknownNameError
from whichtune.registry import did_you_mean

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class EmbeddedDataset:
    """Facts of a data set. `bayes_limit` is the best accuracy that can be expected of any classifier."""

    description: str
    classes: tuple[str, ...]
    bayes_limit: float
    sizes: dict[str, int]


DATASETS: dict[str, EmbeddedDataset] = {
    "messages": EmbeddedDataset(
        description="short generated messages, spam or not; word order and context decide",
        classes=generate_messages.LABELS,
        bayes_limit=1 - LABEL_NOISE,
        sizes=SIZES,
    ),
    "support_requests": EmbeddedDataset(
        description="generated requests of a shop's customers, by the department that must act",
        classes=generate_support_requests.LABELS,
        bayes_limit=1 - LABEL_NOISE,
        sizes=SIZES,
    ),
}


@dataclass(frozen=True)
class EmbeddedLabelSets:
    """Facts of a data set whose texts have any number of labels. `least_hamming_loss` is the best to be expected."""

    description: str
    labels: tuple[str, ...]
    least_hamming_loss: float
    sizes: dict[str, int]


LABEL_SETS: dict[str, EmbeddedLabelSets] = {
    "open_matters": EmbeddedLabelSets(
        description="generated messages of a shop's customers, by every matter in them that is still open",
        labels=generate_open_matters.LABELS,
        least_hamming_loss=LABEL_NOISE,
        sizes=SIZES,
    ),
}


@dataclass(frozen=True)
class EmbeddedTags:
    """Facts of a data set whose words have tags. `noise` is the share of entities that lose their tags, and that of
    those that get another type's; `best_f1` the best entity F1 on test to be expected of any tagger."""

    description: str
    types: tuple[str, ...]
    noise: float
    best_f1: float
    sizes: dict[str, int]


TAGGED: dict[str, EmbeddedTags] = {
    "booked_trips": EmbeddedTags(
        description="generated messages to a travel agency, with who is to travel, from where, to where and when",
        types=generate_booked_trips.TYPES,
        noise=generate_booked_trips.NOISE,
        best_f1=0.9697,
        sizes=SIZES,
    ),
}


# Learning rates of classification with the embedded model: one of 2.7 million parameters wants larger ones than the
# cards' defaults, which are for models of usual size. Chosen on validation splits: benchmarks/default_rates.md.
RATES = {
    "last_block": 1.5e-3,
    "last_blocks": 4e-3,
    "last_two_blocks": 4e-3,
    "full": 2e-3,
    "lora": 3e-3,
    "lora_plus": 3e-4,
    "dora": 3e-3,
    "rslora": 1e-3,
    "pissa": 1e-3,
    "loha": 1e-2,
    "lokr": 3e-2,
    "miss": 3e-3,
    "shira": 1e-2,
    "ia3": 1e-1,
    "prefix_tuning": 3e-2,
    "p_tuning": 3e-2,
    "bitfit": 1e-2,
    "norm_only": 3e-2,
    "ln_tuning": 3e-2,
    "lp_ft": 1e-3,
    "gradual_unfreezing": 1e-3,
}


def model_path() -> Path:
    """Folder of the embedded model, which `AutoModelForCausalLM` and `AutoTokenizer` load."""
    return _FOLDER / "tiny-gpt2"


def demo_path() -> Path:
    """The study of `whichtune demo`."""
    return _FOLDER / "demo.yaml"


def usual_path() -> Path:
    """The rows of a study of classification that names no methods."""
    return _FOLDER / "usual.yaml"


def dataset_path(name: str) -> Path:
    """Folder with the files train, validation and test: CSV with columns text and label, JSONL with text and labels, or
    CoNLL with a word and its tag a line.

    Raises `UnknownNameError` for a name that is in none of `DATASETS`, `LABEL_SETS` and `TAGGED`.
    """
    known = [*DATASETS, *LABEL_SETS, *TAGGED]
    if name not in known:
        raise UnknownNameError(f"There is no embedded data set '{name}'; {did_you_mean(name, known)}")
    return _FOLDER / name
