"""Written texts: what is read, the loss, training, writing and what is kept, each against a plain computation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoTokenizer, GPT2LMHeadModel

from whichtune.compare import prepare
from whichtune.errors import DataError, SettingError, WhichtuneError
from whichtune.runs.run import run_one
from whichtune.seeding import DATA_ORDER, generator
from whichtune.study.load import parse_study
from whichtune.study.spec import RunSpec
from whichtune.tasks.text.forward import PlainTextForward, row_losses
from written_texts import STEPS, encoded_of, spec_of, study_of

# -- what is read ----------------------------------------------------------------------------------


def test_the_prompt_is_cut_and_the_target_is_not(tiny_gpt2: Path, notes: Path) -> None:
    _, encoded = encoded_of(spec_of(tiny_gpt2, notes))
    tokenizer = AutoTokenizer.from_pretrained(tiny_gpt2)
    end = tokenizer("\n\nTL;DR:", add_special_tokens=False)["input_ids"]
    assert encoded.splits["train"].truncated > 0
    for split in encoded.splits.values():
        for row, tokens in enumerate(split.tokens):
            prompt, target = tokens[: split.prompt_lengths[row]], tokens[split.prompt_lengths[row] :]
            assert len(prompt) <= 60 - 16
            assert prompt[-len(end) :] == end
            whole = tokenizer(" " + split.references[row], add_special_tokens=False)["input_ids"]
            assert target == [*whole, tokenizer.eos_token_id][:16]


def test_what_is_kept_of_a_long_text_and_how_it_is_cleaned(tiny_gpt2: Path, notes: Path) -> None:
    settings = {"lower_case": True, "remove_punctuation": True, "max_source_tokens": 5, "long_texts_keep": "tail"}
    _, encoded = encoded_of(spec_of(tiny_gpt2, notes, template="Read: {document} Say:", **settings))
    tokenizer = AutoTokenizer.from_pretrained(tiny_gpt2)
    part = encoded.splits["test"]
    before, after = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("Read: ", " Say:"))
    for row in range(len(part)):
        assert part.texts[row] == part.texts[row].lower()
        assert not set(part.references[row]) & set("!,.?'")
        source = tokenizer(part.texts[row], add_special_tokens=False)["input_ids"]
        assert part.prompt(row) == [*before, *source[-5:], *after]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"settings": {"token_position": "last"}}, "token_position means nothing for summarisation"),
        ({"settings": {"template": "no place"}}, "must have {document} once"),
        ({"settings": {"template": "x {document}", "context_length": 18}}, "leave none for the text"),
        ({"settings": {"early_stopping": "accuracy"}}, "cannot watch accuracy"),
        ({"methods": ["linear_probe"]}, "'linear_probe' is for classification"),
        ({"baselines": ["majority"]}, "'majority' is for classification"),
        ({"primary_metric": "accuracy"}, "has no accuracy"),
        ({"data": "messages"}, "has labels, for classification"),
    ],
)
def test_bad_input_is_one_sentence(changes: dict[str, Any], words: str, tiny_gpt2: Path, notes: Path) -> None:
    def attempt() -> None:
        expansion, _ = prepare(study_of(tiny_gpt2, **{"data": notes, "methods": ["full"], **changes}))
        run_one(expansion.specs[0])

    with pytest.raises(WhichtuneError, match=words) as caught:
        attempt()
    assert "\n" not in str(caught.value)


def test_settings_of_texts_are_refused_in_classification(tiny_gpt2: Path, mail: Path) -> None:
    value = {"data": str(mail), "model": str(tiny_gpt2), "methods": ["full"], "settings": {"template": "{document}"}}
    with pytest.raises(SettingError, match="'template' is for text_to_text and summarisation"):
        prepare(parse_study(value, "test"))


def test_an_empty_target_is_named(tmp_path: Path, tiny_gpt2: Path) -> None:
    (tmp_path / "a.csv").write_text("article,highlights\none,two\nthree,\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"Row 2 of a\.csv has an empty target \(column 'highlights'\)"):
        prepare(study_of(tiny_gpt2, tmp_path / "a.csv", ["full"]))


# -- the loss --------------------------------------------------------------------------------------


def plain_loss(model: Any, tokens: list[int], first: int) -> float:
    """Summed cross-entropy of the tokens from `first` on, one text at a time, all logits at once."""
    with torch.no_grad():
        logits = model(torch.tensor([tokens])).logits[0].double()
    return float(F.cross_entropy(logits[first - 1 : -1], torch.tensor(tokens[first:]), reduction="sum"))


@pytest.mark.parametrize("loss_on", ["target", "all"])
def test_the_loss_of_a_row_equals_a_plain_one(loss_on: str, tiny_gpt2: Path, notes: Path) -> None:
    model, encoded = encoded_of(spec_of(tiny_gpt2, notes, loss_on=loss_on))
    losses, counts = row_losses(PlainTextForward(model, encoded, torch.device("cpu"), "float32"), "validation")
    plain = GPT2LMHeadModel.from_pretrained(tiny_gpt2).eval()
    part = encoded.splits["validation"]
    for row, tokens in enumerate(part.tokens):
        first = 1 if loss_on == "all" else part.prompt_lengths[row]
        assert counts[row] == len(tokens) - first
        np.testing.assert_allclose(losses[row], plain_loss(plain, tokens, first), rtol=1e-5)


def plain_training(spec: RunSpec, model_path: Path, trains: Any, batch: int) -> tuple[list[float], Any]:
    """AdamW by torch on the mean loss of all target tokens of `batch` texts, padded by hand."""
    _, encoded = encoded_of(spec)
    part = encoded.splits["train"]
    model = GPT2LMHeadModel.from_pretrained(model_path, dtype=torch.float32)
    model.config.use_cache = False
    for dropout in (m for m in model.modules() if isinstance(m, torch.nn.Dropout)):
        dropout.p = 0.0
    trained = trains(model)
    for parameter in model.parameters():
        parameter.requires_grad_(any(parameter is p for p in trained))
    optimiser = torch.optim.AdamW(trained, lr=2e-3, weight_decay=0.01)
    order, losses = generator(3, DATA_ORDER), []
    while len(losses) < STEPS:
        rows = torch.randperm(len(part), generator=order).tolist()
        for start in range(0, len(rows), batch):
            chosen = rows[start : start + batch]
            width = max(len(part.tokens[row]) for row in chosen)
            ids = torch.zeros(len(chosen), width, dtype=torch.long)
            labels = torch.full_like(ids, -100)
            mask = torch.zeros_like(ids)
            for place, row in enumerate(chosen):
                tokens, first = torch.tensor(part.tokens[row]), part.prompt_lengths[row]
                ids[place, : len(tokens)], mask[place, : len(tokens)] = tokens, 1
                labels[place, first : len(tokens)] = tokens[first:]
            logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
            loss = F.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
            if len(losses) == STEPS:
                break
    return losses, model.eval()


def own_head(model: Any) -> list[Any]:
    """The output layer in a copy of its own."""
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    return [model.lm_head.weight]


TRAINS = {
    "full": ("full", {}, lambda model: list(model.parameters())),
    "head": ("head_only", {"tied": "untie"}, own_head),
    "head and embeddings": ("head_only", {"tied": "train_both"}, lambda model: [model.lm_head.weight]),
    "last block": (
        "last_block",
        {"tied": "untie"},
        lambda model: [*own_head(model), *model.transformer.h[-1].parameters(), *model.transformer.ln_f.parameters()],
    ),
}


@pytest.mark.parametrize("plan", [pytest.param("off", marks=pytest.mark.slow), "auto"])
@pytest.mark.parametrize("case", TRAINS)
def test_training_equals_a_plain_loop(case: str, plan: str, tiny_gpt2: Path, notes: Path, tmp_path: Path) -> None:
    method, settings, trains = TRAINS[case]
    spec = spec_of(tiny_gpt2, notes, method, **settings).model_copy(update={"plan": plan})
    result = run_one(spec, cache={"folder": tmp_path})
    losses, model = plain_training(spec, tiny_gpt2, trains, batch=4)
    np.testing.assert_allclose([point["train_loss"] for point in result.curves], losses, atol=2e-5)
    _, encoded = encoded_of(spec)
    part = encoded.splits["test"]
    found = result.predictions[result.predictions["split"] == "test"]
    expected = [plain_loss(model, tokens, part.prompt_lengths[row]) for row, tokens in enumerate(part.tokens)]
    np.testing.assert_allclose(found["loss"], expected, rtol=1e-3)
    mean = result.record.metrics.test.loss
    np.testing.assert_allclose(mean, sum(expected) / found["tokens"].sum(), rtol=1e-3)


def test_accumulated_batches_equal_one_large_one(tiny_gpt2: Path, notes: Path) -> None:
    """Batches with unlike numbers of target tokens weigh by them."""
    one = run_one(spec_of(tiny_gpt2, notes, batch_size=9))
    parts = run_one(spec_of(tiny_gpt2, notes, batch_size=3, accumulation_steps=3))
    pairs = zip(one.curves, parts.curves, strict=True)
    np.testing.assert_allclose(*zip(*((a["train_loss"], b["train_loss"]) for a, b in pairs), strict=True), atol=1e-5)


# -- writing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["greedy", "beam"])
def test_written_tokens_equal_one_example_at_a_time(how: str, tiny_gpt2: Path, notes: Path) -> None:
    from whichtune.tasks.text.model import write_texts, writing_of

    spec = spec_of(tiny_gpt2, notes, "untuned", generation=how, num_beams=3)
    model, encoded = encoded_of(spec)
    part = encoded.splits["test"]
    prompts = [part.prompt(row) for row in range(len(part))]
    assert len(set(map(len, prompts))) > 1
    writing = writing_of(spec, encoded.room, model.tokenizer)
    written = write_texts(spec, model, prompts, writing)
    plain = GPT2LMHeadModel.from_pretrained(tiny_gpt2).eval()
    for prompt, ids in zip(prompts, written, strict=True):
        alone = plain.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=8,
            do_sample=False,
            num_beams=3 if how == "beam" else 1,
            pad_token_id=model.tokenizer.eos_token_id,
        )[0, len(prompt) :].tolist()
        end = model.tokenizer.eos_token_id
        assert ids == (alone[: alone.index(end)] if end in alone else alone)


def test_a_text_ends_where_the_model_ends_it(tiny_gpt2: Path, notes: Path) -> None:
    """A head that always says end-of-text writes nothing, in no time; one that may not writes to the limit."""
    from whichtune.models.generation import write
    from whichtune.tasks.text.model import writing_of

    spec = spec_of(tiny_gpt2, notes, "untuned")
    model, encoded = encoded_of(spec)
    writing = writing_of(spec, encoded.room, model.tokenizer)
    original = model.head.forward
    end = model.tokenizer.eos_token_id
    model.head.forward = lambda states: F.one_hot(torch.tensor(end), 4096).float().expand(*states.shape[:-1], -1)
    assert write(model, [[5, 6], [7]], writing) == [[], []]
    model.head.forward = original
    from dataclasses import replace

    assert all(len(ids) == 8 for ids in write(model, [[5, 6], [7]], replace(writing, min_new_tokens=8)))


@pytest.mark.slow
def test_what_is_drawn_depends_on_the_seed_alone(tiny_gpt2: Path, notes: Path) -> None:
    spec = spec_of(tiny_gpt2, notes, "untuned", generation="sample", top_p=0.9)
    first, again = run_one(spec), run_one(spec)
    other = run_one(spec.model_copy(update={"seed": 4}))
    assert list(first.predictions["prediction"]) == list(again.predictions["prediction"])
    assert list(first.predictions["prediction"]) != list(other.predictions["prediction"])
