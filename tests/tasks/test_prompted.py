"""Classification by a decoder's words: the likelihoods of a loop written apart, and runs that come back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel, MambaConfig

from models.tiny_families import DECODERS, FAMILIES
from saved_models import save_with_embedded_tokenizer
from whichtune.compare import compare, prepare
from whichtune.data.encoding import make_batch
from whichtune.data.label_prompts import LabelPrompts, drawn_rows
from whichtune.errors import ExportError, SettingError
from whichtune.models.label_words import WordClassifier
from whichtune.records.record import RunRecord
from whichtune.records.store import StudyFolder
from whichtune.result import Result
from whichtune.runs.predict import find_run, predict_file
from whichtune.runs.run import RunResult, run_one
from whichtune.study.load import parse_study
from whichtune.study.spec import RunSpec

WORDS = {"not spam": "an ordinary message", "spam": "advertising"}


def study_of(mail: Path, model: Path, methods: list[Any], **changes: Any) -> Any:
    value = {"data": str(mail), "model": str(model), "seeds": [3], "baselines": [], "methods": methods, **changes}
    return parse_study(value, "a test")


def spec_of(mail: Path, model: Path, method: str, **settings: Any) -> RunSpec:
    (spec,) = prepare(study_of(mail, model, [{"method": method, **settings}]))[0].specs
    return spec


def asked(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []


def likelihoods(model: Path, before: list[int], blocks: list[str], words: list[str]) -> np.ndarray:
    """Log-likelihoods of the words behind each block, one sequence at a time: no batch, no kept keys and values."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    causal = AutoModelForCausalLM.from_pretrained(model, attn_implementation="eager").eval()
    found = np.zeros((len(blocks), len(words)))
    for row, block in enumerate(blocks):
        for place, word in enumerate(words):
            said, prompt = asked(tokenizer, f" {word}"), [*before, *asked(tokenizer, block)]
            with torch.no_grad():
                logits = causal(torch.tensor([[*prompt, *said]])).logits[0].double().log_softmax(-1)
            found[row, place] = sum(float(logits[len(prompt) + i - 1, token]) for i, token in enumerate(said))
    return found


def calibrated(model: Path, before: list[int], scores: np.ndarray, words: list[str]) -> np.ndarray:
    free = likelihoods(model, before, [f"Text: {each}\nLabel:" for each in ("N/A", "[MASK]", "")], words)
    shares = np.exp(free) / np.exp(free).sum(1, keepdims=True)
    return scores - np.log(shares.mean(0))


def logits_of(result: RunResult, split: str = "test") -> np.ndarray:
    rows = result.predictions
    return np.stack(list(rows[rows["split"] == split]["logits"]))


def texts_of(spec: RunSpec, split: str) -> list[str]:
    from whichtune.tasks import task_of

    return list(task_of(spec).load(spec.data).splits[split].texts)


@pytest.mark.parametrize("words", [pytest.param({}, marks=pytest.mark.slow), WORDS])
def test_zero_shot_is_a_plain_loop(mail: Path, tiny_gpt2: Path, words: dict[str, str]) -> None:
    spec = spec_of(mail, tiny_gpt2, "zero_shot", label_words=words)
    result = run_one(spec)
    said = [words.get(label, label) for label in WORDS]
    tokenizer = AutoTokenizer.from_pretrained(tiny_gpt2)
    before = asked(tokenizer, f"Classify the text as one of: {', '.join(said)}.\n\n")
    texts = texts_of(spec, "test")
    plain = likelihoods(tiny_gpt2, before, [f"Text: {text}\nLabel:" for text in texts], said)
    np.testing.assert_allclose(logits_of(result), calibrated(tiny_gpt2, before, plain, said), atol=1e-5)
    assert spec.seed is None
    assert result.record.cost.optimiser_steps == 0
    assert not [note for note in result.record.notes if "first token on" in note], "what is shared is kept"


@pytest.fixture(scope="module")
def longer_gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 of two blocks and 512 positions, in which a few examples have room."""
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=4096, n_positions=512, n_embd=32, n_layer=2, n_head=4, initializer_range=0.2)
    return save_with_embedded_tokenizer(GPT2LMHeadModel(config), tmp_path_factory.mktemp("longer-gpt2"))


def test_few_shot_is_a_plain_loop_without_calibration(mail: Path, longer_gpt2: Path, tmp_path: Path) -> None:
    """And what is saved of it gives the same answers, which saving asks."""
    spec = spec_of(mail, longer_gpt2, "few_shot", shots=2, calibrate=False, prompt="{text} ->", label_words=WORDS)
    result = run_one(spec)
    assert result.save is not None
    result.save(tmp_path)
    note = next(note for note in result.record.notes if "stand before every text" in note)
    from whichtune.tasks import task_of

    train = task_of(spec).load(spec.data).splits["train"]
    ids = note.split(": ")[1].rstrip(".").replace(" and ", ", ").split(", ")
    rows = [train.ids.index(each) for each in ids]
    assert sorted(train.labels[rows].tolist()) == [0, 0, 1, 1]
    tokenizer, said = AutoTokenizer.from_pretrained(longer_gpt2), list(WORDS.values())
    before: list[int] = []
    for row in rows:
        block = asked(tokenizer, f"{train.texts[row]} ->")
        before += [*block, *asked(tokenizer, f" {said[train.labels[row]]}"), *asked(tokenizer, "\n\n")]
    texts = texts_of(spec, "test")
    plain = likelihoods(longer_gpt2, before, [f"{text} ->" for text in texts], said)
    np.testing.assert_allclose(logits_of(result), plain, atol=1e-5)


def test_more_shots_add_examples_behind_the_same_ones() -> None:
    labels = np.array([0, 0, 0, 1, 1, 0, 1, 2] * 3)
    one, three = (drawn_rows(labels, [0, 1, 2], shots, 5) for shots in (1, 3))
    assert three[:3] == one
    assert sorted(labels[three]) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert len(set(three)) == 9
    assert drawn_rows(labels, [0, 1, 2], 3, 6) != three
    assert len(drawn_rows(labels, [0, 2], 9, 5)) == 9 + 3, "a label gives as many as it has"


def test_long_examples_are_cut_to_half_of_the_model(tiny_gpt2: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_gpt2)
    prompts = LabelPrompts(tokenizer, "Labels: {labels}.\n\n{text} ->", ("text",), ["ham", None, "spam"])
    texts, labels = ["a long message " * 30, "short", "another " * 40], np.array([0, 2, 2])
    found = prompts.shots(texts, labels, [0, 1, 2], 60, "head", "here")
    assert len(found.before) <= 60
    assert found.cut == 2
    assert "Labels: ham, spam.\n\n" in tokenizer.decode(found.before)
    assert tokenizer.decode(found.before).count(" ->") == 3
    with pytest.raises(SettingError, match="set fewer shots"):
        prompts.shots(texts, labels, [0, 1, 2], 25, "head", "here")


@pytest.fixture(scope="module")
def made(mail: Path, tiny_gpt2: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    methods = ["zero_shot", {"method": "few_shot", "shots": 1}, "linear_probe"]
    study = study_of(mail, tiny_gpt2, methods, seeds=[0, 1])
    return compare(study, tmp_path_factory.mktemp("prompted") / "study", save="all", threads=1)


def of(made: Result, label: str) -> list[RunRecord]:
    return [record for record in made.records if record.label == label]


@pytest.mark.slow
def test_rows_stand_beside_the_others(made: Result) -> None:
    assert [len(of(made, name)) for name in ("zero_shot", "few_shot", "linear_probe")] == [1, 2, 2]
    assert all(record.status == "completed" for record in made.records), [r.error for r in made.records]
    zero, few = of(made, "zero_shot")[0], of(made, "few_shot")
    assert zero.cost.adapter_bytes == 8
    assert zero.cost.inference_ms
    passes = of(made, "linear_probe")[0].cost.flops
    assert zero.cost.flops
    assert passes
    assert zero.cost.flops < passes, "three prompts are fewer than all training texts"
    assert few[0].notes != few[1].notes, "each seed draws its own examples"
    page = (made.folder / "report.html").read_text(encoding="utf-8")
    assert "few_shot" in page


@pytest.mark.slow
@pytest.mark.parametrize("label", ["zero_shot", "few_shot:1"])
def test_a_saved_row_answers_again(made: Result, label: str, tmp_path: Path) -> None:
    folder = StudyFolder(made.folder)
    record = find_run(folder, label)
    recorded = folder.predictions(record.run_id)
    recorded = recorded[recorded["split"] == "test"]
    texts = folder.examples().set_index("example_id").loc[recorded["example_id"], "text"]
    file = tmp_path / "new.jsonl"
    texts.to_frame().to_json(file, orient="records", lines=True)
    again = predict_file(folder, record, file, "text")
    logits = np.stack(list(recorded["logits"])).astype(float)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    columns = [f"probability of {name}" for name in record.labels]
    np.testing.assert_allclose(again[columns].to_numpy(), shares, atol=1e-5)


@pytest.mark.slow
def test_what_has_no_form_is_refused(made: Result, tmp_path: Path) -> None:
    from whichtune.handover.export import export_row

    with pytest.raises(ExportError, match="asks the language model in words"):
        export_row(made.folder, "zero_shot", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"prompt": "Say it."}, "must have {text} once"),
        ({"prompt": "{text} Label: "}, "must end in"),
        ({"prompt": "Label: {text}"}, "must end in"),
        ({"label_words": {"sapm": "bad"}}, "did you mean 'spam'"),
        ({"label_words": {"spam": "not spam"}}, "have the same words"),
        ({"head": "native"}, "has no head of classes"),
    ],
)
def test_what_means_nothing_is_refused(mail: Path, tiny_gpt2: Path, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        spec_of(mail, tiny_gpt2, "zero_shot", **settings)


def test_encoders_are_refused_beforehand(mail: Path, tiny_bert: Path) -> None:
    with pytest.raises(SettingError, match="an encoder, does not tell: leave it out"):
        spec_of(mail, tiny_bert, "few_shot")


@pytest.mark.slow
def test_an_ignored_label_is_never_the_answer(mail: Path, tiny_gpt2: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(mail)
    frame.loc[frame.index % 4 == 0, "label"] = "unknown"
    frame.to_csv(tmp_path / "three.csv", index=False)
    spec = spec_of(tmp_path / "three.csv", tiny_gpt2, "zero_shot", ignore_index="unknown")
    result = run_one(spec)
    assert logits_of(result)[:, 2].max() == -1e4
    assert set(result.predictions["prediction"]) <= {0, 1}


@pytest.mark.slow
@pytest.mark.parametrize("family", [*DECODERS, "mamba"])
def test_every_family_of_decoders_keeps_its_parts_or_says_why_not(family: str) -> None:
    """Ragged prompts in one batch, behind tokens that all share, against one sequence at a time."""
    if family == "mamba":
        config: Any = MambaConfig(vocab_size=1000, hidden_size=64, num_hidden_layers=2, state_size=8)
    else:
        kind, _, settings = FAMILIES[family]
        config = kind(vocab_size=1000, **settings)
    torch.manual_seed(0)
    causal = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in causal.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    words, before = [[5], [], [6, 7, 8], [9, 5]], [11, 12, 13]
    model = WordClassifier(causal, words, before, False).eval()
    prompts = [list(range(20, 20 + n)) for n in (7, 3, 12, 1)]
    batch = make_batch(prompts, pad_id=0)
    with torch.no_grad():
        found = model(batch)
        for row, prompt in enumerate(prompts):
            for place, said in enumerate(words):
                ids = [*before, *prompt, *said]
                logits = causal(torch.tensor([ids])).logits[0].double().log_softmax(-1)
                expected = sum(float(logits[len(ids) - len(said) + i - 1, token]) for i, token in enumerate(said))
                assert abs(float(found[row, place]) - (expected if said else -1e4)) < 1e-4
    local = {"gpt_neo", "qwen2", "mistral", "gemma3", "mamba", "bloom"}
    assert bool(model.why_whole) == (family in local), model.why_whole
