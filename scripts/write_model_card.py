"""Measure the embedded model beside simpler means and write its card.

    python scripts/write_model_card.py --corpus ../shared/data/wikipedia-corpus

Every figure is measured here or read from the settings and the log that lie beside the weights.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from pathlib import Path

import torch
from jinja2 import Environment, StrictUndefined
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from pretrain_tiny_gpt2 import validation_loss
from pretraining_text import corpus_file, encode, read_articles
from text_baselines import KneserNey, compressed_bits, unigram_nats
from whichtune.embedded import model_path

BITS = "bits per byte: "
PROMPTS = ["The city lies on the river", "In 1945 the ship", "Before you pay the fee,"]


def measure(folder: Path, corpus: Path) -> dict[str, float]:
    """Bits per byte of the validation text by each means, and what they rest on."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    articles = {split: read_articles(corpus_file(corpus, split)) for split in ("train", "valid")}
    tokens = {split: encode(rows, tokenizer) for split, rows in articles.items()}
    raw = {split: "".join(row + "\n" for row in rows).encode() for split, rows in articles.items()}
    loss = validation_loss(model, tokens["valid"], model.config.n_positions)
    # The model does not predict the very first token; it is charged as unknown.
    first = math.log(model.config.vocab_size)
    total = {"this model": loss * (len(tokens["valid"]) - 1) + first}
    end = tokenizer.eos_token_id
    five = KneserNey(tokens["train"], 5, model.config.vocab_size)
    total["5-gram of the same tokens, Kneser-Ney"] = five.nats(tokens["valid"], end)
    total["unigram of the same tokens"] = unigram_nats(tokens["train"], tokens["valid"], model.config.vocab_size)
    bits = {name: nats / math.log(2) for name, nats in total.items()}
    bits |= compressed_bits(raw["valid"], raw["train"])
    figures = {BITS + name: value / len(raw["valid"]) for name, value in bits.items()}
    figures |= {
        "loss": loss,
        "train_tokens": len(tokens["train"]),
        "validation_tokens": len(tokens["valid"]),
        "validation_bytes": len(raw["valid"]),
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    return figures


def continuations(folder: Path) -> list[str]:
    """What the model says after a few prompts: the first sample, whatever it is."""
    tokenizer: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    torch.manual_seed(0)
    texts = []
    for prompt in PROMPTS:
        inputs = tokenizer(prompt, return_tensors="pt")
        rows = model.generate(**inputs, do_sample=True, top_k=40, temperature=0.8, max_new_tokens=40)
        texts.append(" ".join(tokenizer.decode(rows[0], skip_special_tokens=True).split()))
    return texts


def write_credits(corpus: Path, folder: Path) -> int:
    """List the articles trained on (page id, title); returns how many."""
    with (corpus / "ATTRIBUTION.tsv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["split"] == "train"]
    lines = ["page_id\ttitle"] + [f"{row['page_id']}\t{row['title']}" for row in rows]
    (folder / "CREDITS.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(rows)


def card(folder: Path, figures: dict[str, float], articles: int, said: list[str]) -> str:
    """The model card, in Markdown."""
    settings = json.loads((folder / "pretraining_settings.json").read_text())
    log = (folder / "pretraining_log.jsonl").read_text().splitlines()
    table = [(key.removeprefix(BITS), value) for key, value in figures.items() if key.startswith(BITS)]
    options = [f"--{key.replace('_', '-')} {value}" for key, value in settings.items()]
    template = Environment(undefined=StrictUndefined, keep_trailing_newline=True).from_string(
        Path(__file__).with_name("model_card.md.jinja").read_text()
    )
    return template.render(
        figures=figures,
        settings=settings,
        last=json.loads(log[-1]),
        perplexity=math.exp(figures["loss"]),
        table=sorted(table, key=lambda row: row[1]),
        options=[" ".join(options[i : i + 4]) for i in range(0, len(options), 4)],
        articles=articles,
        said=said,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=model_path())
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    figures = measure(arguments.model, arguments.corpus)
    articles = write_credits(arguments.corpus, arguments.model)
    text = card(arguments.model, figures, articles, continuations(arguments.model))
    (arguments.model / "README.md").write_text(text, encoding="utf-8")
    json.dump(figures, sys.stdout, indent=2)


if __name__ == "__main__":
    main()
