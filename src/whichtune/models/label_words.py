"""A classifier that asks a language model in words: the likelihood of each label's words after a prompt.

Shapes: B texts, T tokens, C classes, V words of the vocabulary, P tokens that stand before every text.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from whichtune.data.batch import Batch, padding_mask, right_padded
from whichtune.models.autocast import autocast_type, without_autocast
from whichtune.models.heads import Classifier

if TYPE_CHECKING:
    from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

NEVER = -1e4  # log-likelihood of a class that is never the answer
TOLERANCE = 1e-4  # by which keys and values that are kept may change a log-likelihood, of the largest
Pair = tuple[Tensor, Tensor]  # keys and values (B, H, T, d) of a block


class LabelWords(nn.Module):
    """The model's own output layer, the words of each class as tokens (none of a class that is never the answer), and
    what calibration takes out.

    What is chosen for a run are parameters, so that it is counted and stored; nothing has a gradient to follow.
    """

    def __init__(self, output: nn.Module, words: Sequence[Sequence[int]], before: Sequence[int], mean: bool) -> None:
        super().__init__()
        self.output = output
        self.words = [list(each) for each in words]
        self.mean = mean
        self.content_free = nn.Parameter(torch.zeros(len(self.words)), requires_grad=False)  # log-probabilities (C,)
        self.before = nn.Parameter(torch.tensor(list(before), dtype=torch.float32), requires_grad=False)

    def say_before(self, tokens: Sequence[int]) -> None:
        """Let these tokens stand before every text."""
        old = self.before
        values = torch.tensor(list(tokens), dtype=torch.float32, device=old.device)
        self.before = nn.Parameter(values, requires_grad=old.requires_grad)

    def scores(self, each: dict[int, Tensor], texts: int) -> Tensor:
        """(B, C) from the log-probabilities of each class's tokens (B, m)."""
        device = self.content_free.device
        found = torch.full((texts, len(self.words)), NEVER, device=device)
        for place, tokens in each.items():
            found[:, place] = tokens.mean(1) if self.mean else tokens.sum(1)
        return found

    def log_probabilities(self, states: Tensor) -> Tensor:
        """(..., V) of what follows, from hidden states (..., D), in float32."""
        return self.output(states).float().log_softmax(-1)


class WordClassifier(Classifier):
    """`forward(batch)` gives each class's log-likelihood (B, C) after the batch's prompts, less what it has after
    prompts without content."""

    head: LabelWords

    def __init__(
        self,
        causal: PreTrainedModel,
        words: Sequence[Sequence[int]],
        before: Sequence[int],
        mean: bool,
        tokenizer: PreTrainedTokenizerBase | None = None,
    ) -> None:
        head = LabelWords(causal.get_output_embeddings(), words, before, mean)
        super().__init__(causal.base_model, head, "last_nonpad", tokenizer)
        self._kept: tuple[tuple[object, ...], list[Pair]] | None = None
        self._keeps: bool | None = None
        self.why_whole = ""  # why every prompt is read from its first token on, where parts could be shared

    def forward(self, batch: Batch) -> Tensor:
        return self.scores(batch.input_ids, batch.lengths) - self.head.content_free

    def scores(self, input_ids: Tensor, lengths: Tensor) -> Tensor:
        """The likelihoods (B, C) in nats of right-padded prompts (B, T) of these lengths (B,)."""
        with torch.no_grad():
            return self._by_parts(input_ids, lengths) if self.keeps_parts else self._whole(input_ids, lengths)

    @property
    def longer(self) -> list[int]:
        """The classes whose words are more than one token."""
        return [place for place, each in enumerate(self.head.words) if len(each) > 1]

    @property
    def keeps_parts(self) -> bool:
        """Whether keys and values of what is shared are kept: where the model is one of full attention that takes them,
        and made-up prompts have the same likelihoods either way."""
        if self._keeps is None:
            shared = bool(self.longer or len(self.head.before))
            self.why_whole = (_why_not(self.backbone) or self._difference()) if shared else ""
            self._keeps = shared and not self.why_whole
        return self._keeps

    # -- the plain way -----------------------------------------------------------------------------

    def _whole(self, input_ids: Tensor, lengths: Tensor) -> Tensor:
        """Every prompt from its first token on, with each class's words behind it."""
        before = self.head.before.long().tolist()
        prompts = [[*before, *ids[:n]] for ids, n in zip(input_ids.tolist(), lengths.tolist(), strict=True)]
        found = self._first(self.head.log_probabilities(self._last_states(prompts, 1)[:, 0]))
        for place in self.longer:
            words = self.head.words[place]
            states = self._last_states([[*ids, *words[:-1]] for ids in prompts], len(words))
            found[place] = _of_tokens(self.head.log_probabilities(states), words)
        return self.head.scores(found, len(prompts))

    def _last_states(self, tokens: Sequence[Sequence[int]], count: int) -> Tensor:
        """Hidden states (B, count, D) of the last `count` tokens of each text."""
        ids, lengths = right_padded(tokens, 0, None)
        device = self.head.before.device
        mask = padding_mask(lengths, ids.shape[1])
        states = self.states_of(ids.to(device), None if mask is None else mask.to(device))
        places = lengths[:, None] - count + torch.arange(count)
        return states[torch.arange(len(ids))[:, None].to(device), places.to(device)]

    def _first(self, log_probabilities: Tensor) -> dict[int, Tensor]:
        """Of what follows the prompt (B, V): the one token of each class that has one, (B, 1)."""
        words = self.head.words
        return {place: log_probabilities[:, each] for place, each in enumerate(words) if len(each) == 1}

    # -- what is shared, once ----------------------------------------------------------------------

    def _by_parts(self, input_ids: Tensor, lengths: Tensor) -> Tensor:
        """The same: what stands before the prompts is read once for all, a prompt once for all classes."""
        texts, width = input_ids.shape
        past, before = _cache(self._of_before(), texts), len(self.head.before)
        rows, steps = torch.arange(texts, device=input_ids.device), torch.arange(width, device=input_ids.device)
        mask = torch.cat([torch.ones(texts, before, device=input_ids.device), steps < lengths[:, None]], 1).long()
        states = self._pass(input_ids, mask, before + steps[None].expand(texts, -1), past)
        after = self.head.log_probabilities(states[rows, lengths - 1])
        found, read = self._first(after), _pairs(past)
        for place in self.longer:
            words = self.head.words[place]
            ids = torch.tensor(words[:-1], device=input_ids.device).expand(texts, -1)
            behind = before + lengths[:, None] + torch.arange(len(words) - 1, device=input_ids.device)
            states = self._pass(ids, torch.cat([mask, torch.ones_like(ids)], 1), behind, _cache(read, texts))
            later = _of_tokens(self.head.log_probabilities(states), words[1:])
            found[place] = torch.cat([after[:, words[:1]], later], 1)
        return self.head.scores(found, texts)

    def _pass(self, ids: Tensor, mask: Tensor, positions: Tensor, past: DynamicCache) -> Tensor:
        """Hidden states (B, t, D); `past` takes the keys and values of these tokens in."""
        states: Tensor = self.backbone(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=past, use_cache=True
        ).last_hidden_state
        return states

    def _of_before(self) -> list[Pair]:
        """Keys and values of what stands before every prompt, kept until it changes."""
        before = self.head.before
        key = (before.data_ptr(), before._version, len(before), before.device, autocast_type(before.device))
        if self._kept is None or self._kept[0] != key:
            past, ids = _cache([], 1), before.long()[None]
            if len(before):
                self._pass(ids, torch.ones_like(ids), torch.arange(len(before), device=ids.device)[None], past)
            self._kept = (key, _pairs(past))
        return self._kept[1]

    def _difference(self) -> str:
        """How the likelihoods of two made-up prompts differ, in float32; nothing where they do not."""
        device = self.head.before.device
        known = [token for each in self.head.words for token in each]
        ids, lengths = right_padded([(known * 5)[:5], (known[::-1] * 3)[:3]], 0, None)
        ids, lengths = ids.to(device), lengths.to(device)
        with without_autocast(device):
            expected = self._whole(ids, lengths)
            try:
                found = self._by_parts(ids, lengths)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # whatever a model says that keeps its past otherwise
                return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        scale = max(1.0, float(expected[expected > NEVER].abs().max()))
        off = float((found - expected).abs().max()) / scale
        return "" if off <= TOLERANCE else f"log-likelihoods differ by {off:.1e} of the largest"


def _cache(pairs: Sequence[Pair], texts: int) -> DynamicCache:
    """A model's past of these keys and values, the same for every text where they are of one; what a pass adds leaves
    them as they are."""
    from transformers import DynamicCache

    return DynamicCache([(k.expand(texts, -1, -1, -1), v.expand(texts, -1, -1, -1)) for k, v in pairs])


def _pairs(past: DynamicCache) -> list[Pair]:
    return [(layer.keys, layer.values) for layer in past.layers]


def _of_tokens(log_probabilities: Tensor, words: Sequence[int]) -> Tensor:
    """(B, m): of each word's own token, from log-probabilities (B, m, V)."""
    chosen = torch.tensor(list(words), device=log_probabilities.device)
    return log_probabilities.gather(2, chosen[None, :, None].expand(len(log_probabilities), -1, 1))[..., 0]


def _why_not(backbone: PreTrainedModel) -> str:
    """Why keys and values of a part cannot stand for it; nothing where every token sees all before it, whatever padding
    stands between, and positions can be given."""
    takes = inspect.signature(backbone.forward).parameters
    config = backbone.config
    if not {"past_key_values", "position_ids", "attention_mask"} <= set(takes):
        return f"{type(backbone).__name__} keeps no keys and values at given positions"
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    if kinds != {"full_attention"} or window or "local" in str(getattr(config, "attention_layers", "")):
        return f"{type(backbone).__name__} does not attend to all that comes before"
    return ""
