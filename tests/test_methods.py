"""What each method trains, and what adapting changes and leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModel

from test_oracle import spec_of
from whichtune.data.batch import Batch
from whichtune.errors import ModelError, SettingError
from whichtune.measure.cost import count_parameters
from whichtune.methods import METHODS
from whichtune.models.causality import is_causal
from whichtune.models.heads import Classifier, pool
from whichtune.models.unfuse import unfuse
from whichtune.tasks.classification.task import build_classifier

WIDTH, HEAD = 32, 32 * 2 + 2
BLOCK = 12 * WIDTH * WIDTH + 13 * WIDTH
NORM = 2 * WIDTH
LORA = 4 * (3 * 2 * WIDTH + 2 * WIDTH + 2 * 5 * WIDTH)  # rank 4: q, k, v, out, and two of the MLP


def classifier_of(model: Path, mail: Path, method: str, **settings: object) -> Classifier:
    spec = spec_of(model, mail, "off", method=method, method_settings=settings)
    return build_classifier(spec, 2)[0]


@pytest.mark.parametrize(
    ("method", "settings", "trainable"),
    [
        ("head_only", {}, HEAD),
        ("linear_probe", {}, HEAD),
        ("last_block", {}, HEAD + NORM + BLOCK),
        ("last_two_blocks", {}, HEAD + NORM + 2 * BLOCK),
        ("last_blocks", {"blocks": 3}, HEAD + NORM + 3 * BLOCK),
        ("full", {}, HEAD + NORM + 3 * BLOCK + (4096 + 128) * WIDTH),
        ("lora", {"lora_rank": 4}, HEAD + 3 * LORA),
        ("lora", {"lora_rank": 4, "lora_targets": "attention"}, HEAD + 3 * 4 * 4 * 2 * WIDTH),
        ("lora", {"lora_rank": 4, "lora_targets": "mlp"}, HEAD + 3 * 4 * 2 * 5 * WIDTH),
        ("lora", {"lora_rank": 4, "lora_targets": ["q_proj", "v_proj"]}, HEAD + 3 * 4 * 2 * 2 * WIDTH),
        ("lora", {"lora_rank": 4, "lora_targets": ["c_attn"]}, HEAD + 3 * 4 * 4 * WIDTH),
        ("lora", {"lora_rank": 4, "lora_targets": ["c_fc"], "lora_head": True}, HEAD + 3 * 4 * 5 * WIDTH + 4 * 34),
        ("soft_prompt", {"virtual_tokens": 12}, HEAD + 12 * WIDTH),
        ("prefix_tuning", {"virtual_tokens": 12}, HEAD + 12 * 3 * 2 * WIDTH),
        (
            "prefix_tuning",
            {"virtual_tokens": 12, "prefix_projection": True, "prefix_projection_size": 10},
            HEAD + 12 * WIDTH + 10 * (WIDTH + 1) + 3 * 2 * WIDTH * (10 + 1),
        ),
    ],
)
def test_trainable_parameters(tiny_gpt2: Path, mail: Path, method: str, settings: dict, trainable: int) -> None:
    assert count_parameters(classifier_of(tiny_gpt2, mail, method, **settings))[0] == trainable


def test_attention_and_mlp_are_all_linear_layers_of_every_family(tiny_gpt2: Path, tiny_bert: Path, mail: Path) -> None:
    """A study can name its targets without knowing the model's names of them."""
    from whichtune.methods.lora import find_targets

    for model, mlp in ((tiny_gpt2, {"c_fc", "c_proj"}), (tiny_bert, {"dense"})):
        backbone = classifier_of(model, mail, "head_only").backbone
        parts = {wanted: find_targets(backbone, wanted) for wanted in ("attention", "mlp", "all_linear")}
        assert sorted([*parts["attention"], *parts["mlp"]]) == sorted(parts["all_linear"])
        assert {name.rsplit(".", 1)[-1] for name in parts["mlp"]} == mlp
        assert len(parts["mlp"]) == 2 * backbone.config.num_hidden_layers


@pytest.mark.parametrize(
    ("method", "settings", "trainable"),
    [
        ("lora", {"lora_rank": 8, "lora_targets": ["q_proj", "v_proj"]}, 294_912),
        ("soft_prompt", {"virtual_tokens": 12}, 9_216),
    ],
)
def test_the_published_adapters_of_gpt_neo(method: str, settings: dict, trainable: int) -> None:
    """Of the 125M configuration, without the head."""
    neo = AutoConfig.for_model(
        "gpt_neo", num_layers=12, attention_types=[[["global", "local"], 6]], hidden_size=768, num_heads=12
    )
    with torch.device("meta"):
        classifier = Classifier(AutoModel.from_config(neo), torch.nn.Linear(768, 2), "last_nonpad")
        METHODS[method].attach(classifier, METHODS[method].Settings(**settings), 0)
    assert count_parameters(classifier)[0] - count_parameters(classifier.head)[0] == trainable


def test_the_head_is_the_same_for_every_method(tiny_gpt2: Path, mail: Path) -> None:
    heads = [classifier_of(tiny_gpt2, mail, method).head.weight for method in METHODS if not METHODS[method].in_words]
    assert all(torch.equal(heads[0], head) for head in heads)


def test_too_many_blocks(tiny_gpt2: Path, mail: Path) -> None:
    with pytest.raises(ModelError, match="has 3 blocks"):
        classifier_of(tiny_gpt2, mail, "last_blocks", blocks=4)


def test_unknown_lora_target(tiny_gpt2: Path, mail: Path) -> None:
    with pytest.raises(SettingError, match="did you mean 'q_proj'"):
        classifier_of(tiny_gpt2, mail, "lora", lora_targets=["q_prj"])


@pytest.mark.parametrize("method", ["lora"])
def test_a_new_adapter_changes_nothing_and_merging_keeps_the_output(tiny_gpt2: Path, mail: Path, method: str) -> None:
    batch = Batch(torch.tensor([[5, 6, 7, 8]]), torch.tensor([4]))
    plain = classifier_of(tiny_gpt2, mail, "full").eval()
    adapted = classifier_of(tiny_gpt2, mail, method).eval()
    with torch.no_grad():
        torch.testing.assert_close(adapted(batch), plain(batch), atol=1e-6, rtol=0)
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(1))
        changed = adapted(batch)
        assert (changed - plain(batch)).abs().max() > 1e-2
        with METHODS[method].merged(adapted) as merged:
            assert merged
            torch.testing.assert_close(adapted(batch), changed, atol=1e-4, rtol=1e-4)


def test_a_projected_prefix_is_made_once(tiny_gpt2: Path, mail: Path) -> None:
    batch = Batch(torch.tensor([[5, 6, 7, 8]]), torch.tensor([4]))
    model = classifier_of(tiny_gpt2, mail, "prefix_tuning", prefix_projection=True).eval()
    with torch.no_grad():
        expected = model(batch)
        with METHODS["prefix_tuning"].merged(model) as merged:
            assert merged
            model.prompt.encoder.transform[0].weight.add_(1.0)  # no longer looked at
            torch.testing.assert_close(model(batch), expected, atol=1e-6, rtol=0)
        assert (model(batch) - expected).abs().max() > 1e-3
    for method in ("soft_prompt", "prefix_tuning"):
        with METHODS[method].merged(classifier_of(tiny_gpt2, mail, method)) as merged:
            assert not merged


def test_a_prompt_begins_with_the_words_of_a_text(tiny_gpt2: Path, tiny_bert: Path, mail: Path) -> None:
    """Without the tokens that a tokenizer puts around a text."""
    settings = {"virtual_tokens": 4, "prompt_initialisation": "text", "prompt_text": "Spam or not?"}
    for folder in (tiny_gpt2, tiny_bert):
        model = classifier_of(folder, mail, "soft_prompt", **settings)
        ids = model.tokenizer("Spam or not?", add_special_tokens=False)["input_ids"]
        words = model.backbone.get_input_embeddings().weight
        assert torch.equal(model.prompt.encoder.embedding.weight, words[(ids * 4)[:4]])


def test_scaling_by_alpha_alone(tiny_gpt2: Path, mail: Path) -> None:
    """Rank 4 and alpha 4 scaled by alpha is PEFT's rank 4 and alpha 16."""
    from peft.tuners.lora import LoraLayer

    def scale(**settings: object) -> float:
        model = classifier_of(tiny_gpt2, mail, "lora", lora_rank=4, lora_alpha=4, **settings)
        return next(m for m in model.modules() if isinstance(m, LoraLayer)).scaling["default"]

    assert scale() == 1
    assert scale(lora_scaling="alpha") == 4


FUSED = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 50},
    "gpt_neox": {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 50, "intermediate_size": 64,
    },
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4, "vocab_size": 50},
    "modernbert": {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 50, "intermediate_size": 64,
        "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2,
    },
}  # fmt: skip


@pytest.mark.parametrize("family", FUSED)
def test_three_layers_give_what_the_fused_one_gave(family: str) -> None:
    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model(family, **FUSED[family])).eval()
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.1)  # biases and norms too
    ids = torch.tensor([[4, 5, 6, 7, 8]])
    with torch.no_grad():
        before = model(input_ids=ids).last_hidden_state
        assert unfuse(model) == 2
        after = model(input_ids=ids).last_hidden_state
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)


def test_models_without_a_fused_layer_are_left_alone(tiny_bert: Path) -> None:
    assert unfuse(AutoModel.from_pretrained(tiny_bert)) == 0


@pytest.mark.parametrize("family", ["gpt2", "gpt_neo", "llama", "qwen2", "qwen3", "bloom"])
def test_the_causal_mask_goes(family: str) -> None:
    from whichtune.models.causality import remove_causal_mask

    sizes = {"vocab_size": 50, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}
    layers = (
        {"num_layers": 2, "attention_types": [[["global", "local"], 1]]}
        if family == "gpt_neo"
        else {"num_hidden_layers": 2}
    )
    heads = {} if family in ("gpt2", "gpt_neo") else {"num_key_value_heads": 2}
    model = AutoModel.from_config(AutoConfig.for_model(family, **sizes, **layers, **heads))
    assert is_causal(model)
    remove_causal_mask(model, family)
    assert not is_causal(model)


def test_a_model_that_keeps_its_mask_is_refused() -> None:
    """The first GPT multiplies its scores by a fixed triangle."""
    from whichtune.models.causality import remove_causal_mask

    model = AutoModel.from_config(AutoConfig.for_model("openai-gpt", n_embd=32, n_layer=1, n_head=4, vocab_size=50))
    with pytest.raises(ModelError, match="cannot be switched off"):
        remove_causal_mask(model, "gpt")
    assert is_causal(model)


def test_pooling() -> None:
    states = torch.arange(24.0).view(2, 3, 4)
    lengths = torch.tensor([2, 3])
    assert torch.equal(pool(states, lengths, "first"), states[:, 0])
    assert torch.equal(pool(states, lengths, "last"), states[:, 2])
    assert torch.equal(pool(states, lengths, "last_nonpad"), torch.stack([states[0, 1], states[1, 2]]))
    assert torch.equal(pool(states, lengths, "mean"), states.mean(1))
    expected = torch.stack([states[0, :2].mean(0), states[1].mean(0)])
    torch.testing.assert_close(pool(states, lengths, "mean_nonpad"), expected)
