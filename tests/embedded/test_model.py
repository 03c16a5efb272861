"""The embedded model is what its folder says, and has learned English."""

from __future__ import annotations

import csv
import json
import math
import re
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from whichtune.embedded import dataset_path, model_path

SCRIPTS = Path(__file__).parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
from pretrain_tiny_gpt2 import validation_loss  # noqa: E402
from pretraining_text import encode, read_articles  # noqa: E402

CORPUS = Path(__file__).parents[3] / "shared/data/wikipedia-corpus"


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(model_path(), dtype=torch.float32)


@pytest.fixture(scope="module")
def figures() -> dict[str, float]:
    """The card's table of bits per byte."""
    card = (model_path() / "README.md").read_text(encoding="utf-8")
    return {name: float(value) for name, value in re.findall(r"^\| (.+?) \| ([\d.]+) \|$", card, re.MULTILINE)}


def test_the_folder_holds_a_gpt2_in_float16() -> None:
    config = AutoConfig.from_pretrained(model_path())
    assert config.model_type == "gpt2"
    assert config.n_layer >= 4
    assert config.n_positions >= 512
    with safe_open(model_path() / "model.safetensors", "pt") as weights:
        assert {weights.get_tensor(name).dtype for name in weights.keys()} == {torch.float16}  # noqa: SIM118
    assert AutoModel.from_pretrained(model_path()).config.n_embd == config.n_embd


def test_the_tokenizer_returns_every_text_and_pads_with_its_end() -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_path())
    assert len(tokenizer) == AutoConfig.from_pretrained(model_path()).vocab_size
    assert tokenizer.pad_token == tokenizer.eos_token == "<|endoftext|>"
    for text in ("Pay £45 today!", "  two  spaces\n\nand lines", "Žižek 日本 🙂", "don't"):
        assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_settings_and_log_are_of_one_finished_run() -> None:
    settings = json.loads((model_path() / "pretraining_settings.json").read_text())
    log = [json.loads(line) for line in (model_path() / "pretraining_log.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in log]
    assert steps == sorted(set(steps))
    assert steps[-1] == settings["steps"]
    assert log[-1]["learning_rate_factor"] < 0.01
    validation = [line["validation_loss"] for line in log if "validation_loss" in line]
    assert validation[-1] == min(validation)


def test_the_card_sets_the_model_beside_simpler_means(figures: dict[str, float]) -> None:
    assert figures["this model"] < figures["xz -9e after the training text"] < figures["xz -9e"]
    assert figures["5-gram of the same tokens, Kneser-Ney"] < figures["unigram of the same tokens"]
    assert figures["this model"] < figures["unigram of the same tokens"] - 0.8


def test_the_credits_name_every_article() -> None:
    with (model_path() / "CREDITS.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len({row["page_id"] for row in rows}) == len(rows)
    assert f"{len(rows)} featured and good articles" in (model_path() / "README.md").read_text()


@pytest.mark.slow
def test_the_weights_give_the_figure_in_the_card(model: PreTrainedModel, figures: dict[str, float]) -> None:
    """On the first ninth of the validation text; articles differ, so the bound is wide."""
    if not CORPUS.is_dir():
        pytest.skip("the corpus is not here (../shared/data/wikipedia-corpus)")
    tokenizer = AutoTokenizer.from_pretrained(model_path())
    articles = read_articles(CORPUS / "valid.txt.xz")[:4]
    tokens = encode(articles, tokenizer)
    nats = validation_loss(model, tokens, 512) * len(tokens)
    per_byte = nats / math.log(2) / sum(len((article + "\n").encode()) for article in articles)
    assert per_byte == pytest.approx(figures["this model"], abs=0.2)


def test_the_order_of_words_matters_to_it(model: PreTrainedModel) -> None:
    """Messages are likelier than the same words backwards, which frequencies cannot tell apart."""
    tokenizer = AutoTokenizer.from_pretrained(model_path())
    with (dataset_path("messages") / "test.csv").open(encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)][:60]

    def loss(text: str) -> float:
        ids = tokenizer(text, return_tensors="pt").input_ids
        with torch.no_grad():
            return float(model(input_ids=ids, labels=ids).loss)

    better = sum(loss(text) < loss(" ".join(reversed(text.split()))) for text in texts)
    assert better >= 0.9 * len(texts)
