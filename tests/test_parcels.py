"""What runs read, on a machine that has not got it: sent once, kept by content, and never taken for something else."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from test_executor import study_of
from whichtune.compare import prepare
from whichtune.errors import StoreError
from whichtune.executors.base import RunRequest
from whichtune.executors.parcels import KEPT_SECONDS, Packer, Parcel, Store, moved
from whichtune.executors.slot import News, Slot
from whichtune.plugins import Import
from whichtune.records.arriving import arriving
from whichtune.records.record import RunStatus
from whichtune.records.store import StudyFolder
from whichtune.study.spec import RunSpec


@pytest.fixture
def spec(tiny_gpt2: Path, mail: Path, tmp_path: Path) -> RunSpec:
    """A run that reads a model and data of its own, which a test may take away."""
    model, data = tmp_path / "here" / "model", tmp_path / "here" / "mail.csv"
    shutil.copytree(tiny_gpt2, model)
    shutil.copy(mail, data)
    return prepare(study_of(data, model, methods=["head_only"], seeds=[0], device="cpu"))[0].specs[0]


def send(parcel: Parcel, store: Store) -> str:
    for name, piece in parcel.pieces():
        store.take(parcel, name, piece)
    return store.finish(parcel)


def gone(parcel: Parcel) -> None:
    """As on a machine without a shared file system."""
    place = Path(parcel.place)
    place.unlink() if parcel.single else shutil.rmtree(place)


def test_what_is_there_with_the_same_content_is_not_sent(spec: RunSpec, tmp_path: Path) -> None:
    packer, store = Packer(), Store(tmp_path / "there")
    for parcel in (packer.model_of(spec), packer.data_of(spec)):
        assert parcel is not None
        assert store.find(parcel) == parcel.place
        file = parcel.file(next(iter(parcel.files)))
        file.write_bytes(file.read_bytes() + b" ")
        assert store.find(parcel) is None


def test_what_is_sent_is_kept_and_found_again(spec: RunSpec, tmp_path: Path) -> None:
    packer = Packer()
    parcels = [packer.model_of(spec), packer.data_of(spec)]
    pieces = {parcel.digest: list(parcel.pieces()) for parcel in parcels if parcel is not None}
    for parcel in parcels:
        assert parcel is not None
        gone(parcel)
        store = Store(tmp_path / "there")
        assert store.find(parcel) is None
        for name, piece in pieces[parcel.digest]:
            store.take(parcel, name, piece)
        place = store.finish(parcel)
        assert Path(place).name == Path(parcel.place).name  # data are called after their file
        assert Store(tmp_path / "there").find(parcel) == place
    assert not list((tmp_path / "there").glob(".*"))


def test_what_arrives_otherwise_is_refused_and_removed(spec: RunSpec, tmp_path: Path) -> None:
    parcel, store = Packer().data_of(spec), Store(tmp_path / "there")
    assert parcel is not None
    store.take(parcel, "mail.csv", b"text,label\nother,ham\n")
    with pytest.raises(ValueError, match="is not what was sent"):
        store.finish(parcel)
    assert list((tmp_path / "there").iterdir()) == []
    for name in ("../out.csv", "other.csv"):
        with pytest.raises(ValueError, match="is no file of the parcel"):
            store.take(parcel, name, b"")


def test_what_no_study_uses_goes(spec: RunSpec, tmp_path: Path) -> None:
    parcel, store = Packer().data_of(spec), Store(tmp_path / "there")
    assert parcel is not None
    place = Path(send(parcel, store))
    store.sweep()
    assert place.exists()
    old = time.time() - KEPT_SECONDS - 1
    os.utime(place.parent, (old, old))
    store.sweep()
    assert not place.exists()


def test_a_run_keeps_its_id_wherever_it_reads(spec: RunSpec) -> None:
    elsewhere = moved(spec, "/there/model", "/there/mail.csv")
    assert (elsewhere.model, elsewhere.data.source) == ("/there/model", "/there/mail.csv")
    assert elsewhere.run_id == spec.run_id
    named = spec.model_copy(update={"data": spec.data.model_copy(update={"source": "sms_spam=/here/sms.tsv"})})
    assert moved(named, None, "/there/sms.tsv").data.source == "sms_spam=/there/sms.tsv"


def test_plugins_that_are_files_travel(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("x = 1\n")
    parcel = Packer().plugin_of(Import("own", file=str(tmp_path / "own.py")))
    assert parcel is not None
    assert parcel.single
    assert Packer().plugin_of(Import("package", folder="/somewhere")) is None


def made_in_a_slot(spec: RunSpec, slot: Slot, request: RunRequest) -> News:
    news = slot.begin(request, True, 60)
    while news.code is None:
        news = slot.news(60)
    return news


def test_a_run_is_made_where_nothing_is_shared(spec: RunSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a slot is told comes by its methods, as by Ray; the driver's files are not there."""
    monkeypatch.setenv("WHICHTUNE_CACHE", str(tmp_path / "there"))
    packer = Packer()
    parcels = [parcel for parcel in (packer.model_of(spec), packer.data_of(spec)) if parcel is not None]
    pieces = [list(parcel.pieces()) for parcel in parcels]
    for parcel in parcels:
        gone(parcel)
    slot = Slot()
    try:
        assert slot.find(parcels) == [None, None]
        places = []
        for parcel, all_of_it in zip(parcels, pieces, strict=True):
            for name, piece in all_of_it:
                slot.take(parcel, name, piece)
            places.append(slot.finish(parcel))
        assert slot.find(parcels) == places
        request = RunRequest(spec=moved(spec, *places), folder="", save=True, threads=1)
        news = made_in_a_slot(spec, slot, request)
        assert news.code == 0
        folder = StudyFolder(tmp_path / "study", create=True)
        told = spec.model_dump(mode="json", exclude={"fingerprints", "label", "role"})
        with arriving(folder, spec.run_id, told) as run:
            for name, content in news.files.items():
                run.add(name, content)
        record = folder.read_run(spec.run_id)
        assert record is not None
        assert record.status is RunStatus.COMPLETED, record.error
        assert record.spec["model"] == spec.model  # where it lay elsewhere is nobody's concern
        assert folder.fault(spec.run_id, weights=True) is None
        assert folder.weight_files(spec.run_id)
        assert slot.piece("run.json", 5) == news.files["run.json"][5:]
        slot.forget(spec.run_id)
        assert not list((slot.home / "runs").iterdir())
    finally:
        slot.close()
    assert not list((tmp_path / "there" / "slots").iterdir())


@pytest.mark.parametrize("spoil", ["bytes", "missing", "name"])
def test_a_run_that_comes_back_otherwise_leaves_nothing(spoil: str, spec: RunSpec, tmp_path: Path) -> None:
    from whichtune.runs.run import base_record

    made, folder = (StudyFolder(tmp_path / name, create=True) for name in ("made", "study"))
    made.write_run(base_record(spec, RunStatus.FAILED, error="no luck"), [{"step": 1}])
    files = {file.name: file.read_bytes() for file in made.run_folder(spec.run_id).iterdir()}
    if spoil == "bytes":
        files["curves.jsonl"] += b"\n"
    if spoil == "missing":
        files.pop("curves.jsonl")
    if spoil == "name":
        files["../../out.txt"] = b""

    def arrive() -> None:
        with arriving(folder, spec.run_id, {}) as run:
            for name, content in files.items():
                run.add(name, content)

    with pytest.raises(StoreError):
        arrive()
    assert list(folder.runs.iterdir()) == []
    assert not (tmp_path / "study" / "out.txt").exists()
