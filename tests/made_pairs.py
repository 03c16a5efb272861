"""Pairs of texts whose best accuracy is known: the label says whether both name one thing, and one in ten is wrong.

Neither text alone says anything of the label: who sees one side is right half of the time, who compares them in nine of
ten.
"""

from __future__ import annotations

import random
from pathlib import Path

import pandas as pd

BEST = 0.9
COLOURS = ("red", "blue", "green", "black", "white", "brown")
THINGS = ("box", "lamp", "coat", "chair", "kettle", "door")
PLACES = ("hall", "kitchen", "garden", "cellar")


def made_pairs(rows: int, seed: int = 0) -> pd.DataFrame:
    """Columns premise, hypothesis, label."""
    draw = random.Random(seed)
    made = []
    for _ in range(rows):
        one = (draw.choice(COLOURS), draw.choice(THINGS))
        same = draw.random() < 0.5
        others = [(c, t) for c in COLOURS for t in THINGS if c != one[0] and t != one[1]]
        other = one if same else draw.choice(others)
        truth = same if draw.random() < BEST else not same
        premise = f"there is a {one[0]} {one[1]} in the {draw.choice(PLACES)}"
        made.append({"premise": premise, "hypothesis": f"a {other[0]} {other[1]}", "label": "yes" if truth else "no"})
    return pd.DataFrame(made)


def save_bert(folder: Path, words: list[str]) -> Path:
    """A BERT of 2 blocks and width 32 with random weights, and a tokenizer of BERT's kind that knows these words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: number for number, word in enumerate([*special, *sorted(set(words))])}
    own = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    own.pre_tokenizer = pre_tokenizers.Whitespace()
    own.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=own,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.2,
    )
    BertModel(config).save_pretrained(folder)
    return folder
