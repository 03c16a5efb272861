"""Written texts: what is read, the loss, training, writing and what is kept, each against a plain computation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoTokenizer, GPT2LMHeadModel

from whichtune.compare import prepare
from whichtune.errors import DataError, SettingError, WhichtuneError
from whichtune.load import parse_study
from whichtune.run import run_one
from whichtune.seeding import DATA_ORDER, generator
from whichtune.spec import RunSpec
from whichtune.tasks import TASKS
from whichtune.tasks.text_forward import PlainTextForward, row_losses
from whichtune.tasks.text_to_text import build_language_model

STEPS = 4
SETTINGS = {
    "context_length": 60,
    "max_target_tokens": 16,
    "max_new_tokens": 8,
    "batch_size": 4,
    "epochs": 20,
    "max_steps": STEPS,
    "learning_rate": 2e-3,
    "schedule": "constant",
    "warmup_steps": 0,
    "gradient_clip": None,
    "evaluation_interval": 1,
    "evaluation_batches": 1,
    "generation_batch_size": 3,
}


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 documents of unlike lengths with their first words as summaries, in three files."""
    from whichtune.embedded import dataset_path

    texts = [text for text in pd.read_csv(dataset_path("messages") / "train.csv")["text"] if len(text.split()) > 5]
    rows = [
        {"document": " ".join(texts[i : i + 1 + i % 4]), "summary": " ".join(texts[i].split()[: 3 + i % 5])}
        for i in range(30)
    ]
    folder = tmp_path_factory.mktemp("notes")
    for name, part in (("train", rows[:18]), ("validation", rows[18:24]), ("test", rows[24:])):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, part)), encoding="utf-8")
    return folder


def study_of(model: Path, data: Path, methods: list[Any], **changes: Any) -> Any:
    value = {
        "task": "summarisation",
        "data": str(data),
        "model": str(model),
        "methods": methods,
        "baselines": [],
        "seeds": [3],
        "settings": {**SETTINGS, **changes.pop("settings", {})},
        **changes,
    }
    return parse_study(value, "test")


def spec_of(model: Path, data: Path, method: str = "full", **settings: Any) -> RunSpec:
    expansion, _ = prepare(study_of(model, data, [method], settings=settings))
    return expansion.specs[0]


def encoded_of(spec: RunSpec) -> tuple[Any, Any]:
    task = TASKS[spec.task]
    dataset = task.load(spec.data)
    model, tokenizer = build_language_model(spec)
    return model, task.encode(spec, dataset, tokenizer, model.backbone.config)


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


@pytest.mark.parametrize("plan", ["off", "auto"])
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
    from whichtune.tasks.text_to_text import write_texts

    spec = spec_of(tiny_gpt2, notes, "untuned", generation=how, num_beams=3)
    model, encoded = encoded_of(spec)
    task: Any = TASKS[spec.task]
    part = encoded.splits["test"]
    prompts = [part.prompt(row) for row in range(len(part))]
    assert len(set(map(len, prompts))) > 1
    writing = task.writing(spec, encoded.room, model.tokenizer)
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

    spec = spec_of(tiny_gpt2, notes, "untuned")
    model, encoded = encoded_of(spec)
    task: Any = TASKS[spec.task]
    writing = task.writing(spec, encoded.room, model.tokenizer)
    original = model.head.forward
    end = model.tokenizer.eos_token_id
    model.head.forward = lambda states: F.one_hot(torch.tensor(end), 4096).float().expand(*states.shape[:-1], -1)
    assert write(model, [[5, 6], [7]], writing) == [[], []]
    model.head.forward = original
    from dataclasses import replace

    assert all(len(ids) == 8 for ids in write(model, [[5, 6], [7]], replace(writing, min_new_tokens=8)))


def test_what_is_drawn_depends_on_the_seed_alone(tiny_gpt2: Path, notes: Path) -> None:
    spec = spec_of(tiny_gpt2, notes, "untuned", generation="sample", top_p=0.9)
    first, again = run_one(spec), run_one(spec)
    other = run_one(spec.model_copy(update={"seed": 4}))
    assert list(first.predictions["prediction"]) == list(again.predictions["prediction"])
    assert list(first.predictions["prediction"]) != list(other.predictions["prediction"])


# -- a study ---------------------------------------------------------------------------------------

SAVED = [
    {"method": "head_only", "label": "own head"},
    {"method": "head_only", "label": "both", "tied": "train_both"},
    {"method": "last_block", "label": "last_block"},
    {"method": "full", "label": "full"},
    {"method": "lora", "label": "lora"},
    {"method": "soft_prompt", "label": "soft_prompt", "virtual_tokens": 3},
    {"method": "prefix_tuning", "label": "prefix_tuning", "virtual_tokens": 3},
]


@pytest.fixture(scope="module")
def finished(tiny_gpt2: Path, notes: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from whichtune.compare import compare

    study = study_of(tiny_gpt2, notes, [], runs=SAVED, baselines=["lead_1", "lead_3", "untuned"])
    return compare(study, tmp_path_factory.mktemp("study") / "s", save="all", threads=1)


@pytest.mark.parametrize("label", [*(run["label"] for run in SAVED), "untuned", "lead_1", "lead_3"])
def test_a_saved_run_writes_the_same_again(label: str, finished: Any, tmp_path: Path) -> None:
    from whichtune.predict import find_run, predict_file
    from whichtune.store import StudyFolder

    folder = StudyFolder(finished.folder)
    record = find_run(folder, label)
    assert record.status == "completed", record.error
    recorded = folder.predictions(record.run_id)
    recorded = recorded[recorded["split"] == "test"]
    examples = folder.examples()
    texts = examples[examples["split"] == "test"].set_index("example_id").loc[recorded["example_id"], "text"]
    texts.to_frame().to_csv(tmp_path / "new.csv", index=False)
    table = predict_file(folder, record, tmp_path / "new.csv", None)
    assert list(table["prediction"]) == list(recorded["prediction"])


def test_what_is_trained_and_kept(finished: Any) -> None:
    by_label = {record.label: record for record in finished.records}
    embeddings = 4096 * 32
    assert by_label["own head"].cost.trainable_parameters == embeddings
    assert by_label["own head"].cost.total_parameters == by_label["both"].cost.total_parameters + embeddings
    assert by_label["both"].cost.trainable_parameters == embeddings
    assert by_label["full"].cost.trainable_parameters == by_label["full"].cost.total_parameters
    assert by_label["soft_prompt"].cost.trainable_parameters == 3 * 32
    assert by_label["untuned"].cost.trainable_parameters == 0
    assert by_label["untuned"].seed is None


def test_the_table_and_the_page_show_texts(finished: Any) -> None:
    header = finished.table.splitlines()[0]
    for column in ("test ROUGE-1 %", "test ROUGE-L %", "test loss", "test perplexity", "longest epoch s"):
        assert column in header
    page = (finished.folder / "report.html").read_text(encoding="utf-8")
    assert "Written texts" in page
    assert "confusion" not in finished.table
    record = next(record for record in finished.records if record.label == "full")
    assert record.metrics.test is not None
    figures = next(f for f in finished.summary["intervals"]["runs"] if f["label"] == "full")
    np.testing.assert_allclose(figures["figures"]["rougeL"], record.metrics.test.rougeL)
    np.testing.assert_allclose(figures["figures"]["loss"], record.metrics.test.loss)
    low, high = figures["intervals"]["loss"]
    assert low < record.metrics.test.loss < high


@pytest.mark.parametrize("method", ["head_only", "full", "lora", "soft_prompt"])
def test_what_a_run_will_take_is_told_before(method: str, tiny_gpt2: Path, notes: Path) -> None:
    """Operations and parameters, predicted without weights and of the plan, are those that the run then counts."""
    from whichtune.estimate import estimate_runs
    from whichtune.preview import preview_run

    expansion, dataset = prepare(
        study_of(tiny_gpt2, notes, [method], plan="off", settings={"max_steps": None, "epochs": 1})
    )
    (spec,) = expansion.specs
    (guess,) = estimate_runs([spec], dataset).values()
    cost = run_one(spec).record.cost
    assert guess.trainable_parameters == cost.trainable_parameters
    assert guess.flops == pytest.approx(cost.flops, rel=0.05)  # kernels of attention differ in what they repeat
    preview = preview_run(spec.model_copy(update={"plan": "auto"}), dataset)
    assert preview.flops_plain == cost.flops
    assert preview.flops_shared <= preview.flops_alone <= cost.flops * 1.2


def test_a_pair_may_be_about_the_loss(tiny_gpt2: Path, notes: Path, tmp_path: Path) -> None:
    """Its verdict knows that less is better, and rows without a loss are not compared by it."""
    from whichtune.compare import compare

    pairs = [
        {"a": "full", "b": "untuned", "metric": "loss", "claim": "tuning helps", "published": {"direction": "better"}},
        {"a": "full", "b": "lead_1", "metric": "loss"},
        {"a": "full", "b": "untuned"},
    ]
    settings = {"max_steps": 12, "learning_rate": 1e-2}
    study = study_of(tiny_gpt2, notes, ["full"], baselines=["untuned", "lead_1"], pairs=pairs, settings=settings)
    found = compare(study, tmp_path / "s", save="none", threads=1).summary["comparisons"]
    loss, nothing, rouge = found[:3]
    assert (loss["metric"], loss["unit"]) == ("loss", "nats")
    assert loss["difference"] < 0
    assert loss["verdict"] == "better"
    assert loss["agrees_with_published"]
    assert nothing["verdict"] == "not_tested"
    assert "has no loss" in nothing["sentence"]
    assert (rouge["metric"], rouge["unit"]) == ("rougeL", "points")
