"""Tagged words: losses against a plain loop, and where words stand among tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertModel, GPT2Model

from made_tags import BATCH, STEPS, as_conll, made_tags, tag_spec
from plain_loop import RATE, SEED, WIDTH
from whichtune.data.tag_encoding import placed
from whichtune.data.tagged import TaggedSplit, load_tagged
from whichtune.errors import ModelError
from whichtune.runs.run import run_one
from whichtune.seeding import DATA_ORDER, HEAD, generator
from whichtune.study.spec import RunSpec
from whichtune.tasks.tagging.evaluate import figures_of

SENTENCE = TaggedSplit(["0"], ["a b c"], [np.array([1, 2, 2])], np.array([[True]]), np.array([False]))


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
    spec = tag_spec(people, request.getfixturevalue(f"tiny_{family}"), method, plan, token)
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
    spec = tag_spec(people, tiny_gpt2, "head_only", "auto").model_copy(update={"context_length": 5, "max_steps": 1})
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
    spec = tag_spec(tmp_path / "a.conll", tiny_gpt2, "head_only", "auto")
    spec = spec.model_copy(update={"context_length": 3, "long_texts_keep": "tail"})
    with pytest.raises(ModelError, match="has a token within the context of 3 tokens"):
        run_one(spec)
