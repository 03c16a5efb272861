"""Writing texts: batches of prompts, padded on the left, with keys and values of past tokens kept.

Shapes: B prompts, T tokens of the longest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from whichtune.models.language import LanguageModel

if TYPE_CHECKING:
    from transformers import GenerationConfig

    from whichtune.models.prompts import Prompt, PromptedInputs


@dataclass(frozen=True)
class Writing:
    """How texts are written, and when they end."""

    max_new_tokens: int
    end_id: int
    pad_id: int
    kind: str = "greedy"  # greedy, beam or sample
    num_beams: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    min_new_tokens: int = 0
    no_repeat_ngram: int = 0
    batch_size: int = 16

    def config(self) -> GenerationConfig:
        """As transformers' `generate` takes it."""
        from transformers import GenerationConfig

        drawn = self.kind == "sample"
        return GenerationConfig(
            max_new_tokens=self.max_new_tokens,
            min_new_tokens=self.min_new_tokens or None,
            do_sample=drawn,
            num_beams=self.num_beams if self.kind == "beam" else 1,
            temperature=self.temperature if drawn else None,
            top_p=self.top_p if drawn else None,
            top_k=0 if drawn else None,
            no_repeat_ngram_size=self.no_repeat_ngram or None,
            eos_token_id=self.end_id,
            pad_token_id=self.pad_id,
            use_cache=True,
        )


@torch.no_grad()
def write(
    model: LanguageModel,
    prompts: Sequence[list[int]],
    writing: Writing,
    before_batch: Callable[[list[int]], None] = lambda rows: None,
) -> list[list[int]]:
    """The tokens written after each of `prompts`, without the end-of-text, in the prompts' order.

    Prompts of similar length share a batch. `before_batch` is told which prompts come next, so that draws of a
    random generator can be made to depend on nothing else.
    """
    training = model.training
    model.eval()
    written: list[list[int]] = [[] for _ in prompts]
    for rows in _batches(model, prompts, writing.batch_size):
        before_batch(rows)
        new = _write_batch(model, [prompts[row] for row in rows], writing)
        for row, ids in zip(rows, new.tolist(), strict=True):
            written[row] = ids[: ids.index(writing.end_id)] if writing.end_id in ids else ids
    model.train(training)
    return written


def _write_batch(model: LanguageModel, prompts: Sequence[list[int]], writing: Writing) -> Tensor:
    """New tokens (B, at most max_new_tokens), padded after the end-of-text."""
    device = next(model.backbone.parameters()).device
    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), writing.pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    inputs: PromptedInputs = {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
    begin = width
    if model.prompt is not None:
        inputs, begin = _behind_prompt(model, model.prompt, inputs)
    found: Tensor = model.causal.generate(**inputs, generation_config=writing.config())
    return found[:, begin:]


def _behind_prompt(model: LanguageModel, prompt: Prompt, inputs: PromptedInputs) -> tuple[PromptedInputs, int]:
    """What to generate from behind virtual tokens, and how many of the tokens found are not new."""
    made = prompt.inputs(model.backbone, inputs["input_ids"], inputs["attention_mask"])
    if "past_key_values" not in made:
        return _padding_first(made), 0  # from vectors, only what is new is given back
    # `generate` takes as many of the tokens for past ones as there are keys: these stand in for the virtual tokens.
    ids = made["input_ids"]
    stand_ins = ids.new_full((len(ids), prompt.count), int(ids[0, -1]))
    return {**made, "input_ids": torch.cat([stand_ins, ids], dim=1)}, prompt.count + ids.shape[1]


def _padding_first(made: PromptedInputs) -> PromptedInputs:
    """Vectors (B, V + T, E) with each row's padding moved before its virtual tokens: nothing stands between these
    and the text, as in training, which matters to attention that reaches back a fixed number of tokens."""
    mask, vectors = made["attention_mask"], made["inputs_embeds"]
    assert mask is not None
    order = torch.argsort(mask, dim=1, stable=True)
    return {
        "inputs_embeds": vectors.gather(1, order[:, :, None].expand_as(vectors)),
        "attention_mask": mask.gather(1, order),
    }


def _batches(model: LanguageModel, prompts: Sequence[list[int]], size: int) -> list[list[int]]:
    """Rows of prompts of similar length, longest first. Behind a prefix, in a model whose attention reaches back a
    fixed number of tokens, only prompts of one length share a batch: padding would push the prefix away."""
    order = sorted(range(len(prompts)), key=lambda row: -len(prompts[row]))
    config = model.backbone.config
    windowed = getattr(config, "sliding_window", None) or getattr(config, "window_size", None)
    alike = windowed and model.prompt is not None and not model.prompt.leading
    batches: list[list[int]] = []
    for row in order:
        fits = bool(batches) and len(batches[-1]) < size
        if fits and (not alike or len(prompts[batches[-1][0]]) == len(prompts[row])):
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches
