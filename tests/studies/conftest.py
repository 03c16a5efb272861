"""A small GPT-2 configuration with the embedded tokenizer, and a small spam collection, both real files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from studies.plain_reference import Shape

SHAPE = Shape(vocabulary=4096, positions=64, width=32, layers=3, heads=4)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration and a tokenizer, but no weights."""
    from transformers import AutoTokenizer, GPT2Config

    from whichtune.embedded import model_path

    folder = tmp_path_factory.mktemp("mini")
    config = GPT2Config(
        vocab_size=SHAPE.vocabulary,
        n_positions=SHAPE.positions,
        n_embd=SHAPE.width,
        n_layer=SHAPE.layers,
        n_head=SHAPE.heads,
        bos_token_id=0,
        eos_token_id=0,
    )
    config.save_pretrained(folder)
    AutoTokenizer.from_pretrained(model_path()).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated messages in the layout of the SMS Spam Collection: 75 spam, 100 ham."""
    from whichtune.data.splits import load_dataset
    from whichtune.study.data_settings import DataSettings

    train = load_dataset(DataSettings(source="messages")).splits["train"]
    wanted, lines = {1: 75, 0: 100}, []
    for text, label in zip(train.texts, train.labels.tolist(), strict=True):
        if wanted[label] and '"' not in text:
            wanted[label] -= 1
            lines.append(f"{'spam' if label else 'ham'}\t{' '.join(text.split())}\n")
    assert wanted == {1: 0, 0: 0}
    path = tmp_path_factory.mktemp("data") / "collection.tsv"
    path.write_text("".join(lines), encoding="utf-8")
    return path


def small_copy(named: str, collection: Path, folder: Path) -> Path | None:
    """A few generated texts in the layout of a named data set; None for those that the package holds."""
    if named == "sms_spam":
        return collection
    if named not in ("imdb", "cnn_dailymail"):
        return None
    texts = [line.partition("\t")[2] for line in collection.read_text(encoding="utf-8").splitlines()]
    place = folder / named
    place.mkdir()
    for i, split in enumerate(("train", "validation", "test")):
        part = texts[16 * i : 16 * i + 16]
        if named == "imdb":
            rows = [{"text": text, "label": j % 2} for j, text in enumerate(part)]
        else:
            rows = [{"article": f"{text} And so on.", "highlights": " ".join(text.split()[:5])} for text in part]
        (place / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return place
