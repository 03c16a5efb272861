"""Which run a slot of a cluster is given: by its length, by where its pass is, by what is free of a shared GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from whichtune.executors.choice import Choice
from whichtune.executors.devices import Gpu
from whichtune.executors.expected import Expectations
from whichtune.executors.hands import Hand, Need
from whichtune.executors.passes import Passes
from whichtune.executors.slot import About
from whichtune.shortcuts.kept import cache_name, shared_passes
from whichtune.study.data_settings import DataSettings
from whichtune.study.spec import RunSpec
from whichtune.tasks.estimates import Estimate
from whichtune.version import VERSION

GIB = 2**30


def spec(method: str, model: str, seed: int = 0) -> RunSpec:
    return RunSpec(
        label=f"{method}, {model}",
        method=method,
        model=model,
        data=DataSettings(),
        learning_rate=1e-3,
        seed=seed,
        fingerprints={"weights": model},
    )


def slot(host: str, gpus: float = 0, free: float = 0) -> Hand:
    own = [Gpu(name="0", uuid="GPU-0", title="A GPU", total_bytes=80 * GIB, free_bytes=int(free * GIB))]
    return Hand(None, Need(1, gpus, 0), About(host, VERSION, 0, own if gpus else [], cache=host))


def choice_of(runs: list[tuple[RunSpec, float, float]], gpus: float = 0, memory: float = 0, **more: object) -> Choice:
    """Runs with the seconds that they take, and those of them for a pass; each takes so many GiB."""
    expected = Expectations()
    for one, seconds, of_pass in runs:
        size = int(memory * GIB)
        expected._known[one.run_id] = Estimate(seconds, size, 0, 0, 1, shared_seconds=seconds - of_pass)
    waiting = expected.longest_first([one for one, _, _ in runs])
    return Choice(waiting, expected, lambda one: gpus, Passes(), **more)


def taken(choice: Choice, hand: Hand, hands: list[Hand]) -> str | None:
    found = choice.next_for(hand, hands)
    return found.label if found is not None else None


def test_a_machine_takes_runs_whose_pass_it_has() -> None:
    a, b = slot("a"), slot("b")
    heads = [(spec("head_only", model, seed), 20.0, 10.0) for model in "xy" for seed in range(2)]
    full = [(spec("full", "x", seed), 40.0, 0.0) for seed in range(20)]
    choice = choice_of([*heads, *full])
    first = choice.next_for(a, [a, b])
    assert first is not None
    assert first.label == "head_only, x"  # one machine makes it early
    with choice.holding(a, first):
        other = choice.next_for(b, [a, b])
        assert other is not None
        assert other.label == "head_only, y"  # a pass of its own, and not x's again
        with choice.holding(b, other):
            assert taken(choice, a, [a, b]) == "full, x"  # and none that would wait, or is made at b
        choice.trains(a, first)
    assert taken(choice, a, [a, b]) == "head_only, x"
    assert taken(choice, a, [a, b]) == "head_only, y"  # which was lost at b


def test_the_longest_run_is_not_left_for_the_end() -> None:
    a, b = slot("a"), slot("b")
    choice = choice_of([(spec("head_only", "x"), 20.0, 10.0), (spec("full", "x"), 200.0, 0.0)])
    choice.passes.learn("a", [choice.passes.name(choice.queue[1], choice.expected)])
    assert taken(choice, a, [a, b]) == "full, x"
    assert taken(choice, b, [a, b]) == "head_only, x"  # which makes its pass again rather than wait


def test_a_run_is_left_to_the_free_slot_that_has_its_pass() -> None:
    a, b = slot("a"), slot("b")
    choice = choice_of([(spec("head_only", "x"), 20.0, 10.0)])
    choice.passes.learn("b", [choice.passes.name(choice.queue[0], choice.expected)])
    choice.free = [a, b]
    assert taken(choice, a, [a, b]) is None
    assert taken(choice, b, [a, b]) == "head_only, x"


def test_without_several_caches_the_longest_comes_first() -> None:
    a, b = slot("a"), slot("a")
    runs = [(spec("head_only", "x", seed), 20.0, 10.0) for seed in range(9)] + [(spec("full", "x"), 30.0, 0.0)]
    choice = choice_of(runs)
    assert taken(choice, a, [a, b]) == "full, x"
    assert taken(choice, b, [a, b]) == "head_only, x"


def test_two_runs_share_a_gpu_only_where_both_fit() -> None:
    a, b, elsewhere = slot("a", 0.5, 30), slot("a", 0.5, 12), slot("b", 0.5, 30)
    choice = choice_of([(spec("full", "x", seed), 40.0, 0.0) for seed in range(4)], gpus=0.5, memory=20, per_gpu=2)
    for hand in (b, a, elsewhere):
        choice.know(hand)
    first = choice.next_for(a, [a, b, elsewhere])
    assert first is not None
    with choice.holding(a, first):
        assert taken(choice, b, [a, b, elsewhere]) is None
        assert choice.can_take(b, choice.queue[0])  # later
        assert taken(choice, elsewhere, [a, b, elsewhere]) == "full, x"
    choice = choice_of([(spec("full", "x", seed), 40.0, 0.0) for seed in range(2)], gpus=0.5, memory=15, per_gpu=2)
    for hand in (b, a):
        choice.know(hand)  # there were 30 GiB before any run came
    first = choice.next_for(a, [a, b])
    assert first is not None
    with choice.holding(a, first):
        assert taken(choice, b, [a, b]) == "full, x"


def test_a_cache_has_one_name_whoever_asks(tmp_path: Path) -> None:
    assert cache_name(tmp_path / "new") == cache_name(tmp_path / "new")
    assert cache_name(tmp_path / "new") != cache_name(tmp_path / "other")
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in cache_name(tmp_path / "file")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_passes_are_told_by_what_entries_say(tmp_path: Path, text: str) -> None:
    for name, content in (("a", text), ("b", '{"shared": "pass"}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "entry.json").write_text(content)
    assert shared_passes(tmp_path) == ["pass"]
