"""Tagged words: losses against a plain loop, figures against seqeval, and the way from data to predictions."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import seqeval.metrics
import torch
from transformers import AutoTokenizer, BertModel, GPT2Model

from command import inside
from made_tags import as_conll, made_tags, tags_file
from method_matrix import SMALL
from serve.running import running
from whichtune.compare import compare, prepare
from whichtune.data.tag_encoding import placed
from whichtune.data.tagged import TaggedSplit, load_tagged
from whichtune.errors import ExportError, ModelError, SettingError
from whichtune.handover.export import export_row
from whichtune.handover.selftest import run_selftest
from whichtune.handover.serve.exported import load_exported
from whichtune.handover.serve.rows import load, pick
from whichtune.methods import METHODS
from whichtune.metrics import METRICS, metrics_of
from whichtune.metrics.entities import counted
from whichtune.metrics.tag_names import tag_names
from whichtune.records.store import StudyFolder
from whichtune.report.view import View
from whichtune.result import open_study
from whichtune.runs.run import run_one
from whichtune.seeding import DATA_ORDER, HEAD, generator
from whichtune.stats.answers import of_tags
from whichtune.study.data_settings import DataSettings
from whichtune.study.load import parse_study
from whichtune.study.spec import RunSpec
from whichtune.tasks.tagging.evaluate import figures_of

NAMES = [metric.name for metric in metrics_of("tags")]
SENTENCE = TaggedSplit(["0"], ["a b c"], [np.array([1, 2, 2])], np.array([[True]]), np.array([False]))
STEPS, SEED, RATE, BATCH, WIDTH = 20, 3, 2e-3, 4, 32


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tags_file(tmp_path_factory.mktemp("people"))


# -- losses ----------------------------------------------------------------------------------------


def spec_of(data: Path, model: Path, method: str, plan: str, token: str = "first") -> RunSpec:
    return RunSpec(
        label="run",
        task="tagging",
        task_settings={"tag_token": token},
        data=DataSettings(source=str(data)),
        model=str(model),
        method=method,
        padding="dynamic",
        context_length=64,
        epochs=9,
        max_steps=STEPS,
        batch_size=BATCH,
        learning_rate=RATE,
        schedule="constant",
        warmup_steps=0,
        gradient_clip=None,
        evaluation_interval=1,
        evaluation_batches=1,
        seed=SEED,
        plan=plan,
    )


def plain_losses(spec: RunSpec, train: TaggedSplit, tags: int) -> list[float]:
    """The losses of a loop apart from whichtune: sentence by sentence, no batches, no cache, words found one by one."""
    tokenizer = AutoTokenizer.from_pretrained(spec.model)
    gpt2 = "gpt2" in spec.model
    model = (GPT2Model if gpt2 else BertModel).from_pretrained(spec.model, attn_implementation="eager").eval()
    drawn, bound = generator(SEED, HEAD), WIDTH**-0.5
    weight, bias = (
        torch.empty(shape).uniform_(-bound, bound, generator=drawn).requires_grad_()
        for shape in ((tags, WIDTH), (tags,))
    )
    blocks = model.h if gpt2 else model.encoder.layer
    last = [*blocks[-1].parameters(), *(model.ln_f.parameters() if gpt2 else [])]
    inner = {"head_only": [], "last_block": last, "full": list(model.parameters())}[spec.method]
    optimiser = torch.optim.AdamW([weight, bias, *inner], lr=RATE, weight_decay=0.01)
    ids, places = zip(*[by_hand(tokenizer, text) for text in train.texts], strict=True)
    at = 0 if spec.task_settings["tag_token"] == "first" else 1
    losses, order = [], generator(SEED, DATA_ORDER)
    while len(losses) < STEPS:
        rows = torch.randperm(len(ids), generator=order).tolist()
        for start in range(0, len(rows), BATCH):
            summed, words = torch.zeros(()), 0
            for row in rows[start : start + BATCH]:
                states = model(torch.tensor([ids[row]])).last_hidden_state[0]
                logits = states[[span[at] for span in places[row]]] @ weight.T + bias
                chosen = logits.log_softmax(1)[torch.arange(len(logits)), torch.tensor(train.tags[row])]
                summed, words = summed - chosen.sum(), words + len(logits)
            optimiser.zero_grad()
            (summed / words).backward()
            optimiser.step()
            losses.append(float(summed.detach()) / words)
    return losses[:STEPS]


def by_hand(tokenizer, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """Token ids, and each word's first and last token, from the words' own tokens; the tokenizer is GPT-2's."""
    ids: list[int] = []
    spans = []
    for number, word in enumerate(text.split(" ")):
        own = tokenizer(word if number == 0 else f" {word}")["input_ids"]
        blank = tokenizer.decode(own[:1]).isspace()  # a blank by itself is no token of the word
        spans.append((len(ids) + blank, len(ids) + len(own) - 1))
        ids += own
    assert ids == tokenizer(text)["input_ids"]
    return ids, spans


@pytest.mark.parametrize(
    ("family", "method", "plan", "token"),
    [
        ("bert", "last_block", "auto", "first"),
        pytest.param("gpt2", "head_only", "auto", "last", marks=pytest.mark.slow),
        pytest.param("gpt2", "full", "off", "first", marks=pytest.mark.slow),
        pytest.param("gpt2", "last_block", "auto", "first", marks=pytest.mark.slow),
        pytest.param("bert", "head_only", "auto", "first", marks=pytest.mark.slow),
        pytest.param("bert", "full", "auto", "last", marks=pytest.mark.slow),
        pytest.param("bert", "last_block", "off", "first", marks=pytest.mark.slow),
    ],
)
def test_equals_a_plain_loop(
    request: pytest.FixtureRequest, people: Path, family: str, method: str, plan: str, token: str
) -> None:
    spec = spec_of(people, request.getfixturevalue(f"tiny_{family}"), method, plan, token)
    result = run_one(spec)
    dataset = load_tagged(spec.data)
    expected = plain_losses(spec, dataset.splits["train"], dataset.outputs)
    np.testing.assert_allclose([point["train_loss"] for point in result.curves], expected, atol=1e-5)
    used = result.record.shortcuts.get("used")
    assert (used is None) == (plan == "off")
    if used is not None:
        assert used["cached"] == {"head_only": "read", "last_block": "states", "full": "nothing"}[method]


# -- words among tokens ----------------------------------------------------------------------------


@pytest.mark.slow
def test_words_are_found_as_transformers_finds_them(minilm: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    sentences = [[word for word, _ in sentence] for sentence in made_tags(30)]
    for words, found in zip(
        sentences, placed([" ".join(words) for words in sentences], tokenizer, "first"), strict=True
    ):
        known = tokenizer(words, is_split_into_words=True)
        assert found.tokens == known["input_ids"]
        assert found.places.tolist() == [known.word_ids().index(number) for number in range(len(words))]


def test_a_sentence_is_cut_with_its_words(tiny_gpt2: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_gpt2)
    (whole,) = placed(["Umberto lives in New York"], tokenizer, "first")
    assert whole.cut(len(whole.tokens), "head") is whole
    head, tail = (whole.cut(2, keep) for keep in ("head", "tail"))
    assert head.tokens == whole.tokens[:2]
    assert tail.tokens == whole.tokens[-2:]
    assert head.places[0] == 0
    assert head.places[-1] == tail.places[0] == -1
    assert whole.tokens[-2:][tail.places[-1]] == whole.tokens[whole.places[-1]]
    (last,) = placed(["Umberto lives in New York"], tokenizer, "last")
    assert last.places[0] > whole.places[0]
    assert tokenizer.decode(last.tokens[: last.places[0] + 1]) == "Umberto"


def test_a_word_that_the_context_does_not_hold_is_outside() -> None:
    logits = [np.array([[0.0, 5.0, 0.0], [np.nan] * 3, [0.0, 0.0, 9.0]], dtype=np.float32)]
    found = figures_of({"test": logits}, {"test": SENTENCE})
    test = found.metrics.test
    assert (test.words, test.words_cut, test.entities) == (3, 1, 1)
    assert found.predictions["prediction"][0] == [1, 0, 2]  # two entities, since the word between is outside
    assert (test.entity_precision, test.entity_recall) == (0, 0)
    assert test.loss == pytest.approx((np.log(2 * np.exp(-5) + 1) + np.log(2 * np.exp(-9) + 1)) / 2)
    assert np.isnan(found.predictions["probability"][0]).tolist() == [False, True, False]


@pytest.mark.slow
def test_words_beyond_the_context_are_told(tiny_gpt2: Path, people: Path) -> None:
    spec = spec_of(people, tiny_gpt2, "head_only", "auto").model_copy(update={"context_length": 5, "max_steps": 1})
    record = (result := run_one(spec)).record
    test = record.metrics.test
    assert 0 < test.words_cut < test.words
    assert any(f"{test.words_cut} of {test.words} in test" in note and "tagged O" in note for note in record.notes)
    rows = result.predictions[result.predictions["split"] == "test"]
    sure = np.concatenate(rows["probability"].to_list())
    assert int(np.isnan(sure).sum()) == test.words_cut
    assert not np.concatenate(rows["prediction"].to_list())[np.isnan(sure)].any()


def test_a_context_without_a_word_is_refused(tiny_gpt2: Path, tmp_path: Path) -> None:
    sentences = [[*sentence, ("\u200b" * 40 + "x", "O")] for sentence in made_tags(20)]
    (tmp_path / "a.conll").write_text(as_conll(sentences), encoding="utf-8")
    spec = spec_of(tmp_path / "a.conll", tiny_gpt2, "head_only", "auto")
    spec = spec.model_copy(update={"context_length": 3, "long_texts_keep": "tail"})
    with pytest.raises(ModelError, match="has a token within the context of 3 tokens"):
        run_one(spec)


# -- figures ---------------------------------------------------------------------------------------


def drawn_tags(sentences: int, seed: int, kinds: int = 3) -> tuple[list[list[int]], list[list[int]]]:
    """True tags, as a draft has them, and predictions that differ here and there, in no order."""
    draw = np.random.default_rng(seed)
    shares = [0.6, *[0.4 / (2 * kinds)] * (2 * kinds)]
    true = [draw.choice(2 * kinds + 1, draw.integers(1, 12), p=shares).tolist() for _ in range(sentences)]
    told = [[int(draw.integers(2 * kinds + 1)) if draw.random() < 0.15 else tag for tag in row] for row in true]
    return told, true


@pytest.mark.parametrize("seed", range(3))
def test_figures_are_those_of_seqeval(seed: int) -> None:
    told, true = drawn_tags(120, seed)
    names = tag_names(["A", "B", "C"])
    written = [[[names[tag] for tag in row] for row in rows] for rows in (true, told)]
    counts = counted(told, true)
    found = {name: float(METRICS[name].of_tags(*counts).mean()) for name in NAMES}
    assert found["entity_f1"] == pytest.approx(seqeval.metrics.f1_score(*written), abs=1e-12)
    assert found["entity_precision"] == pytest.approx(seqeval.metrics.precision_score(*written), abs=1e-12)
    assert found["entity_recall"] == pytest.approx(seqeval.metrics.recall_score(*written), abs=1e-12)
    assert found["entity_f1_macro"] == pytest.approx(seqeval.metrics.f1_score(*written, average="macro"), abs=1e-12)
    assert found["tag_accuracy"] == pytest.approx(seqeval.metrics.accuracy_score(*written), abs=1e-12)


def test_where_entities_begin_and_end() -> None:
    def spans(tags: list[int]) -> list[int]:
        return counted([tags], [tags])[0].sum(axis=0)[:, 2].tolist()

    assert spans([1, 2, 0, 1]) == [2]  # B I O B
    assert spans([2, 2, 0, 2]) == [2]  # I I O I, as IOB1 has it
    assert spans([1, 1, 2]) == [2]  # B B I
    assert spans([1, 4, 4]) == [1, 1]  # B-0 I-1 I-1
    told, true = [[1, 2, 0], [1, 0, 0]], [[1, 2, 0], [1, 2, 0]]
    assert counted(told, true)[0][:, 0].tolist() == [[1, 1, 1], [0, 1, 1]]  # one right; one of another length
    nothing = counted([[0, 0]], [[0, 0]])
    assert [float(METRICS[name].of_tags(*nothing).mean()) for name in NAMES] == [0, 0, 0, 0, 1]


@pytest.mark.parametrize("name", NAMES)
def test_influence_foretells_what_leaving_one_out_does(name: str) -> None:
    counts, words = counted(*drawn_tags(400, 7))
    of = METRICS[name].of_tags
    whole = of(counts, words)
    for left in range(0, 400, 37):
        keep = np.arange(400) != left
        moved = 399 * (whole.mean() - of(counts[keep], words[keep]).mean())
        influence = whole[left] - whole.mean()
        assert moved == pytest.approx(influence, abs=0.05 + 0.05 * abs(influence)), left


def test_figures_of_a_part_are_computed_of_that_part() -> None:
    told, true = drawn_tags(80, 4)
    lengths = np.array([len(row) for row in true])
    part = of_tags(told, true, np.ones(80), lengths).of(np.arange(80) < 50)
    expected = METRICS["entity_f1_macro"].of_tags(*counted(told[:50], true[:50])).mean()
    assert part.figures["entity_f1_macro"].mean() == pytest.approx(expected)
    assert part.tokens.tolist() == lengths[:50].tolist()


# -- a study ---------------------------------------------------------------------------------------


def words_for(data: Path, model: Path) -> list[str]:
    words = ["compare", "--task", "tagging", "--data", str(data), "--model", str(model), "--no-figures"]
    more = ["--methods", "head_only,word_tag,all_outside", "--seeds", "0", "--set", "max_steps=3", "--save", "all"]
    return [*words, *more, "--set", "early_stopping=entity_f1"]


@pytest.fixture(scope="module")
def made(tiny_gpt2: Path, people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "study"
    assert "test entity F1" in inside(*words_for(people, tiny_gpt2), "--out", str(folder)).stdout
    return folder


def test_page_and_tables_tell_of_types(made: Path) -> None:
    page = (made / "report.html").read_text(encoding="utf-8")
    assert "Results by type" in page
    assert "An entity is right where its words and its type are exactly those of a true one" in page
    with (made / "table.csv").open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file))
    assert {f"test_{name}" for name in NAMES} <= set(header)
    result = open_study(made)
    assert next(row.label for row in View(result.summary).scored) == "word_tag"
    assert result.summary.verdict.recommended == "word_tag"
    low, high = next(row for row in result.summary.intervals.methods if row.label == "word_tag").interval
    assert 0 <= low <= high <= 1
    outside = next(record.metrics.test for record in result.records if record.label == "all_outside")
    assert (outside.entity_f1, outside.entity_recall) == (0, 0)
    assert "right, " in inside("show", str(made), "word_tag").stdout


def test_predictions_are_those_that_were_recorded(made: Path, people: Path, tmp_path: Path) -> None:
    for run in ("head_only:0", "word_tag"):
        out = tmp_path / f"{run[:4]}.csv"
        inside("predict", str(made), run, str(people), "--out", str(out))
        found = pd.read_csv(out, keep_default_na=False)
        assert list(found.columns) == ["text", "prediction", "entities", "probability"]
        record = next(r for r in open_study(made).records if run in (r.label, f"{r.label}:{r.seed}"))
        recorded = pd.read_parquet(made / "runs" / record.run_id / "predictions.parquet")
        test = recorded[recorded["split"] == "test"]
        again = [found["prediction"][int(row)] for row in test["example_id"]]
        assert again == [" ".join(record.labels[tag] for tag in tags) for tags in test["prediction"]]
    (tmp_path / "new.txt").write_text("Anna Lee  lives in\tNew York .\nnobody\n", encoding="utf-8")
    inside("predict", str(made), "word_tag", str(tmp_path / "new.txt"), "--out", str(tmp_path / "new.csv"))
    found = pd.read_csv(tmp_path / "new.csv", keep_default_na=False)
    assert found["prediction"][0] == "B-PER I-PER O O B-LOC I-LOC O"
    assert found["entities"].tolist() == ["Anna Lee (PER); New York (LOC)", ""]


def test_rows_are_handed_on(made: Path, tmp_path: Path) -> None:
    """Exported, and served from the study and from the export: the same tags, and entities by where they stand."""
    done = export_row(made, "head_only", tmp_path / "out")
    assert (done.form, done.difference < 1e-5, run_selftest(tmp_path / "out").equal) == ("transformers", True, True)
    with pytest.raises(ExportError, match="a table of words and their tags"):
        export_row(made, "word_tag", tmp_path / "refused")
    text = "\U0001f642  Anna Lee\tlives in New York ."
    with running(load(pick(StudyFolder(made), "head_only", None, "word_tag"), remote_code=False)) as server:
        answer = server.predict([text, ["Anna", "Lee"]]).json
        sent = server.ask("POST", "/batch", f'tokens\n"{text}"\n'.encode(), {"Content-Type": "text/csv"}).body.decode()
        refused = [server.predict([given]).status for given in (["Anna", 3], [], {"text": "a"})]
        about = server.ask("GET", "/metadata").json
    found = answer["compared"]["predictions"][0]
    assert found["words"] == text.split()
    assert found["tags"] == ["O", "B-PER", "I-PER", "O", "O", "B-LOC", "I-LOC", "O"]
    spans = [(one["type"], one["text"], text[one["start"] : one["end"]]) for one in found["entities"]]
    assert spans == [("PER", "Anna Lee", "Anna Lee"), ("LOC", "New York", "New York")]
    assert found["entities"][0]["probability"] == min(found["probabilities"][1:3])
    table = pd.read_csv(io.StringIO(sent), keep_default_na=False)
    assert table["entities by word_tag"].tolist() == ["Anna Lee (PER); New York (LOC)"]
    assert (refused, about["answers"], about["classes"][:2]) == ([422] * 3, "tags", ["O", "B-LOC"])
    with running(load_exported(tmp_path / "out")) as server:
        again = server.predict([text]).json["predictions"][0]
    assert again["tags"] == answer["predictions"][0]["tags"]
    np.testing.assert_allclose(again["probabilities"], answer["predictions"][0]["probabilities"], atol=1e-3)


def test_changed_tags_and_figures_are_noticed(made: Path, tmp_path: Path) -> None:
    from whichtune.records.verify import run_fault

    record = next(record for record in open_study(made).records if record.label == "word_tag")
    run = tmp_path / record.run_id
    shutil.copytree(made / "runs" / record.run_id, run)
    assert run_fault(run) is None
    (run / "checksums.json").unlink()
    assert run_fault(run) is None  # figures follow from the tags
    table = pd.read_parquet(run / "predictions.parquet")
    table.assign(prediction=[[0] * len(tags) for tags in table["target"]]).to_parquet(run / "predictions.parquet")
    assert "do not follow" in str(run_fault(run))
    table.assign(prediction=[[0]] * len(table)).to_parquet(run / "predictions.parquet")
    assert "do not follow" in str(run_fault(run))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"methods": ["linear_probe"]}, "'linear_probe' is for classification and regression, not for tagging"),
        ({"methods": ["knn"]}, "'knn' is for classification, not for tagging"),
        ({"baselines": ["majority"]}, "'majority' is for classification, not for tagging"),
        ({"primary_metric": "accuracy"}, "tagging has no accuracy"),
        ({"settings": {"class_weight": "balanced"}}, "'class_weight' is for classification"),
        ({"settings": {"token_position": "mean"}}, "token_position means nothing for tagging"),
        ({"settings": {"head": "native"}}, "head means nothing for tagging"),
        ({"settings": {"tag_token": "middle"}}, "tag_token"),
    ],
)
def test_settings_of_other_tasks_are_refused(
    tiny_gpt2: Path, people: Path, changes: dict[str, object], sentence: str
) -> None:
    value = {
        "task": "tagging",
        "data": {"source": str(people)},
        "model": str(tiny_gpt2),
        "methods": ["head_only"],
        "seeds": [0],
        **changes,
    }
    with pytest.raises(SettingError, match=sentence):
        prepare(parse_study(value, "test"))


@pytest.mark.slow
@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_every_method_that_trains_by_steps_goes(
    request: pytest.FixtureRequest, people: Path, tmp_path: Path, family: str
) -> None:
    """Each by its plan and without, to the same losses; and what it saved answers as it did."""
    model = request.getfixturevalue(f"tiny_{family}")
    left = {"peft"} | ({"prefix_tuning"} if family == "bert" else set())  # any type of PEFT's; for decoders
    names = [name for name, method in METHODS.items() if "tagging" in method.tasks and name not in left]
    losses = {}
    for plan in ("auto", "off"):
        value = {
            "task": "tagging",
            "data": {"source": str(people)},
            "model": str(model),
            "methods": [{"method": name, **SMALL.get(name, {})} for name in names],
            "seeds": [0],
            "plan": plan,
            "baselines": [],
            "settings": {"max_steps": 3, "batch_size": 8, "evaluation_interval": 1, "evaluation_batches": 1},
        }
        expansion, _ = prepare(parse_study(value, "test"))
        for spec in expansion.specs:
            result = run_one(spec)
            losses[spec.label, plan] = [point["train_loss"] for point in result.curves if "train_loss" in point]
            assert result.save is not None
            (folder := tmp_path / f"{spec.label}-{plan}").mkdir()
            result.save(folder)  # which has it answer again
    for name in names:
        np.testing.assert_allclose(losses[name, "auto"], losses[name, "off"], atol=2e-5, err_msg=name)


@pytest.mark.slow
def test_a_decoder_that_sees_the_whole_sentence(tiny_gpt2: Path, people: Path) -> None:
    losses = []
    for causal, plan in ((False, "auto"), (False, "off"), (True, "auto")):
        changes = {"causal_mask": causal, "max_steps": 6}
        result = run_one(spec_of(people, tiny_gpt2, "last_block", plan).model_copy(update=changes))
        losses.append([point["train_loss"] for point in result.curves])
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-5)
    assert np.abs(np.array(losses[0]) - losses[2]).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("varied", [{"folds": 3}, {"resplit": True}])
def test_each_seed_can_have_a_split_of_its_own(
    tiny_gpt2: Path, people: Path, tmp_path: Path, varied: dict[str, object]
) -> None:
    value = {
        "task": "tagging",
        "data": {"source": str(people), **varied},
        "model": str(tiny_gpt2),
        "methods": ["head_only"],
        "baselines": ["word_tag"],
        "seeds": [0, 1, 2],
        "settings": {"max_steps": 3},
    }
    result = compare(parse_study(value, "test"), tmp_path / "s", threads=1)
    assert {record.status for record in result.records} == {"completed"}
    assert {pair.holds_for for pair in result.summary.comparisons} == {"splits"}


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["entity_f1_macro", "tag_accuracy", "entity_recall"])
def test_any_of_its_metrics_can_decide(made: Path, tiny_gpt2: Path, people: Path, tmp_path: Path, metric: str) -> None:
    """The same runs, judged anew."""
    shutil.copytree(made, folder := tmp_path / "study")
    words = [*words_for(people, tiny_gpt2), "--set", f"primary_metric={metric}", "--out", str(folder)]
    assert "0 to make" in inside(*words).stdout
    summary = open_study(folder).summary
    assert summary.verdict.recommended == "word_tag"
    pair = next(pair for pair in summary.comparisons if {pair.a, pair.b} == {"all_outside", "word_tag"})
    assert (pair.metric, pair.verdict) == (metric, {"word_tag": "better", "all_outside": "worse"}[pair.a])
    small = next(check for check in summary.checks if check.code == "small_class")
    assert small.status == ("passed" if metric == "entity_f1_macro" else "not_applicable")
