"""What travels is larger than Ray's store of objects: it comes in pieces, and the store moves what it must to disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.conftest import ThreeNodes, started
from saved_models import save_with_embedded_tokenizer
from test_executor import study_of
from whichtune.compare import compare
from whichtune.data.named import user_cache
from whichtune.errors import SettingError
from whichtune.records.record import RunStatus
from whichtune.records.store import StudyFolder
from whichtune.study.spec import Study

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("disconnected")]
MIB = 1 << 20
STORE = 80 * MIB  # about the least that Ray accepts
NO_DISK = {"local_fs_capacity_threshold": 0.0001}  # to Ray, a disk that is as full as this is full


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 100 MiB, most of it words that no text has."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=100_000, n_positions=64, n_embd=256, n_layer=1, n_head=4)
    return save_with_embedded_tokenizer(GPT2LMHeadModel(config), tmp_path_factory.mktemp("large") / "model")


@pytest.fixture
def study(mail: Path) -> Study:
    """The model is at a path that leads to it in this process alone, as on machines without a shared file system."""
    more = {"methods": ["full"], "seeds": [0, 1], "device": "cpu", "baselines": []}
    return study_of(mail, Path("/proc/self/cwd/model"), **more)


@pytest.fixture
def spilled(tmp_path: Path) -> Path:
    """Where the store moves objects to."""
    return tmp_path / "spilled"


@pytest.fixture
def small(
    request: pytest.FixtureRequest, spilled: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ThreeNodes]:
    """Two nodes with the smallest stores, begun in another folder than this process is in."""
    shutil.rmtree(user_cache() / "parcels", ignore_errors=True)
    head = {"num_cpus": 1, "object_store_memory": STORE, "object_spilling_directory": str(spilled)}
    with started({**head, "_system_config": request.param}) as cluster:
        cluster.nodes.append(cluster.cluster.add_node(**head))
        monkeypatch.chdir(model.parent)
        yield cluster
        if spilled.is_file():
            spilled.unlink()  # Ray removes its folder in it


def fill(size: int) -> list[object]:
    """Objects that fill the store of this process's node to the last `size` bytes."""
    import ray

    kept: list[object] = []
    while size >= MIB:
        try:
            kept.append(ray.put(bytes(size)))
        except ray.exceptions.OutOfDiskError:
            size //= 2
    return kept


@pytest.mark.parametrize("small", [{}], indirect=True)
def test_more_travels_than_the_store_holds(small: ThreeNodes, study: Study, tmp_path: Path) -> None:
    result = compare(study, tmp_path / "s", executor=small.executor(), save="all")
    assert [record.status for record in result.records] == [RunStatus.COMPLETED] * 2
    (sent,) = (user_cache() / "parcels").glob("*/model/model.safetensors")
    assert sent.stat().st_size > STORE
    folder = StudyFolder(tmp_path / "s")
    for record in result.records:
        weights = folder.run_folder(record.run_id) / "weights.safetensors"
        assert weights.stat().st_size > STORE
        assert folder.fault(record.run_id, weights=True) is None


@pytest.mark.parametrize("small", [NO_DISK], indirect=True)
def test_a_full_store_beside_a_full_disk_is_told(
    small: ThreeNodes, spilled: Path, study: Study, tmp_path: Path
) -> None:
    shutil.rmtree(spilled)
    spilled.write_text("no file can be written below this one, as on a full disk")
    kept: list[object] = []

    def listen(event: dict) -> None:
        if event["event"] == "start":
            kept.extend(fill(16 * MIB))  # before the model is sent

    with pytest.raises(SettingError, match="object store on this machine is full") as error:
        compare(study, tmp_path / "s", executor=small.executor(), on_event=listen)
    assert kept
    assert len(str(error.value).splitlines()) == 1
    assert not list((tmp_path / "s" / "runs").glob("*"))
    result = compare(study, tmp_path / "s", threads=1)  # the folder is as good as before
    assert [record.status for record in result.records] == [RunStatus.COMPLETED] * 2
