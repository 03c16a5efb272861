"""Long texts: which part is kept, batches of similar length, and what the record says of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from realdata import shared
from test_oracle import spec_of
from whichtune.compare import compare, prepare
from whichtune.data.encoding import encode
from whichtune.data.splits import load_dataset
from whichtune.data.truncation import cut_texts, cut_tokens
from whichtune.embedded import model_path
from whichtune.errors import SettingError
from whichtune.runs.run import run_one
from whichtune.seeding import DATA_ORDER, generator
from whichtune.study.data_settings import DataSettings
from whichtune.study.load import parse_study
from whichtune.study.spec import RunSpec
from whichtune.training.batching import epoch_batches, first_epoch, padding_share

TEXT = "one two three four five six seven eight nine ten eleven twelve"


@pytest.fixture(scope="module")
def gpt2_tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model_path())


@pytest.fixture(scope="module")
def bert_tokenizer(minilm: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(minilm)


def test_what_is_kept_without_special_tokens(gpt2_tokenizer: Any) -> None:
    ids = gpt2_tokenizer(TEXT)["input_ids"]
    cut = {keep: cut_texts([TEXT], gpt2_tokenizer, 5, keep)[0] for keep in ("head", "tail", "both")}
    assert cut == {"head": ids[:5], "tail": ids[-5:], "both": [*ids[:3], *ids[-2:]]}


def test_special_tokens_stay_at_their_ends(bert_tokenizer: Any) -> None:
    ids = bert_tokenizer(TEXT)["input_ids"]
    assert len(ids) == 14
    first, *body, last = ids
    cut = {keep: cut_texts([TEXT], bert_tokenizer, 7, keep)[0] for keep in ("head", "tail", "both")}
    assert cut == {
        "head": [first, *body[:5], last],
        "tail": [first, *body[-5:], last],
        "both": [first, *body[:3], *body[-2:], last],
    }
    assert bert_tokenizer.convert_ids_to_tokens([first, last]) == ["[CLS]", "[SEP]"]


def test_the_head_is_what_the_tokenizers_own_truncation_keeps(gpt2_tokenizer: Any, bert_tokenizer: Any) -> None:
    texts = list(pd.read_csv(shared("data/imdb/train.csv.gz"))["text"].head(8))
    for tokenizer in (gpt2_tokenizer, bert_tokenizer):
        for limit in (3, 64, 101):
            own = tokenizer(texts, truncation=True, max_length=limit)["input_ids"]
            assert cut_texts(texts, tokenizer, limit, "head") == own


def test_signs_that_look_like_special_tokens_are_text(bert_tokenizer: Any) -> None:
    text = f"[CLS] {TEXT} [SEP]"
    ids = bert_tokenizer(text)["input_ids"]
    assert cut_texts([text], bert_tokenizer, 6, "tail") == [[ids[0], *ids[-5:]]]


@pytest.mark.parametrize("keep", ["head", "tail", "both"])
@pytest.mark.parametrize("limit", range(3, 9))
def test_the_limit_is_met_exactly(keep: Any, limit: int) -> None:
    ids, special = [101, *range(9), 102], [1, *[0] * 9, 1]
    cut = cut_tokens(ids, special, limit, keep)
    assert len(cut) == limit
    assert (cut[0], cut[-1]) == (101, 102)
    assert [token for token in ids if token in cut] == cut  # in order, none twice


def test_a_limit_below_the_special_tokens_is_one_sentence(bert_tokenizer: Any, mail: Path) -> None:
    with pytest.raises(SettingError, match="2 tokens leave no room for the text beside the tokenizer's 2 special"):
        encode(
            load_dataset(DataSettings(source=str(mail))),
            bert_tokenizer,
            context_length=2,
            max_length=512,
            padding="dynamic",
            attend_to_padding=False,
        )


@pytest.mark.slow
def test_the_kept_part_is_a_factor_counted_and_told(tiny_gpt2: Path, mail: Path, tmp_path: Path) -> None:
    study = parse_study(
        {
            "data": str(mail),
            "model": str(tiny_gpt2),
            "methods": ["head_only"],
            "factors": {"long_texts_keep": ["head", "tail", "both"]},
            "settings": {"context_length": 12, "epochs": 1},
            "seeds": [0],
            "baselines": [],
        },
        "test",
    )
    result = compare(study, tmp_path / "out", threads=1)
    records = {record.label: record for record in result.records}
    assert list(records) == [f"head_only, long_texts_keep={kept}" for kept in ("head", "tail", "both")]
    losses = {record.metrics.test.loss for record in records.values() if record.metrics.test}
    assert len(losses) == 3  # they read different tokens
    for words, record in zip(("their beginning", "their end", "half of each end"), records.values(), strict=True):
        assert record.metrics.train is not None
        assert record.metrics.train.truncated > 0
        note = f"Texts cut to 12 tokens, {words} kept: {record.metrics.train.truncated} of {record.metrics.train.n} in"
        assert record.notes[0].startswith(note)
        assert note in result.to_markdown()
    # A saved run reads new texts the same way.
    from whichtune.records.store import StudyFolder
    from whichtune.records.verify import spec_of
    from whichtune.runs.predict import saved_in
    from whichtune.tasks.classification.predict import new_logits

    kept = StudyFolder(tmp_path / "out")
    record = next(r for r in records.values() if kept.weight_files(r.run_id))
    stored = kept.predictions(record.run_id)
    examples = kept.examples()
    texts = list(examples[examples["split"] == "test"]["text"])
    logits = new_logits(spec_of(record), record, saved_in(kept, record), texts)
    own = stored[stored["split"] == "test"]["logits"]
    assert abs(logits - list(own)).max() < 1e-5


# -- batches ------------------------------------------------------------------------------------


LENGTHS = [(7 * row) % 61 + 1 for row in range(203)]


@pytest.mark.parametrize("size", [1, 8, 64, 300])
def test_batches_of_similar_length_hold_every_row_once(size: int) -> None:
    batches = epoch_batches(203, size, False, generator(1, DATA_ORDER), LENGTHS)
    assert sorted(row for batch in batches for row in batch) == list(range(203))
    assert sorted(map(len, batches), reverse=True)[:-1] == [min(size, 203)] * (len(batches) - 1)


def test_drop_last_leaves_out_what_would_not_fill_a_batch() -> None:
    batches = epoch_batches(203, 8, True, generator(1, DATA_ORDER), LENGTHS)
    assert {len(batch) for batch in batches} == {8}
    assert len({row for batch in batches for row in batch}) == 200
    assert epoch_batches(5, 8, True, generator(1, DATA_ORDER), LENGTHS) == []
    assert epoch_batches(5, 8, True, generator(1, DATA_ORDER)) == []


def test_they_have_less_padding_and_change_from_epoch_to_epoch() -> None:
    order = generator(1, DATA_ORDER)
    first, second = (epoch_batches(203, 8, False, order, LENGTHS) for _ in range(2))
    shuffled = epoch_batches(203, 8, False, generator(1, DATA_ORDER))
    assert padding_share(first, LENGTHS) < 0.5 * padding_share(shuffled, LENGTHS)
    assert {frozenset(batch) for batch in first}.isdisjoint({frozenset(batch) for batch in second})
    widths = [max(LENGTHS[row] for row in batch) for batch in first]
    assert widths != sorted(widths, reverse=True)  # batches come in shuffled order, not the longest first


@pytest.mark.slow  # every method
def test_every_method_sees_the_same_batches(tiny_gpt2: Path, mail: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Head only, from cached features, and full, packed, as well as the plain way: what each step is given."""
    from whichtune.training.trainer import Trainer

    seen: dict[str, list[list[list[int]]]] = {}
    step = Trainer.step

    def watched(self: Trainer, group: list[list[int]]) -> None:
        seen.setdefault(f"{self.spec.method} {self.spec.plan}", []).append(group)
        step(self, group)

    monkeypatch.setattr(Trainer, "step", watched)
    specs = [
        spec_of(tiny_gpt2, mail, plan, method=method, batching="bucketed", max_steps=30)
        for method, plan in (("head_only", "auto"), ("full", "auto"), ("full", "off"))
    ]
    for spec in specs:
        run_one(spec)
    one, *others = seen.values()
    assert len(seen) == 3
    assert all(groups == one for groups in others)
    assert [group[0] for group in one[: len(first_epoch(specs[0], _lengths(specs[0])))]] == first_epoch(
        specs[0], _lengths(specs[0])
    )


def _lengths(spec: RunSpec) -> list[int]:
    from transformers import AutoTokenizer

    texts = load_dataset(spec.data).splits["train"].texts
    return [len(ids) for ids in AutoTokenizer.from_pretrained(spec.model)(texts)["input_ids"]]


@pytest.mark.slow
def test_the_record_says_what_bucketing_saves(tiny_gpt2: Path, mail: Path) -> None:
    shuffled = run_one(spec_of(tiny_gpt2, mail, "off", max_steps=None, epochs=1)).record
    result = run_one(spec_of(tiny_gpt2, mail, "off", max_steps=None, epochs=1, batching="bucketed"))
    (note,) = result.record.notes
    assert note.startswith("Batches of similar length: in the first epoch ")
    assert note.endswith(" % fewer tokens are computed.")
    assert result.record.cost.examples_seen == shuffled.cost.examples_seen
    assert result.record.cost.flops is not None
    assert shuffled.cost.flops is not None
    assert result.record.cost.flops < shuffled.cost.flops
    packed = run_one(spec_of(tiny_gpt2, mail, "auto", max_steps=2, batching="bucketed", method="full")).record
    assert packed.notes[-1].endswith("here nothing is saved, since the plan packs texts without padding.")
    cached = run_one(spec_of(tiny_gpt2, mail, "auto", max_steps=2, batching="bucketed", method="head_only")).record
    assert cached.notes[-1].endswith("since the head reads cached features.")


def test_the_reference_order_of_draws_keeps_its_batches(tiny_gpt2: Path, mail: Path) -> None:
    study = parse_study(
        {
            "data": str(mail),
            "model": str(tiny_gpt2),
            "methods": ["full"],
            "settings": {"batching": "bucketed", "random_streams": "reference"},
        },
        "test",
    )
    with pytest.raises(SettingError, match="batching=bucketed does not go with"):
        prepare(study)


def test_padding_saved_on_real_reviews(gpt2_tokenizer: Any) -> None:
    """Counted in tokens: reviews differ much in length, so most of the padding goes."""
    texts = list(pd.read_csv(shared("data/imdb/train.csv.gz"))["text"])
    lengths = [min(len(ids), 512) for ids in gpt2_tokenizer(texts, verbose=False)["input_ids"]]
    shuffled = padding_share(epoch_batches(2000, 16, False, generator(0, DATA_ORDER)), lengths)
    bucketed = padding_share(epoch_batches(2000, 16, False, generator(0, DATA_ORDER), lengths), lengths)
    print(f"padding: {100 * shuffled:.1f} % shuffled, {100 * bucketed:.1f} % of similar length")
    assert shuffled > 0.25
    assert bucketed < 0.05
