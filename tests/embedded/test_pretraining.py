"""The pretraining command learns, resumes exactly, and exports what transformers load."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from whichtune.embedded.generate_support_requests import support_requests

SCRIPTS = Path(__file__).parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
from muon import orthogonalise  # noqa: E402
from pretrain_tiny_gpt2 import Settings, pretrain, validation_loss  # noqa: E402
from pretraining_text import cuts, encode, read_articles, training_batch  # noqa: E402
from text_baselines import KneserNey, compressed_bits, unigram_nats  # noqa: E402

SMALL = {"vocabulary": 512, "positions": 64, "width": 48, "blocks": 2, "heads": 2, "tokens_per_step": 1024}
SMALL |= {"stable_length": 32, "decay_length": 64, "warmup_steps": 5}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Text files as the command reads them, of generated requests: ten make an article."""
    folder = tmp_path_factory.mktemp("corpus")
    for split, name in (("train", "train"), ("test", "valid")):
        texts = [example.text for example in support_requests()[split]]
        articles = ["\n\n".join(texts[i : i + 10]) for i in range(0, len(texts), 10)]
        (folder / f"{name}.txt").write_text("\n\n\n".join(articles), encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)  # sums in float32 depend on it, and these tests compare bit by bit


def small(steps: int, **other: float) -> Settings:
    return Settings(steps=steps, **(SMALL | other))  # type: ignore[arg-type]


@pytest.mark.slow
def test_fifty_steps_of_the_command_learn_more_than_word_frequencies(corpus: Path, tmp_path: Path) -> None:
    options = [text for key, value in SMALL.items() for text in (f"--{key.replace('_', '-')}", str(value))]
    command = [sys.executable, str(SCRIPTS / "pretrain_tiny_gpt2.py"), "--corpus", str(corpus)]
    command += ["--work", str(tmp_path / "work"), "--export", str(tmp_path / "model"), "--threads", "1"]
    subprocess.run([*command, "--steps", "50", *options], check=True, capture_output=True)
    log = [json.loads(line) for line in (tmp_path / "model/pretraining_log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [10, 20, 30, 40, 50]
    assert log[-1]["train_loss"] < log[0]["train_loss"] - 1.0
    assert json.loads((tmp_path / "model/pretraining_settings.json").read_text())["steps"] == 50

    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    train = encode(read_articles(corpus / "train.txt"), tokenizer)
    valid = encode(read_articles(corpus / "valid.txt"), tokenizer)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    loss = validation_loss(model, valid, 64)
    assert loss == pytest.approx(log[-1]["validation_loss"], abs=0.02)  # float16 weights and the same text
    assert loss < unigram_nats(train, valid, 512) / len(valid) - 0.3
    hidden = AutoModel.from_pretrained(tmp_path / "model")(**tokenizer("the parcel", return_tensors="pt"))
    assert hidden.last_hidden_state.shape[-1] == 48


def test_a_resumed_run_is_the_uninterrupted_one_even_when_the_end_was_set_later(corpus: Path, tmp_path: Path) -> None:
    whole = pretrain(corpus, tmp_path / "whole", small(16))
    pretrain(corpus, tmp_path / "parts", small(1000), stop_at=7)
    parts = pretrain(corpus, tmp_path / "parts", small(16))
    for (name, one), (_, other) in zip(whole.named_parameters(), parts.named_parameters(), strict=True):
        assert torch.equal(one, other), name


def test_log_lines_after_the_checkpoint_are_not_kept_twice(corpus: Path, tmp_path: Path) -> None:
    pretrain(corpus, tmp_path, small(20), stop_at=10)
    log = tmp_path / "log.jsonl"
    log.write_text(log.read_text() + json.dumps({"step": 13, "train_loss": 9.9}) + "\n")
    pretrain(corpus, tmp_path, small(20))
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [10, 20]


def test_a_checkpoint_of_other_settings_is_refused(corpus: Path, tmp_path: Path) -> None:
    pretrain(corpus, tmp_path, small(12), stop_at=11)  # the decay begins at 9
    with pytest.raises(SystemExit, match="other settings: seed"):
        pretrain(corpus, tmp_path, small(12, seed=1))
    with pytest.raises(SystemExit, match="step 11 was made with other settings: steps"):
        pretrain(corpus, tmp_path, small(40))


def test_learning_rate_rises_stays_and_falls_to_zero() -> None:
    settings = Settings(steps=100, warmup_steps=10, decay_fraction=0.25)
    factors = [settings.learning_rate_factor(step) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[10:76] == [1.0] * 66
    assert factors[76:] == sorted(factors[76:], reverse=True)
    assert 0 < factors[-1] <= 0.04


def test_an_epoch_reads_every_cut_once_and_another_epoch_cuts_elsewhere() -> None:
    tokens = np.arange(2000, dtype=np.uint16)
    steps = (2000 - 17) // 16 // 4
    rows = torch.cat([training_batch(tokens, step, 0, 16, 64) for step in range(steps)])
    starts = rows[:, 0].tolist()
    assert len(set(starts)) == len(starts) == 4 * steps
    assert len({start % 16 for start in starts}) == 1
    assert torch.equal(rows[:, 1:], rows[:, :-1] + 1)
    later = torch.cat([training_batch(tokens, steps + step, 0, 16, 64) for step in range(steps)])
    assert later[:, 0].tolist() != starts


def test_validation_reads_every_token_but_the_first_once() -> None:
    tokens = np.arange(1003, dtype=np.uint16)
    predicted = torch.cat([rows[:, 1:].flatten() for rows in cuts(tokens, 64)])
    assert predicted.tolist() == list(range(1, 1003))


@pytest.mark.parametrize("shape", [(48, 48), (48, 192), (192, 48)])
def test_orthogonalised_matrix_moves_every_direction_alike(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    result = orthogonalise(matrix)
    in_its_own_directions = torch.diagonal(u.T @ result @ v.T)
    assert in_its_own_directions.min() > 0.3
    assert in_its_own_directions.max() < 1.3


def test_kneser_ney_is_a_distribution_and_beats_frequencies(corpus: Path) -> None:
    rng = np.random.default_rng(0)
    chain = [0]
    for _ in range(5000):  # each token is most often followed by one of two
        chain.append(int(rng.choice([(3 * chain[-1] + 1) % 20, (chain[-1] + 7) % 20, rng.integers(20)])))
    train, text = np.array(chain[:4000]), np.array(chain[4000:])
    model = KneserNey(train, 3, 20)
    for context in ([4, 13], [19, 19], [0, 1]):
        rows = [model.probabilities(np.array([*context, token])).item() for token in range(20)]
        assert sum(rows) == pytest.approx(1.0)
        assert min(rows) > 0
    assert model.nats(text, 0) < unigram_nats(train, text, 20) - 100


def test_compressors_gain_from_a_primer() -> None:
    text = b" ".join(str(math.sqrt(i)).encode() for i in range(500))
    bits = compressed_bits(text, primer=text)
    assert bits["xz -9e after the training text"] < 0.2 * bits["xz -9e"]
    assert bits["gzip -9"] < 8 * len(text)
