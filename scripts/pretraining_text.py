"""From files of plain text to batches of token ids."""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"


def read_articles(path: Path) -> list[str]:
    """Articles of a text file (plain or .xz), which two blank lines part."""
    raw = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
    return [article.strip("\n") for article in raw.decode("utf-8").split("\n\n\n") if article.strip()]


def corpus_file(corpus: Path, split: str) -> Path:
    for name in (f"{split}.txt.xz", f"{split}.txt"):
        if (corpus / name).is_file():
            return corpus / name
    raise SystemExit(f"{corpus} holds neither {split}.txt.xz nor {split}.txt.")


def train_tokenizer(articles: list[str], vocabulary: int, positions: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE of `vocabulary` tokens; `<|endoftext|>` (id 0) ends a text and pads."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(articles, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        model_max_length=positions,
    )


def encode(articles: list[str], tokenizer: PreTrainedTokenizerFast) -> np.ndarray:
    """All articles as one row of token ids (uint16), each followed by the end-of-text token."""
    rows = tokenizer.backend_tokenizer.encode_batch([article + "\n" for article in articles])
    end = tokenizer.eos_token_id
    return np.concatenate([np.array([*row.ids, end], dtype=np.uint16) for row in rows])


def training_batch(tokens: np.ndarray, step: int, seed: int, length: int, tokens_per_step: int) -> Tensor:
    """Token ids (B, T + 1) of `step`: each epoch has its own offset of the cuts and its own order.

    Nothing but the arguments decides, so a run that is resumed sees what it would have seen.
    """
    size = tokens_per_step // length
    steps_per_epoch = max(1, (len(tokens) - length - 1) // length // size)
    epoch, index = divmod(step, steps_per_epoch)
    rng = np.random.default_rng([seed, length, epoch])
    offset = int(rng.integers(length))
    starts = offset + length * rng.permutation((len(tokens) - 1 - offset) // length)
    rows = [tokens[start : start + length + 1] for start in starts[index * size : (index + 1) * size]]
    return torch.from_numpy(np.stack(rows).astype(np.int64))


def cuts(tokens: np.ndarray, length: int, batch: int = 4) -> Iterator[Tensor]:
    """Rows (B, T + 1), each beginning with the last token of the one before; the rest comes last."""
    whole = (len(tokens) - 1) // length
    for first in range(0, whole, batch):
        starts = range(first * length, min(first + batch, whole) * length, length)
        yield torch.from_numpy(np.stack([tokens[s : s + length + 1] for s in starts]).astype(np.int64))
    if len(tokens) - 1 > whole * length:
        yield torch.from_numpy(tokens[None, whole * length :].astype(np.int64))
