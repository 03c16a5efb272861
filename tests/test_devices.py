"""GPUs handed out to runs: which one, how many at a time, and what is too large for all of them. No GPU is needed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test_executor import study_of
from whichtune import plugins
from whichtune.compare import compare, prepare
from whichtune.errors import SettingError
from whichtune.executors.base import ExecutorOptions, options_of
from whichtune.executors.devices import Gpu, Placement, choose_device, parsed_gpus
from whichtune.executors.local import LocalExecutor
from whichtune.records.store import StudyFolder
from whichtune.study.load import parse_study
from whichtune.study.numbers import Jobs, jobs_of
from whichtune.study.spec import RunSpec

GIB = 2**30
SMI = """0, GPU-aaaa, NVIDIA A100-SXM4-80GB, 81920, 81000
1, GPU-bbbb, NVIDIA A100-SXM4-80GB, 81920, 40000
2, GPU-cccc, NVIDIA A100-SXM4-80GB, [N/A], [N/A]
3, GPU-dddd, NVIDIA T4, 15360, 15000
"""


def gpu(number: int, free: float, total: float = 80) -> Gpu:
    return Gpu(
        name=str(number), uuid=f"GPU-{number}", title="A GPU", total_bytes=int(total * GIB), free_bytes=int(free * GIB)
    )


@pytest.mark.parametrize(
    "visible, names",
    [(None, "013"), ("1,0", "10"), ("GPU-dd,0", "30"), ("0,9,1", "0"), ("", ""), ("-1", ""), ("3, 1", "31")],
)
def test_only_visible_gpus_are_seen(visible: str | None, names: str) -> None:
    found = parsed_gpus(SMI, visible)
    assert "".join(one.name for one in found) == names
    assert all(one.total_bytes >= one.free_bytes > 2**30 for one in found)


def test_a_machine_without_nvidia_smi_has_none() -> None:
    assert parsed_gpus("NVIDIA-SMI has failed because it couldn't communicate with the driver.\n", None) == []


def test_a_run_gets_the_gpu_with_the_most_free_memory() -> None:
    placement = Placement([gpu(0, 10), gpu(1, 70), gpu(2, 40)])
    places = [placement.place(name, 5 * GIB) for name in "abc"]
    assert [place.name for place in places if place] == ["1", "2", "0"]
    assert placement.place("d", GIB) is None
    placement.leave("b")
    again = placement.place("d", GIB)
    assert again is not None
    assert again.name == "2"


def test_a_second_run_on_a_gpu_needs_room_for_both() -> None:
    placement = Placement([gpu(0, 30)], per_gpu=3)
    assert placement.slots == 3
    assert placement.place("a", 20 * GIB)
    assert placement.place("b", 15 * GIB) is None
    assert placement.place("c", 9 * GIB)
    assert placement.place("d", 2 * GIB) is None
    placement.leave("a")
    assert placement.place("b", 15 * GIB)


def test_an_estimate_alone_keeps_no_run_from_an_empty_gpu() -> None:
    assert Placement([gpu(0, 30)], per_gpu=2).place("a", 31 * GIB)


@given(
    free=st.lists(st.integers(1, 80), min_size=1, max_size=6),
    needs=st.lists(st.integers(0, 40), max_size=30),
    per_gpu=st.integers(1, 4),
)
def test_no_gpu_is_given_more_than_it_has(free: list[int], needs: list[int], per_gpu: int) -> None:
    placement = Placement([gpu(number, one) for number, one in enumerate(free)], per_gpu)
    on: dict[str, list[int]] = {}
    for number, need in enumerate(needs):
        place = placement.place(str(number), need * GIB)
        if place is not None:
            on.setdefault(place.name, []).append(need)
    for name, runs in on.items():
        assert len(runs) <= per_gpu
        assert len(runs) == 1 or sum(runs) <= free[int(name)]
    waits = len(needs) - sum(map(len, on.values()))
    assert waits == 0 or len(on) == len(free)  # none waits while a GPU is empty


def test_what_jobs_may_say() -> None:
    assert [jobs_of(word) for word in ("auto", "auto:3", "2", 5)] == [Jobs(None), Jobs(None, 3), Jobs(2), Jobs(5)]
    for word in ("many", "0", "auto:0", "auto:", "auto:x", "1.5", "-1", ""):
        with pytest.raises(SettingError, match="--jobs: write a"):
            jobs_of(word)


def test_a_study_says_jobs_as_the_command_does() -> None:
    def options(value: object, remote: bool = False) -> ExecutorOptions:
        study = {"data": "messages", "methods": ["full"], **({} if value is None else {"jobs": value})}
        return options_of(parse_study(study, "study"), None, None, None, remote)

    assert options("Auto:2") == ExecutorOptions(auto_jobs=True, jobs_per_gpu=2)
    assert options("3") == options(3) == ExecutorOptions(jobs=3)
    assert options(None) == ExecutorOptions(jobs=1)
    assert options(None, remote=True) == ExecutorOptions(auto_jobs=True)
    for value in ("many", 0, "auto:0", 257, True, 1.5):
        with pytest.raises(SettingError, match="'jobs' is wrong"):
            options(value)


@pytest.mark.parametrize(
    "wanted, devices, chosen",
    [("auto", "cpu cuda", "cuda"), ("auto", "cpu mps", "cpu"), ("mps", "cpu mps", "mps"), ("cpu", "cpu cuda", "cpu")],
)
def test_a_device_is_chosen_of_those_that_there_are(wanted: str, devices: str, chosen: str) -> None:
    assert choose_device(wanted, frozenset(devices.split())) == chosen


@pytest.mark.parametrize("wanted, title", [("mps", "MPS"), ("cuda", "CUDA")])
def test_a_device_that_is_not_there_is_refused(wanted: str, title: str) -> None:
    with pytest.raises(SettingError, match=f"There is no {title} device here"):
        choose_device(wanted, frozenset(["cpu"]))


SEES = """import os, pathlib
seen = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
pathlib.Path(__file__).with_name(f"seen-{os.getpid()}").write_text(seen)
"""


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Which GPUs the runs' own processes were shown, told by a plugin that each of them imports."""
    monkeypatch.setattr(plugins, "_named", {})
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "sees.py").write_text(SEES)
    plugins.load_plugin(str(tmp_path / "sees.py"))
    for mine in tmp_path.glob("seen-*"):
        mine.unlink()
    return lambda: sorted(file.read_text() for file in tmp_path.glob("seen-*"))


def on_gpus(mail: Path, model: Path, **keys: object) -> list[RunSpec]:
    """A study's runs as they would be on a machine with GPUs."""
    specs = prepare(study_of(mail, model, device="cpu", **keys))[0].specs
    return [spec.model_copy(update={"device": "cuda"}) for spec in specs]


@pytest.mark.parametrize("how", [{"auto_jobs": True}, {"jobs": 2}])
def test_each_run_sees_its_own_gpu_and_baselines_run_beside(
    how: dict, seen: Callable, tiny_gpt2: Path, mail: Path, tmp_path: Path
) -> None:
    """Without CUDA in this torch the runs fail; which GPU they were shown is what is looked at."""
    specs = on_gpus(mail, tiny_gpt2, seeds=[0, 1])
    folder = StudyFolder(tmp_path / "s", create=True)
    executor = LocalExecutor(threads=1, gpus=lambda: [gpu(0, 70), gpu(1, 70)], **how)
    under_way: dict[str, str] = {}
    events: list[dict] = []

    def listen(event: dict) -> None:
        events.append(event)
        if event["event"] == "start" and "where" in event:
            assert event["where"] not in under_way.values(), "two runs on one GPU"
            under_way[event["run_id"]] = event["where"]
        if event["event"] == "end":
            under_way.pop(event["run_id"], None)

    assert executor.execute(specs, folder, False, listen) == 5
    assert set(seen()) == {"GPU-0", "GPU-1", "all"}
    assert seen().count("all") == 1  # the baseline's
    places = {event["where"] for event in events if event["event"] == "start" and "where" in event}
    assert places == {"GPU 0", "GPU 1"}


@pytest.mark.slow
def test_auto_is_one_run_at_a_time_without_a_gpu(seen: Callable, tiny_gpt2: Path, mail: Path, tmp_path: Path) -> None:
    told: list[str] = []
    executor = LocalExecutor(threads=1, auto_jobs=True, gpus=list)
    study = study_of(mail, tiny_gpt2, seeds=[0])
    compare(study, tmp_path / "s", executor=executor, on_event=lambda event: told.append(event["event"]))
    order = [kind for kind in told if kind in ("start", "end")]
    assert order == ["start", "end"] * 3
    assert seen() == ["all"] * 3


def test_a_run_that_no_gpu_can_hold_is_refused_before_any_starts(tiny_gpt2: Path, mail: Path, tmp_path: Path) -> None:
    specs = on_gpus(mail, tiny_gpt2, methods=["head_only", "full"], seeds=[0])
    folder = StudyFolder(tmp_path / "s", create=True)
    events: list[dict] = []

    def refused(total_bytes: float) -> str:
        small = gpu(0, 0).model_copy(update={"total_bytes": int(total_bytes), "title": "Tiny GPU"})
        with pytest.raises(SettingError) as error:
            LocalExecutor(threads=1, gpus=lambda: [small]).execute(specs, folder, False, events.append)
        return str(error.value)

    weights = 4 * sum(p.numel() for p in _model(tiny_gpt2).parameters())
    sentence = refused(2 * weights)
    assert sentence.startswith("'full' is estimated to need ")
    assert f" MiB of memory, and the largest GPU (Tiny GPU) has {2 * weights / 2**20:.1f} MiB: " in sentence
    assert "train fewer of its parameters" in sentence
    assert "its weights alone do not fit" in refused(weights / 2)
    assert not events
    assert not any(folder.is_complete(spec.run_id) for spec in specs)


def test_many_activations_are_refused_with_the_batch_that_fits(tiny_gpt2: Path, mail: Path, tmp_path: Path) -> None:
    from whichtune.executors.expected import Expectations

    settings = {"epochs": 1, "context_length": 40, "batch_size": 64}
    (spec,) = on_gpus(mail, tiny_gpt2, methods=["full"], seeds=[0], baselines=[], settings=settings)
    expected = Expectations()
    expected.learn([spec])
    (found,) = expected._known.values()
    certain = found.memory_bytes - found.activation_bytes - 64 * 2**20
    assert found.activation_bytes > 0.5 * certain
    room = certain + found.activation_bytes * 17 // 128  # eight texts and a half
    remedy = expected.too_large(spec, room)
    assert remedy == "set batch_size=8 with more accumulation_steps, or gradient_checkpointing=true"
    assert expected.too_large(spec.model_copy(update={"gradient_checkpointing": True}), room) is None
    assert expected.too_large(spec, found.memory_bytes) is None


def _model(folder: Path):
    from transformers import AutoModel

    return AutoModel.from_pretrained(folder)


def test_longest_first_keeps_the_order_of_equals(tiny_gpt2: Path, mail: Path) -> None:
    from whichtune.executors.expected import Expectations

    methods = ["head_only", "full", "linear_probe", "lora"]
    specs = prepare(study_of(mail, tiny_gpt2, methods=methods, seeds=[0, 1]))[0].specs
    expected = Expectations()
    expected.learn(specs)
    order = expected.longest_first(specs)
    seconds = [expected.seconds(spec) for spec in order]
    assert seconds == sorted(seconds, reverse=True)
    assert order[-1].label == "majority"
    assert [spec.seed for spec in order if spec.label == "full"] == [0, 1]
    assert {order[0].label, order[2].label} == {"full", "lora"}
    assert all(a <= b for a, b in itertools.pairwise(reversed(seconds)))
