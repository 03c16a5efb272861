"""Texts of several columns: pair encoding, templates, truncation, baselines, and the way from data to predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional
from transformers import AutoTokenizer, BertModel

from command import inside
from made_pairs import BEST, made_pairs, save_bert
from whichtune.compare import compare, prepare
from whichtune.data.field_encoding import Frame, Paired, Templated, rooms
from whichtune.data.splits import load_dataset
from whichtune.errors import DataError, ModelError, SettingError
from whichtune.runs.estimate import estimate_runs
from whichtune.runs.run import run_one
from whichtune.seeding import DATA_ORDER, HEAD, generator
from whichtune.study.data_settings import DataSettings
from whichtune.study.fields import FIELD_END
from whichtune.study.load import parse_study
from whichtune.study.spec import RunSpec

COLUMNS = "premise,hypothesis"
QUICK = {"epochs": 1, "max_steps": 3, "batch_size": 8, "learning_rate": 2e-3}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("pairs") / "pairs.csv"
    made_pairs(200).to_csv(file, index=False)
    return file


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory, pairs: Path) -> Path:
    frame = pd.read_csv(pairs)
    return save_bert(tmp_path_factory.mktemp("bert"), " ".join([*frame["premise"], *frame["hypothesis"]]).split())


def study_value(data: Path, model: Path, **changes: object) -> dict[str, object]:
    return {
        "data": {"source": str(data), "text_column": COLUMNS},
        "model": str(model),
        "methods": ["head_only"],
        "baselines": [],
        "seeds": [0],
        "settings": QUICK,
        **changes,
    }


def spec_of(data: Path, model: Path, plan: str, **changes: object) -> RunSpec:
    settings = {
        "label": "run",
        "data": DataSettings(source=str(data), text_column=COLUMNS),
        "model": str(model),
        "token_position": "first",
        "padding": "dynamic",
        "context_length": 64,
        "epochs": 9,
        "max_steps": 12,
        "batch_size": 8,
        "learning_rate": 2e-3,
        "schedule": "constant",
        "warmup_steps": 0,
        "gradient_clip": None,
        "evaluation_interval": 1,
        "evaluation_batches": 1,
        "seed": 3,
        "plan": plan,
        **changes,
    }
    return RunSpec(**settings)


def test_pairs_are_encoded_as_the_family_does(bert: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(bert)
    texts = [("a red box in the hall", "a lamp"), ("door", "there is a blue coat in the cellar"), ("a box", "a lamp")]
    rows = len(tokenizer)
    encoder = Paired(tokenizer, Frame.of(tokenizer), rows)
    whole = tokenizer([a for a, _ in texts], [b for _, b in texts])
    ours = encoder.whole([FIELD_END.join(pair) for pair in texts])
    assert [[i % rows for i in ids] for ids in ours] == whole["input_ids"]
    assert [[i // rows for i in ids] for ids in ours] == whole["token_type_ids"]
    for limit in range(5, 13):  # the longest first, as transformers has it
        cut = tokenizer([a for a, _ in texts], [b for _, b in texts], truncation="longest_first", max_length=limit)
        ours = encoder.cut([FIELD_END.join(pair) for pair in texts], limit, "head")
        assert [[i % rows for i in ids] for ids in ours] == cut["input_ids"], limit


def test_three_fields_have_a_separator_each(bert: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(bert)
    encoder = Paired(tokenizer, Frame.of(tokenizer), len(tokenizer))
    (ids,) = encoder.whole([FIELD_END.join(["box", "lamp", "coat"])])
    said = [(tokenizer.convert_ids_to_tokens(i % len(tokenizer)), i // len(tokenizer)) for i in ids]
    assert said == [("[CLS]", 0), ("box", 0), ("[SEP]", 0), ("lamp", 1), ("[SEP]", 1), ("coat", 1), ("[SEP]", 1)]


def test_a_pretrained_tokenizer_pairs_texts_alike(minilm: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    encoder = Paired(tokenizer, Frame.of(tokenizer), len(tokenizer))
    one, other = "Un café, s'il vous plaît!", "the unbelievable 42nd ﬁle"
    found = tokenizer(one, other)
    (ids,) = encoder.whole([one + FIELD_END + other])
    assert [i % len(tokenizer) for i in ids] == found["input_ids"]
    assert [i // len(tokenizer) for i in ids] == found["token_type_ids"]


@pytest.mark.parametrize(
    ("sizes", "total", "expected"),
    [
        ([9, 2], 8, [6, 2]),
        ([9, 9], 7, [3, 4]),
        ([9, 8], 7, [4, 3]),
        ([1, 1], 9, [1, 1]),
        ([9, 1, 9], 8, [3, 1, 4]),
    ],
)
def test_the_longest_field_loses_first(sizes: list[int], total: int, expected: list[int]) -> None:
    assert rooms(sizes, total) == expected


@pytest.mark.parametrize(("keep", "expected"), [("head", "a b c"), ("tail", "e f g"), ("both", "a b g")])
def test_a_template_keeps_its_words_when_a_field_is_cut(tiny_gpt2: Path, keep: str, expected: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_gpt2)
    encoder = Templated(tokenizer, "first: {x} second: {y}", ["x", "y"])
    text = "a b c d e f g" + FIELD_END + "z"
    (whole,) = encoder.whole([text])
    assert whole == tokenizer("first: a b c d e f g second: z")["input_ids"]
    (cut,) = encoder.cut([text], len(whole) - 4, keep)
    assert tokenizer.decode(cut).split() == ["first:", *expected.split(), "second:", "z"]


@pytest.mark.parametrize("method", ["full", "last_block"])
@pytest.mark.parametrize("plan", ["off", "auto"])
def test_equals_a_plain_loop_that_passes_segments(bert: Path, pairs: Path, plan: str, method: str) -> None:
    spec = spec_of(pairs, bert, plan, method=method)
    result = run_one(spec)
    dataset, tokenizer = load_dataset(spec.data), AutoTokenizer.from_pretrained(bert)
    train = dataset.splits["train"]
    model = BertModel.from_pretrained(bert, add_pooling_layer=False, attn_implementation="eager")
    model.eval()  # the study's dropout is 0
    drawn = generator(3, HEAD)
    weight, bias = (
        torch.empty(shape).uniform_(-(32**-0.5), 32**-0.5, generator=drawn).requires_grad_()
        for shape in ((2, 32), (2,))
    )
    inner = list((model if method == "full" else model.encoder.layer[-1]).parameters())
    optimiser = torch.optim.AdamW([weight, bias, *inner], lr=2e-3, weight_decay=0.01)

    def logits(texts: list[str]) -> torch.Tensor:
        one, other = zip(*(text.split(FIELD_END) for text in texts), strict=True)
        batch = tokenizer(list(one), list(other), padding=True, return_tensors="pt")
        assert batch["token_type_ids"].any()
        return model(**batch).last_hidden_state[:, 0] @ weight.T + bias

    losses, order = [], generator(3, DATA_ORDER)
    while len(losses) < 12:
        rows = torch.randperm(len(train), generator=order).tolist()
        for start in range(0, len(rows), 8):
            chosen = rows[start : start + 8]
            loss = functional.cross_entropy(
                logits([train.texts[r] for r in chosen]), torch.tensor(train.labels[chosen])
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
    np.testing.assert_allclose([point["train_loss"] for point in result.curves], losses[:12], atol=1e-5)


@pytest.mark.parametrize("method", ["soft_prompt", "lora"])
@pytest.mark.slow  # two models trained
def test_virtual_tokens_and_adapters_see_segments(bert: Path, pairs: Path, method: str) -> None:
    """By the plan and the plain way alike, and otherwise than without segments."""
    small = {"method": method, "max_steps": 3, "context_length": 40}
    runs = [run_one(spec_of(pairs, bert, plan, **small)) for plan in ("off", "auto")]
    losses = [[point["train_loss"] for point in run.curves] for run in runs]
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-5)
    template = spec_of(pairs, bert, "off", **small, fields_template="{premise} {hypothesis}")
    assert abs(run_one(template).curves[0]["train_loss"] - losses[0][0]) > 1e-4


def test_tfidf_compares_the_sides(tmp_path: Path, tiny_gpt2: Path) -> None:
    made_pairs(2000).to_csv(tmp_path / "pairs.csv", index=False)
    value = study_value(
        tmp_path / "pairs.csv", tiny_gpt2, methods=[], baselines=["majority", "tfidf_char", "tfidf_word"]
    )
    result = compare(parse_study(value, "test"), tmp_path / "study", threads=1, save="all")
    scores = {record.label: record.metrics.test.accuracy for record in result.records}
    noise = 3 * (BEST * (1 - BEST) / 400) ** 0.5
    assert scores["majority"] < 0.6
    assert BEST - noise - 0.02 < scores["tfidf_word"] < BEST + noise
    assert scores["tfidf_char"] < BEST + noise
    again = result.predictor("tfidf_word").predict([("there is a red box in the hall", "a red box")])
    assert list(again.columns[:3]) == ["premise", "hypothesis", "prediction"]
    assert list(again["prediction"]) == ["yes"]
    with pytest.raises(DataError, match=r"Text 1 of those to predict is not a tuple of 2 texts"):
        result.predictor("tfidf_word").predict(["one text"])


def test_from_data_to_predictions(bert: Path, pairs: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    arguments = [
        "--data",
        str(pairs),
        "--text-column",
        COLUMNS,
        "--model",
        str(bert),
        "--methods",
        "head_only,tfidf_word",
    ]
    more = ["--seeds", "0", "--set", "max_steps=3", "--save", "all"]
    assert "head_only" in inside("compare", *arguments, *more, "--dry-run").stdout
    inside("compare", *arguments, *more, "--out", str(study))
    page = (study / "report.html").read_text(encoding="utf-8")
    assert FIELD_END not in page
    frame = pd.read_csv(pairs).head(5)
    frame.to_csv(tmp_path / "new.csv", index=False)
    inside("predict", str(study), "head_only", str(tmp_path / "new.csv"), "--out", str(tmp_path / "out.csv"))
    answers = pd.read_csv(tmp_path / "out.csv")
    assert list(answers["hypothesis"]) == list(frame["hypothesis"])
    assert set(answers["prediction"]) <= {"yes", "no"}
    (tmp_path / "new.txt").write_text("one text\n")
    for file, options, sentence in (
        ("new.txt", [], "has one text a line, and 2 fields are needed"),
        ("new.csv", ["--text-column", "premise"], "reads 2 text columns"),
    ):
        refused = inside("predict", str(study), "head_only", str(tmp_path / file), *options, code=2)
        assert sentence in " ".join(refused.stderr.split())
    from whichtune import export_row

    export_row(study, "head_only", tmp_path / "exported", form="onnx")
    card = (tmp_path / "exported" / "README.md").read_text(encoding="utf-8")
    assert "batch = tokenizer(*map(list, zip(*texts)), truncation=True" in card


@pytest.mark.parametrize(
    ("columns", "changes", "error", "sentence"),
    [
        ("premise,hypotesis", {}, DataError, "has no column 'hypotesis': did you mean 'hypothesis'"),
        ("premise,", {}, SettingError, "name a column between all commas"),
        ("premise,premise", {}, SettingError, "name each column once"),
        (COLUMNS, {"settings": {"fields_template": "{premise}"}}, SettingError, r"must have \{hypothesis\} once"),
        ("premise", {"settings": {"fields_template": "{premise}"}}, SettingError, "there is one: leave it out"),
        (COLUMNS, {"settings": {"context_length": 4}}, SettingError, "leave no room for 2 texts"),
    ],
)
def test_what_cannot_be_read_is_refused(
    bert: Path, pairs: Path, columns: str, changes: dict[str, object], error: type[Exception], sentence: str
) -> None:
    value = study_value(pairs, bert, **changes)
    value["data"] = {"source": str(pairs), "text_column": columns}

    def begun() -> None:
        expansion, dataset = prepare(parse_study(value, "test"))
        estimate_runs(expansion.specs, dataset)

    with pytest.raises(error, match=sentence):
        begun()


def test_odd_cells_are_refused(tiny_gpt2: Path, tmp_path: Path) -> None:
    frame = made_pairs(60)
    for cell, sentence in (("", "an empty text"), ("a\x1fb", r"holds the sign U\+001F")):
        frame.assign(premise=[cell, *frame["premise"][1:]]).to_csv(tmp_path / "odd.csv", index=False)
        with pytest.raises(DataError, match=f"Row 1 of odd.csv .*{sentence}"):
            load_dataset(DataSettings(source=str(tmp_path / "odd.csv"), text_column=COLUMNS))
    frame.rename(columns={"premise": COLUMNS}).to_csv(tmp_path / "comma.csv", index=False)
    with pytest.raises(DataError, match="write it in double quotes"):
        load_dataset(DataSettings(source=str(tmp_path / "comma.csv"), text_column=COLUMNS))
    read = load_dataset(DataSettings(source=str(tmp_path / "comma.csv"), text_column=f'"{COLUMNS}"'))
    assert FIELD_END not in read.splits["train"].texts[0]
    value = study_value(tmp_path / "odd.csv", tiny_gpt2, task="text_to_text")
    value["data"] = {"source": str(tmp_path / "odd.csv"), "text_column": COLUMNS, "target_column": "label"}
    frame.to_csv(tmp_path / "odd.csv", index=False)
    study = parse_study(value, "test")
    with pytest.raises(DataError, match="several text columns are for tasks with labels"):
        prepare(study)


def test_an_embedding_that_is_too_small_is_told(bert: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(bert)
    with pytest.raises(ModelError, match="embeddings have 3 rows"):
        Paired(tokenizer, Frame.of(tokenizer), 3).whole(["box" + FIELD_END + "lamp"])
