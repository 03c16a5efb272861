"""The pass through frozen blocks on machines that have caches of their own: once a machine, and on few of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.conftest import ThreeNodes, started
from cluster.test_cluster import figures
from test_executor import study_of
from whichtune.compare import compare
from whichtune.records.record import RunRecord
from whichtune.result import Result
from whichtune.shortcuts.kept import shared_passes
from whichtune.study.spec import Study

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("disconnected")]


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return [tmp_path_factory.mktemp(f"node-{number}") for number in range(3)]


@pytest.fixture(scope="module")
def apart(caches: list[Path]) -> Iterator[ThreeNodes]:
    """Three nodes that share no cache, as machines."""
    variables = [{"WHICHTUNE_CACHE": str(cache)} for cache in caches]
    with started({"num_cpus": 1, "env_vars": variables[0]}) as three:
        for each in variables[1:]:
            three.nodes.append(three.cluster.add_node(num_cpus=1, env_vars=each))
        yield three


@pytest.fixture
def study(tiny_gpt2: Path, mail: Path) -> Study:
    """Four models, since each seed draws its own, and of each one pass that three runs share."""
    methods = ["full", "last_block", "head_only", "linear_probe"]
    settings = {"epochs": 1, "context_length": 40, "weights": "random"}
    return study_of(mail, tiny_gpt2, methods=methods, seeds=range(4), device="cpu", baselines=[], settings=settings)


def made(result: Result) -> int:
    """Runs that made their pass; what a run pays for it is what it says."""
    for record in result.records:
        assert record.cost is not None
        assert bool(record.cost.cache_flops) == made_by(record)
        assert bool(record.cost.cache_flops_alone) == (record.method != "full")
    return sum(map(made_by, result.records))


def made_by(record: RunRecord) -> bool:
    used = record.shortcuts["used"] if record.shortcuts else None
    return isinstance(used, dict) and used["cache_made"] is True


def test_a_pass_is_made_once_a_machine_and_on_few_machines(
    apart: ThreeNodes, caches: list[Path], study: Study, tmp_path: Path
) -> None:
    passes: dict[bool, int] = {}
    results: list[Result] = []
    for affinity in (False, True):
        for cache in caches:
            shutil.rmtree(cache / "states", ignore_errors=True)
        results.append(compare(study, tmp_path / str(affinity), executor=apart.executor(affinity=affinity)))
        there = [shared_passes(cache / "states") for cache in caches]
        assert len({name for names in there for name in names}) == 4
        assert made(results[-1]) == sum(map(len, there)), "a pass was made twice on a machine"
        passes[affinity] = made(results[-1])
    print(f"passes made by 12 runs that share 4, on three machines: {passes}")
    assert 4 <= passes[True] < passes[False]
    assert figures(results[0]) == figures(results[1]) == figures(compare(study, tmp_path / "here", threads=1))


def test_a_command_given_again_goes_to_where_the_passes_are(
    apart: ThreeNodes, caches: list[Path], tiny_gpt2: Path, mail: Path, tmp_path: Path
) -> None:
    settings = {"epochs": 1, "context_length": 41, "weights": "random"}
    more = {"seeds": [0, 1, 2], "device": "cpu", "baselines": [], "settings": settings}
    old = [shared_passes(cache / "states") for cache in caches]
    first = compare(
        study_of(mail, tiny_gpt2, methods=["last_block"], **more), tmp_path / "s", executor=apart.executor()
    )
    assert made(first) == 3
    before = [shared_passes(cache / "states") for cache in caches]
    methods = ["last_block", "linear_probe"]
    second = compare(study_of(mail, tiny_gpt2, methods=methods, **more), tmp_path / "s", executor=apart.executor())
    assert second.started == 3
    after = [shared_passes(cache / "states") for cache in caches]
    # Machines have the passes that they had. One that made none the first time takes what another would wait with, and
    # so does one that is done before another has come up: no slot waits for a pass.
    idle = sum(set(names) == set(earlier) for names, earlier in zip(before, old, strict=True))
    assert sum(map(len, after)) - sum(map(len, before)) <= idle + 1
