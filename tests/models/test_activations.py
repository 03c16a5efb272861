"""The cache of hidden states: what is read is what was written, or nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock, Timeout

from whichtune.compare import prepare
from whichtune.runs.run import run_one
from whichtune.shortcuts.cache import ActivationCache, CacheUnavailable, digest, key_of
from whichtune.shortcuts.entry import Description, Layout, Writer, stored_bytes
from whichtune.study.spec import Study

LENGTHS = torch.tensor([3, 1, 4, 2])
WIDTH = 8
ABOUT = Description(model="tiny", depth=2, texts="train", seconds=1.5, flops=42)


def _states(seed: int, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(int(n), WIDTH, generator=generator).to(dtype) for n in LENGTHS]


def _make(cache: ActivationCache, key: str, seed: int = 0, dtype: torch.dtype = torch.float32) -> bool:
    """Put an entry there unless it is; gives whether it was made now."""

    def fill(writers: Mapping[str, Writer]) -> dict[str, Description]:
        for writer in writers.values():
            for text in (2, 0, 3, 1):  # any order
                writer.put(text, _states(seed, dtype)[text])
        return dict.fromkeys(writers, ABOUT)

    _, made = cache.get_or_make({key: Layout(LENGTHS, WIDTH, dtype)}, fill)
    return key in made


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_what_is_written_is_read(tmp_path: Path, dtype: torch.dtype) -> None:
    from whichtune.shortcuts.packing import pack

    cache = ActivationCache(tmp_path)
    assert _make(cache, "a", dtype=dtype)
    assert not _make(cache, "a", seed=1, dtype=dtype)
    states, expected = cache.get("a"), _states(0, dtype)
    assert states is not None
    assert states.description == ABOUT
    padded = states.padded([2, 1])
    assert padded.shape == (2, 4, WIDTH)
    assert padded.dtype == dtype
    assert torch.equal(padded[0], expected[2])
    assert torch.equal(padded[1, :1], expected[1])
    assert not padded[1, 1:].any()
    packing = pack(LENGTHS[[2, 1, 0]], width=5)
    packed = states.packed([2, 1, 0], packing.row, packing.start, (packing.rows, packing.width))
    assert torch.equal(packed, packing.pack(states.padded([2, 1, 0])))


def test_nothing_is_there_before_it_is_finished(tmp_path: Path) -> None:
    cache = ActivationCache(tmp_path)

    def fail(writers: Mapping[str, Writer]) -> dict[str, Description]:
        writers["a"].put(0, _states(0)[0])
        assert cache.get("a") is None
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.get_or_make({"a": Layout(LENGTHS, WIDTH, torch.float32)}, fail)
    assert cache.get("a") is None
    assert [path.name for path in tmp_path.iterdir()] == ["locks"]


def test_an_entry_with_texts_missing_is_refused(tmp_path: Path) -> None:
    cache = ActivationCache(tmp_path)

    def forget(writers: Mapping[str, Writer]) -> dict[str, Description]:
        writers["a"].put(0, _states(0)[0])
        return {"a": ABOUT}

    with pytest.raises(RuntimeError, match="3 texts have no states"):
        cache.get_or_make({"a": Layout(LENGTHS, WIDTH, torch.float32)}, forget)
    assert cache.get("a") is None


def test_a_cut_entry_is_made_again(tmp_path: Path) -> None:
    cache = ActivationCache(tmp_path)
    _make(cache, "a")
    with open(tmp_path / "a" / "states.bin", "r+b") as file:
        file.truncate(10)
    assert cache.get("a") is None
    assert _make(cache, "a")
    assert cache.get("a") is not None


@pytest.mark.parametrize("file", ["states.bin", "lengths.npy", "entry.json"])
def test_one_flipped_bit_makes_an_entry_anew(tmp_path: Path, file: str) -> None:
    cache = ActivationCache(tmp_path)
    place = tmp_path / "a" / file
    _make(cache, "a")
    size = place.stat().st_size
    for position in {0, size // 3, size // 2, size - 1}:
        whole = bytearray(place.read_bytes())
        whole[position] ^= 4
        place.write_bytes(whole)
        cache.damaged.clear()
        assert cache.get("a") is None
        assert cache.damaged == {"a"}
        assert _make(cache, "a")
    states = cache.get("a")
    assert states is not None
    assert torch.equal(states.padded([2])[0], _states(0)[2])


def test_a_bit_or_a_page_in_a_large_entry_is_noticed(tmp_path: Path) -> None:
    """Larger than what is summed together, with an end that is no whole sum."""
    cache, rows = ActivationCache(tmp_path), 70_001

    def fill(writers: Mapping[str, Writer]) -> dict[str, Description]:
        writers["a"].put(0, torch.arange(rows * 3, dtype=torch.float32).reshape(rows, 3))
        return {"a": ABOUT}

    def damaged(change: bytearray) -> bool:
        (tmp_path / "a" / "states.bin").write_bytes(change)
        return cache.get("a") is None

    cache.get_or_make({"a": Layout(torch.tensor([rows]), 3, torch.float32)}, fill)
    whole = (tmp_path / "a" / "states.bin").read_bytes()
    assert not damaged(bytearray(whole))
    for byte in (1, 65_536, len(whole) // 2, len(whole) - 1):
        flipped = bytearray(whole)
        flipped[byte] ^= 1
        assert damaged(flipped)
    zeroed, swapped = bytearray(whole), bytearray(whole)
    zeroed[8192:12288] = bytes(4096)
    swapped[:65_536], swapped[65_536:131_072] = whole[65_536:131_072], whole[:65_536]
    assert damaged(zeroed)
    assert damaged(swapped)


def test_a_run_with_a_damaged_entry_is_the_run_without_one(tmp_path: Path) -> None:
    rows = [f"{'good fine' if i % 2 else 'bad awful'} thing number {i},{i % 2}" for i in range(30)]
    (tmp_path / "d.csv").write_text("text,label\n" + "\n".join(rows), encoding="utf-8")
    study = Study(
        data={"source": str(tmp_path / "d.csv")},
        methods=[{"method": "head_only"}],
        baselines=[],
        seeds=[0],
        device="cpu",
        settings={"epochs": 1, "context_length": 16},
    )
    spec, cache = prepare(study)[0].specs[0], {"folder": tmp_path / "states"}
    first = run_one(spec, cache=cache)
    for file in (tmp_path / "states").glob("*/states.bin"):
        whole = bytearray(file.read_bytes())
        whole[len(whole) // 2 + 3] ^= 64  # an exponent
        file.write_bytes(whole)
    again = run_one(spec, cache=cache)
    assert again.record.metrics == first.record.metrics
    assert first.record.notes == []
    (note,) = again.record.notes
    assert note == "3 entries of the cache did not hold what had been written to them: they were made anew."
    assert run_one(spec, cache=cache).record.notes == []


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    size = stored_bytes(LENGTHS, WIDTH, torch.float32)
    cache = ActivationCache(tmp_path, limit=2 * size)
    for age, key in ((300, "a"), (200, "b")):
        _make(cache, key)
        os.utime(tmp_path / key / "entry.json", (time.time() - age,) * 2)
    cache.get("a")  # used now, so that b is the older one
    _make(cache, "c")
    assert {entry.key for entry in cache.entries()} == {"a", "c"}
    assert sum(entry.bytes for entry in cache.entries()) <= 2 * size


def test_a_removed_entry_can_still_be_read_by_who_has_it(tmp_path: Path) -> None:
    cache = ActivationCache(tmp_path)
    _make(cache, "a")
    states = cache.get("a")
    assert states is not None
    assert cache.clear() == stored_bytes(LENGTHS, WIDTH, torch.float32)
    assert cache.entries() == []
    assert torch.equal(states.padded([2])[0], _states(0)[2])


def test_what_does_not_fit_is_not_written(tmp_path: Path) -> None:
    cache = ActivationCache(tmp_path, limit=10)
    with pytest.raises(CacheUnavailable, match="limit"):
        _make(cache, "a")
    assert cache.entries() == []


def test_the_default_limit_is_a_quarter_of_the_free_disk(tmp_path: Path) -> None:
    stat = os.statvfs(tmp_path)
    free = stat.f_bavail * stat.f_frsize
    assert abs(ActivationCache(tmp_path / "new").limit - free / 4) < 0.05 * free


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheUnavailable, match="cannot be written"):
        _make(ActivationCache(tmp_path / "file" / "cache", limit=10**9), "a")


def _child(tmp_path: Path, body: str) -> subprocess.Popen[str]:
    code = textwrap.dedent(
        f"""
        import sys, time, torch
        from pathlib import Path
        sys.path[:0] = {sys.path!r}
        from models.test_activations import *
        from models.test_activations import _make, _states
        root = Path({str(tmp_path)!r})
        cache = ActivationCache(root / "cache", limit=10**9)
        """
    ) + textwrap.dedent(body)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


HELD_FILL = """
def fill(writers):
    for text, states in enumerate(_states(0)):
        writers["a"].put(text, states)
        (root / "begun").touch()
        while not (root / "go").exists():
            time.sleep(0.01)
    return {"a": ABOUT}
print(cache.get_or_make({"a": Layout(LENGTHS, WIDTH, torch.float32)}, fill)[1])
"""


def _held_writer(tmp_path: Path) -> subprocess.Popen[str]:
    """A process that has begun to write the entry "a" and goes on when there is a file "go"."""
    writing = _child(tmp_path, HELD_FILL)
    while not (tmp_path / "begun").exists():
        assert writing.poll() is None, "the other process ended before it began to write"
        time.sleep(0.01)
    return writing


def test_one_process_writes_while_another_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Held(FileLock):
        """Lets the other process go on as soon as this one has found the lock taken."""

        def acquire(self, *args: Any, **settings: Any) -> Any:
            try:
                return super().acquire(timeout=0)
            except Timeout:
                (tmp_path / "go").touch()
                return super().acquire(*args, **settings)

    writing = _held_writer(tmp_path)
    cache = ActivationCache(tmp_path / "cache", limit=10**9)
    assert cache.get("a") is None
    monkeypatch.setattr("whichtune.shortcuts.cache.FileLock", Held)
    assert not _make(cache, "a", seed=9)  # waited, and made nothing
    assert (tmp_path / "go").exists()
    assert writing.communicate()[0].strip() == "{'a'}"
    states = cache.get("a")
    assert states is not None
    assert torch.equal(states.padded([2])[0], _states(0)[2])


def test_a_killed_writer_leaves_nothing_to_read(tmp_path: Path) -> None:
    writing = _held_writer(tmp_path)
    writing.send_signal(signal.SIGKILL)
    writing.wait()
    root = tmp_path / "cache"
    assert list(root.glob("a.part-*"))
    cache = ActivationCache(root, limit=10**9)
    assert cache.get("a") is None
    assert cache.entries() == []
    assert _make(cache, "b")  # making room sweeps what nobody is writing
    assert not list(root.glob("a.part-*"))
    assert _make(cache, "a", seed=4)
    states = cache.get("a")
    assert states is not None
    assert torch.equal(states.padded([2])[0], _states(4)[2])


def test_a_full_disk(tmp_path: Path) -> None:
    """A small file system of its own where that can be mounted, else a limit on the size of files."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0
    if mounted:
        try:
            with pytest.raises(CacheUnavailable, match="disk is full"):
                _make_large(disk / "cache")
            assert not list((disk / "cache").glob("*.part-*"))
        finally:
            subprocess.run(["umount", str(disk)], check=True)
    child = _child(
        tmp_path,
        """
        from models.test_activations import _make_large
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, resource.RLIM_INFINITY))
        try:
            _make_large(root / "limited")
        except CacheUnavailable as error:
            print(error, len(list((root / "limited").glob("*.part-*"))))
        """,
    )
    assert child.communicate()[0].strip() == "the disk is full 0"


def _make_large(root: Path) -> None:
    lengths = torch.full((100,), 100)

    def fill(writers: Mapping[str, Writer]) -> dict[str, Description]:
        for text in range(100):
            writers["a"].put(text, torch.zeros(100, WIDTH))
        return {"a": ABOUT}

    ActivationCache(root, limit=10**9).get_or_make({"a": Layout(lengths, WIDTH, torch.float32)}, fill)


def test_names_follow_what_the_states_depend_on() -> None:
    layer = torch.nn.Linear(4, 4)
    before = digest(layer.named_parameters())
    assert before == digest(layer.named_parameters())
    with torch.no_grad():
        layer.weight[0, 0] += 1e-3
    assert before != digest(layer.named_parameters())
    assert before != digest(layer.to(torch.bfloat16).named_parameters())
    assert key_of(weights="a", depth=1) == key_of(depth=1, weights="a") != key_of(weights="a", depth=2)
