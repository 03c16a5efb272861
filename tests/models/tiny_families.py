"""Tiny models of 17 families with random weights: four blocks, hidden size 64, 1,000 tokens.

Every parameter is shaken, so that no bias is zero and no norm is one: a shortcut that forgets one fails.
Families with sliding windows or local attention get windows shorter than the test sequences.
"""

from __future__ import annotations

from typing import Any

import torch
import transformers as hf
from torch import nn

VOCABULARY = 1000
HIDDEN = 64

_WIDTH = {"hidden_size": HIDDEN, "num_attention_heads": 4, "intermediate_size": 128, "num_hidden_layers": 4}
_DECODER = {**_WIDTH, "num_key_value_heads": 2, "max_position_embeddings": 256}
_GPT2 = {"n_layer": 4, "n_embd": HIDDEN, "n_head": 4, "n_positions": 256, "pad_token_id": 0}
_GEMMA3_LAYERS = ["sliding_attention", "full_attention", "full_attention", "sliding_attention"]

# name: (configuration class, model class, settings)
FAMILIES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "gpt2": (hf.GPT2Config, hf.GPT2Model, _GPT2),
    "gpt_neo": (
        hf.GPTNeoConfig,
        hf.GPTNeoModel,
        {
            "num_layers": 4,
            "attention_types": [[["global", "local"], 2]],
            "hidden_size": HIDDEN,
            "num_heads": 4,
            "max_position_embeddings": 256,
            "window_size": 8,
        },
    ),
    "llama": (hf.LlamaConfig, hf.LlamaModel, _DECODER),
    "qwen2": (
        hf.Qwen2Config,
        hf.Qwen2Model,
        {**_DECODER, "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 2},
    ),
    "qwen3": (hf.Qwen3Config, hf.Qwen3Model, {**_DECODER, "head_dim": 32}),
    "mistral": (hf.MistralConfig, hf.MistralModel, {**_DECODER, "sliding_window": 8}),
    "gemma3": (
        hf.Gemma3TextConfig,
        hf.Gemma3TextModel,
        {**_DECODER, "head_dim": 16, "sliding_window": 8, "layer_types": _GEMMA3_LAYERS},
    ),
    "opt": (
        hf.OPTConfig,
        hf.OPTModel,
        {
            "num_hidden_layers": 4,
            "hidden_size": HIDDEN,
            "num_attention_heads": 4,
            "ffn_dim": 128,
            "word_embed_proj_dim": HIDDEN,
            "dropout": 0.0,
        },
    ),
    "pythia": (hf.GPTNeoXConfig, hf.GPTNeoXModel, _WIDTH),
    "phi": (hf.PhiConfig, hf.PhiModel, _WIDTH),
    "bloom": (hf.BloomConfig, hf.BloomModel, {"n_layer": 4, "hidden_size": HIDDEN, "n_head": 4}),
    "bert": (hf.BertConfig, hf.BertModel, _WIDTH),
    "roberta": (
        hf.RobertaConfig,
        hf.RobertaModel,
        {**_WIDTH, "max_position_embeddings": 300, "pad_token_id": 1},
    ),
    "distilbert": (
        hf.DistilBertConfig,
        hf.DistilBertModel,
        {"n_layers": 4, "dim": HIDDEN, "n_heads": 4, "hidden_dim": 128},
    ),
    "electra": (hf.ElectraConfig, hf.ElectraModel, {**_WIDTH, "embedding_size": 32}),
    "modernbert": (
        hf.ModernBertConfig,
        hf.ModernBertModel,
        {
            **_WIDTH,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "cls_token_id": 1,
            "sep_token_id": 2,
            "local_attention": 16,
        },
    ),
    "deberta": (
        hf.DebertaV2Config,
        hf.DebertaV2Model,
        {**_WIDTH, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    ),
}
ENCODERS = ("bert", "roberta", "distilbert", "electra", "modernbert", "deberta")
DECODERS = tuple(name for name in FAMILIES if name not in ENCODERS)


def tiny_model(family: str, seed: int = 0, **settings: Any) -> nn.Module:
    """A model of `family` in evaluation mode, its weights drawn from `seed`; `settings` go to its config."""
    config_class, model_class, defaults = FAMILIES[family]
    config = config_class(vocab_size=VOCABULARY, **{**defaults, **settings})
    torch.manual_seed(seed)
    model = model_class(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model


def pad_token(model: nn.Module) -> int:
    """The padding token of a tiny model (0 where its configuration names none)."""
    return getattr(model.config, "pad_token_id", None) or 0
