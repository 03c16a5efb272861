"""A tiny configuration of any family of transformers' AutoModel: its own defaults, with every size made small.

Sizes are known by their names, whatever the family; what a family names or demands beyond these stands in `OWN`.
"""

from __future__ import annotations

import inspect
from typing import Any

from transformers import PretrainedConfig

WIDTH, HEADS, HEAD, LAYERS, WORDS, PLACES = 32, 4, 8, 2, 4096, 256
PADDING = 0  # of the embedded tokenizer
# The layers of other media are more than those of the text, so that the longest list of blocks is not the text's.
OTHER_LAYERS = 3
OTHER_MEDIA = ("vision", "audio", "speech", "image", "encoder_config", "vq", "vae")

SIZES: list[tuple[int, tuple[str, ...]]] = [
    (WORDS, ("vocab_size", "vocab_size_per_layer_input")),
    (
        WIDTH,
        (
            *("hidden_size", "d_model", "n_embd", "dim", "emb_dim", "embedding_size", "input_embedding_size"),
            *("output_embedding_size", "embedding_dim", "word_embed_proj_dim", "lru_width", "attention_hidden_size"),
            *("hidden_size_global", "sequence_dim", "vision_output_dim", "out_hidden_size", "input_size"),
            *("projector_input_dim", "projector_output_dim", "output_proj_dims", "entity_emb_size", "d_latents"),
            *("projection_dim", "image_size", "crop_size"),
        ),
    ),
    (
        LAYERS,
        (
            *("num_hidden_layers", "n_layer", "n_layers", "num_layers", "depth", "num_self_attends_per_block"),
            *("encoder_layers", "decoder_layers", "max_window_layers", "num_global_layers", "num_blocks"),
        ),
    ),
    (
        HEADS,
        (
            *("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads", "n_mamba_heads"),
            *("encoder_attention_heads", "decoder_attention_heads", "linear_num_heads", "linear_num_value_heads"),
            *("num_self_attention_heads", "num_cross_attention_heads", "conf_num_attention_heads", "index_n_heads"),
            *("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"),
        ),
    ),
    (
        2,
        (
            *("num_key_value_heads", "num_kv_heads", "kv_n_heads", "linear_num_key_heads", "num_experts_per_tok"),
            *("moe_topk", "moe_k", "top_k_experts", "moe_top_k", "attn_layer_period", "expert_layer_period"),
            *(
                "global_attn_every_n_layers",
                "no_rope_layer_interval",
                "sliding_window_pattern",
                "num_global_key_value_heads",
            ),
            *("spatial_merge_size", "temporal_patch_size", "num_codebooks", "o_groups", "zero_expert_num"),
        ),
    ),
    (
        1,
        (
            *("n_group", "topk_group", "n_shared_experts", "num_shared_experts", "attn_layer_offset"),
            *("expert_layer_offset", "first_k_dense_replace", "moe_num_shared_experts", "num_dense_layers"),
            *("num_kv_shared_layers", "mamba_n_groups", "mamba_ngroups", "n_groups", "moe_layer_start_index"),
            *("num_nextn_predict_layers", "num_mtp_layers"),
        ),
    ),
    (
        HEAD,
        (
            *("head_dim", "attention_head_size", "d_head", "dim_head", "kv_channels", "global_head_dim"),
            *("qk_nope_head_dim", "v_head_dim", "qk_rope_head_dim", "linear_key_head_dim", "linear_value_head_dim"),
            *("linear_head_dim", "state_size", "mamba_d_state", "ssm_state_size", "attention_head_dim"),
            *("sliding_window", "window_size", "attention_window_size", "local_attention", "patch_size"),
            *("chunk_size", "mamba_chunk_size", "rotary_dim", "hidden_size_per_layer_input", "laurel_rank"),
            *("num_latents", "adapter_rank", "router_hidden_size", "ipa_dim", "block_size"),
        ),
    ),
    (
        16,
        (
            *("q_lora_rank", "kv_lora_rank", "index_head_dim", "qk_head_dim", "mamba_dt_rank", "time_step_rank"),
            *("o_lora_rank", "attention_chunk_size", "intra_bottleneck_size"),
        ),
    ),
    (
        64,
        (
            *(
                "intermediate_size",
                "ffn_dim",
                "n_inner",
                "dff",
                "dim_ff",
                "d_inner",
                "hidden_dim",
                "moe_intermediate_size",
            ),
            *("intermediate_size_mlp", "shared_expert_intermediate_size", "moe_shared_expert_intermediate_size"),
            *("ffn_hidden_size", "expert_ffn_hidden_size", "feed_forward_size", "shared_intermediate_size"),
            *("encoder_ffn_dim", "decoder_ffn_dim", "mlp_dim", "prefix_dense_intermediate_size"),
            *("mamba_d_ssm",),
        ),
    ),
    (
        PLACES,
        (
            *("max_position_embeddings", "n_positions", "max_seq_len", "max_target_positions", "context_length"),
            *("index_topk", "segment_means_seq_len", "max_2d_position_embeddings", "original_max_position_embeddings"),
            *("entity_vocab_size", "position_embedding_size", "num_position_embeddings", "audio_vocab_size"),
        ),
    ),
]
DEPTHS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "depth")
SIZE_OF = {name: size for size, names in SIZES for name in names}

# What a family asks for beside that.
_MAMBA2: dict[str, Any] = {"num_heads": 8, "head_dim": 8, "n_groups": 2, "state_size": 8, "chunk_size": 8}
_HYBRID_MAMBA: dict[str, Any] = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_chunk_size": 8}
_ROPE: dict[str, Any] = {"rope_type": "default", "rope_theta": 10000.0}
_GEMMA4: dict[str, Any] = {"head_dim": 8, "global_head_dim": 16, "num_key_value_heads": 2}
OWN: dict[str, dict[str, Any]] = {
    "mamba2": _MAMBA2,
    "bamba": {**_HYBRID_MAMBA, "attn_layer_indices": [1]},
    "falcon_h1": {**_HYBRID_MAMBA, "mamba_d_ssm": 64},
    "granitemoehybrid": {**_HYBRID_MAMBA, "layer_types": ["mamba", "attention"]},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "reformer": {
        "attn_layers": ["local", "lsh"],
        "axial_pos_shape": (16, 16),
        "axial_pos_embds_dim": (16, 16),
        "local_attn_chunk_length": 8,
        "lsh_attn_chunk_length": 8,
        "num_buckets": 2,
        "hash_seed": 0,
    },
    "longformer": {"attention_window": 8},
    "funnel": {"block_sizes": [1, 1, 1], "block_repeats": [1, 1, 1], "num_decoder_layers": 1},
    "ministral": {"head_dim": 8, "rope_parameters": _ROPE},
    "hunyuan_v1_dense": {"head_dim": 8, "rope_parameters": _ROPE},
    "hunyuan_v1_moe": {"head_dim": 8, "rope_parameters": _ROPE},
    "dots1": {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1, "first_k_dense_replace": 1},
    "esm": {"vocab_size": WORDS, "pad_token_id": PADDING, "mask_token_id": WORDS - 1},
    "esmc": {"num_key_value_heads": HEADS},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "gemma4_text": _GEMMA4,
    "gemma4_unified_text": _GEMMA4,
    "nystromformer": {"num_landmarks": 64, "segment_means_seq_len": 64},
    "deepseek_v2": {"num_experts_per_tok": 2, "n_routed_experts": 4},
    "nemotron": {"num_key_value_heads": 2, "head_dim": 8},
    "dots3_note": {"adapter_input_size": WIDTH},
}
# Which kind each layer is: one of every kind that the family's own configuration has.
KINDS = ("layer_types", "layers_block_type", "mlp_layer_types", "block_types")


def configuration_class(family: str) -> type[PretrainedConfig]:
    """The configuration class of a family, as AutoConfig finds it."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    found: type[PretrainedConfig] = CONFIG_MAPPING[family]
    return found


def tiny_configuration(family: str) -> PretrainedConfig:
    """Raises whatever the family's class raises where its sizes do not go together."""
    cls = configuration_class(family)
    return cls(**_shrunk(cls(), other=False, own=OWN.get(family, {})))


def _shrunk(config: PretrainedConfig, other: bool, own: dict[str, Any]) -> dict[str, Any]:
    """Arguments for a configuration's class: every size that it has, small; nothing of what it works out itself."""
    takes = set(inspect.signature(type(config).__init__).parameters) | set(vars(config))
    given: dict[str, Any] = {}
    free = [name for name in KINDS if not isinstance(getattr(type(config), name, None), property)]
    kinds = {name: _distinct(value) for name in free if isinstance(value := _value(config, name), list | tuple)}
    layers = max([LAYERS, *map(len, kinds.values())])
    for name in sorted(takes - {"self", "kwargs"}):
        value = _value(config, name)
        if isinstance(value, PretrainedConfig):
            inner = _shrunk(value, other or name.startswith(OTHER_MEDIA), OWN.get(value.model_type, {}))
            given[name] = type(value)(**inner) if name in config.sub_configs else value
        elif name in SIZE_OF and isinstance(value, int) and not isinstance(value, bool):
            given[name] = min(SIZE_OF[name], value) if value > 0 else value
            if name == "vocab_size" and not other:
                given[name] = WORDS
            if name in DEPTHS:
                given[name] = min(OTHER_LAYERS if other else layers, value)
        elif name.endswith(("_token_id", "_token_index", "_index")) and isinstance(value, int) and value >= WORDS:
            given[name] = _unused(name)
        if name in ("pad_token_id", "pad_index"):
            given[name] = PADDING
    several = {name: [each[i % len(each)] for i in range(layers)] for name, each in kinds.items() if len(each) > 1}
    if "kv_lora_rank" in given:  # one key for every query, made of that many numbers
        given["num_key_value_heads"] = HEADS
    quiet = {name: 0.0 for name in takes if "jitter" in name and _value(config, name)}  # draws in training
    return {**given, **several, **quiet, **own}


def _value(config: PretrainedConfig, name: str) -> Any:
    """None where the configuration has none, or one for each layer."""
    try:
        return getattr(config, name, None)
    except Exception:  # what a configuration raises that differs by layer
        return None


def _distinct(kinds: Any) -> list[str]:
    return list(dict.fromkeys(each for each in kinds if isinstance(each, str)))


def _unused(name: str) -> int:
    """A token that no text of ours has, another for each name."""
    return WORDS - 2 - sum(map(ord, name)) % 64
