"""Successive halving: equal cost, draws that go on as if they had never paused, and nothing left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tuning.conftest import known_study
from whichtune.compare import Result, compare, prepare
from whichtune.errors import SettingError
from whichtune.records.record import RunRecord, RunStatus
from whichtune.records.store import StudyFolder
from whichtune.records.verify import ASIDE
from whichtune.runs.run import RunResult, base_record, run_one
from whichtune.stats.tuning import DrawFigures, RungFigures, line_figures
from whichtune.study.load import parse_study
from whichtune.study.spec import RunSpec
from whichtune.tuning.halving import SHARES, Climb, climb, refuse_halving_elsewhere, rung_spec, rungs_of
from whichtune.tuning.search import Draw
from whichtune.tuning.trials import plan_search

CLOCKS = ("seconds",)
RUNGS = [RungFigures(share=0.25, draws=4), RungFigures(share=0.5, draws=3), RungFigures(share=1.0, draws=2)]


def halved_study(data: Path, model: Path, **keys: Any) -> Any:
    settings = {"epochs": 2, "evaluation_interval": 1, "dropout": 0.2, **keys.pop("settings", {})}
    tuning = {"draws": 2, "seed": 5, "strategy": "halving"}
    return known_study(
        data, model, **{"methods": ["full"], "baselines": [], "settings": settings, "tuning": tuning, **keys}
    )


def first_draw(data: Path, model: Path, **keys: Any) -> Draw:
    expansion, dataset = prepare(halved_study(data, model, **keys))
    plan = plan_search(expansion, dataset.without_test())
    assert plan is not None
    return plan.lines[0].draws[0]


def in_parts(draw: Draw, folder: Path) -> list[RunResult]:
    """A draw that is put aside after each rung, its state written and read."""
    made, aside = list[RunResult](), None
    for rung in range(len(SHARES)):
        made.append(run_one(rung_spec(draw, rung), aside=aside))
        if rung < len(SHARES) - 1:
            place = folder / str(rung)
            place.mkdir()
            assert made[-1].save is not None
            made[-1].save(place)
            aside = place / ASIDE
            assert aside.is_file()
    return made


def without_clocks(curves: list[Any]) -> list[dict[str, Any]]:
    return [{key: value for key, value in point.items() if key not in CLOCKS} for point in curves]


def assert_same_run(one: RunResult, other: RunResult) -> None:
    """Loss by loss, answer by answer, to the last bit."""
    assert len(one.curves) > 8
    assert without_clocks(one.curves) == without_clocks(other.curves)
    assert one.record.run_id == other.record.run_id
    assert one.record.metrics == other.record.metrics
    assert one.record.stopping == other.record.stopping
    for name in ("optimiser_steps", "examples_seen", "epochs", "flops"):
        assert getattr(one.record.cost, name) == pytest.approx(getattr(other.record.cost, name), rel=1e-9)
    assert one.predictions is not None
    assert other.predictions is not None
    pd.testing.assert_frame_equal(one.predictions, other.predictions, check_exact=True)


@pytest.mark.parametrize("draws", range(2, 12))
def test_rungs_cost_what_the_draws_cost_in_full(draws: int) -> None:
    rungs = rungs_of(draws)
    assert [rung.share for rung in rungs] == [0.25, 0.5, 1.0]
    begun, half, end = (rung.draws for rung in rungs)
    assert begun >= 5 * draws / 3
    assert begun > half >= end >= 1
    assert begun / 4 + half / 4 + end / 2 == draws
    for steps in range(8, 60):  # whatever the rounding of steps
        ends = [int(share * steps) for share in SHARES]
        assert begun * ends[0] + half * (ends[1] - ends[0]) + end * (ends[2] - ends[1]) <= draws * steps


@pytest.fixture(scope="module")
def halved(tiny_gpt2: Path, known_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return compare(halved_study(known_data, tiny_gpt2), tmp_path_factory.mktemp("halved") / "study", threads=1)


def test_a_draw_in_parts_is_the_draw_in_one_go(halved: Result, known_data: Path, tiny_gpt2: Path) -> None:
    """The selected draw of the study, made by three processes, against the same in this one."""
    tuning = halved.summary.tuning
    assert tuning is not None
    line = tuning.lines[0]
    expansion, dataset = prepare(halved_study(known_data, tiny_gpt2))
    plan = plan_search(expansion, dataset.without_test())
    assert plan is not None
    draw = next(draw for draw in plan.lines[0].draws if draw.number == line.selected)
    folder = StudyFolder(halved.folder)
    record = folder.read_run(draw.spec.run_id)
    assert record is not None
    assert record.spec["goes_on_from"] == rung_spec(draw, 1).run_id
    stored = RunResult(record, folder.curves(record.run_id), folder.predictions(record.run_id))
    assert_same_run(run_one(draw.spec), stored)
    halfway = folder.curves(rung_spec(draw, 1).run_id)
    assert without_clocks(halfway) == without_clocks(stored.curves)[: len(halfway)]  # a rung is a prefix
    assert len(halfway) == 9


def test_the_search_begins_more_at_the_same_cost_and_says_so(halved: Result) -> None:
    tuning = halved.summary.tuning
    assert tuning is not None
    assert tuning.strategy == "halving"
    (line,) = tuning.lines
    assert [(rung.share, rung.draws) for rung in line.rungs] == [(0.25, 4), (0.5, 2), (1.0, 1)]
    assert [draw.share for draw in line.draws].count(0.25) == 2
    assert [draw.number for draw in line.ended] == [line.selected]
    assert [point.draws for point in line.curve] == [1]
    assert line.curve[0].flops == line.spent_flops
    one = next(draw.flops for draw in line.ended)
    assert one is not None
    assert line.spent_flops is not None
    assert 0.85 * 2 * one < line.spent_flops <= 2 * one  # of 18 steps a quarter is 4
    assert line.spent_flops == pytest.approx(sum(draw.flops or 0 for draw in line.draws))
    text = " ".join(tuning.sentences)
    assert "by successive halving at the cost of 2 draws: 4 draws were begun" in text
    assert "trained to their end alone" in text
    page = (halved.folder / "report.html").read_text(encoding="utf-8")
    assert "dropped after 25 % of its steps" in page
    assert "Draws that were dropped before their end are left out." in page


def test_nothing_put_aside_stays_and_the_same_call_makes_nothing(
    halved: Result, known_data: Path, tiny_gpt2: Path
) -> None:
    folder = StudyFolder(halved.folder)
    assert folder.waiting() == []
    assert compare(halved_study(known_data, tiny_gpt2), halved.folder, threads=1).started == 0


# -- which draws go on, told by records ------------------------------------------------------------------


def drawn(number: int) -> Draw:
    spec = RunSpec(label="full", data={"source": "x"}, model="m", method="full", learning_rate=number, role="draw")  # type: ignore[arg-type]
    return Draw("full", number, {}, spec)


DRAWS = [drawn(number) for number in range(1, 5)]


def climbed(scores: dict[tuple[int, int], float | None], tried: set[str] | None = None) -> Climb:
    """`scores` by draw and rung; None: it failed there."""
    ids = {rung_spec(draw, rung).run_id: (draw.number, rung) for draw in DRAWS for rung in range(3)}

    def read(run_id: str) -> RunRecord | None:
        if ids[run_id] not in scores:
            return None
        status = RunStatus.FAILED if scores[ids[run_id]] is None else RunStatus.COMPLETED
        return base_record(DRAWS[0].spec, status).model_copy(update={"run_id": run_id})

    def rank(draw: Draw, record: RunRecord) -> tuple[float, float, int]:
        return -(scores[ids[record.run_id]] or 0.0), 0.0, draw.number

    return climb(DRAWS, rungs_of(2), read, rank, tried)


def numbers(found: Climb) -> list[list[int]]:
    return [[draw.number for draw in members] for members in found.reached]


def test_the_best_go_on_and_a_failed_ones_place_is_the_next_ones() -> None:
    first = {(1, 0): 0.1, (2, 0): 0.9, (3, 0): 0.5, (4, 0): 0.4}
    assert [spec.run_id for spec in climbed({}).waiting] == [rung_spec(draw, 0).run_id for draw in DRAWS]
    assert numbers(climbed(first)) == [[1, 2, 3, 4], [2, 3]]
    failed = climbed({**first, (2, 1): None, (3, 1): 0.6})
    assert numbers(failed) == [[1, 2, 3, 4], [2, 3, 4]]
    assert [spec.run_id for spec in failed.waiting] == [rung_spec(DRAWS[3], 1).run_id]
    assert rung_spec(DRAWS[3], 0).run_id in failed.needed  # what the fourth goes on from
    again = climbed({**first, (2, 1): None, (3, 1): 0.6}, tried=set())  # a new call tries it once more
    assert [spec.run_id for spec in again.waiting] == [rung_spec(DRAWS[1], 1).run_id]
    last = climbed({**first, (2, 1): None, (3, 1): 0.6, (4, 1): 0.7, (4, 2): 0.8})
    assert (numbers(last), last.over, last.needed) == ([[1, 2, 3, 4], [2, 3, 4], [4]], True, set())
    assert climbed({(n, 0): None for n in range(1, 5)}).over


def test_curves_count_the_draws_that_ended_and_their_cost_holds_the_others() -> None:
    draws = [
        DrawFigures(number=n, run_id=str(n), status="completed", settings={}, score=score, flops=cost, share=share)
        for n, score, cost, share in ((1, 0.9, 1.0, 0.25), (2, 0.7, 4.0, 1.0), (3, 0.8, 4.0, 1.0), (4, 0.2, 2.0, 0.5))
    ]
    line = line_figures("full", "full", {}, draws, True, rungs=[])
    assert line.selected == 3  # not the first, which has a better score after a quarter
    assert [point.best for point in line.curve] == pytest.approx([0.75, 0.8])
    assert [point.flops for point in line_figures("f", "f", {}, draws, True, rungs=RUNGS).curve] == [5.5, 11.0]


# -- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"tuning": {"draws": 1, "strategy": "halving"}}, "needs draws: 2 or more"),
        ({"tuning": {"budget": "10min", "strategy": "halving"}}, "does not allow: give draws, 20x"),
        ({"tuning": {"draws": 2, "strategy": "fast"}}, "strategy"),
        ({"settings": {"epochs": 1, "max_steps": 7}}, "'full' makes 7 steps, fewer than 8: train for more epochs"),
    ],
)
def test_what_cannot_be_halved_is_refused(keys: Any, said: str, known_data: Path, tiny_gpt2: Path) -> None:
    def planned() -> None:
        expansion, dataset = prepare(halved_study(known_data, tiny_gpt2, **keys))
        plan_search(expansion, dataset.without_test())

    with pytest.raises(SettingError, match=said) as error:
        planned()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tune-strategy", "halving"], "give --tune or --tune-budget, too."),
        (["--tune", "4", "--tune-strategy", "halvin"], "did you mean 'halving'?"),
        (["--tune", "1", "--tune-strategy", "halving"], "needs draws: 2 or more"),
        (["--tune-budget", "90s", "--tune-strategy", "halving"], "a budget in seconds"),
    ],
)
def test_the_command_refuses_in_one_sentence(words: list[str], said: str, tmp_path: Path) -> None:
    from command import inside

    out = tmp_path / "out"
    error = inside("compare", "--data", "messages", "--out", str(out), *words, code=2).stderr
    assert said in " ".join(error.split())
    assert not out.exists()


def test_what_has_no_steps_is_searched_by_whole_draws_and_said(known_data: Path, tiny_gpt2: Path) -> None:
    tuning = {"draws": 3, "strategy": "halving", "spaces": {"knn": {"neighbours": [1, 3, 5, 7]}}}
    study = halved_study(
        known_data, tiny_gpt2, methods=["last_block", "head_only", "linear_probe", "knn"], tuning=tuning
    )
    expansion, dataset = prepare(study)
    plan = plan_search(expansion, dataset.without_test())
    assert plan is not None
    assert {line.label: (len(line.draws), line.runs) for line in plan.lines} == {
        "last_block": (5, 10), "head_only": (3, 3), "linear_probe": (0, 0), "knn": (3, 3),
    }  # fmt: skip
    assert plan.notes == [
        "Nothing is dropped on the way for head_only and knn, whose draws are too few, made in one step, or of the "
        "head alone."
    ]


def test_other_machines_are_refused() -> None:
    study = parse_study({"data": "x", "methods": ["full"], "tuning": {"strategy": "halving"}}, "test")
    with pytest.raises(SettingError, match="leave --executor out"):
        refuse_halving_elsewhere(study, elsewhere=True)
    refuse_halving_elsewhere(study, elsewhere=False)


# -- longer proofs ------------------------------------------------------------------------------------------

METHODS_IN_PARTS = (
    "head_only", "last_block", "lora", "dora", "lora_plus", "adalora", "soft_prompt", "gradual_unfreezing", "lp_ft",
    "contrastive",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS_IN_PARTS)
def test_every_kind_of_method_goes_on_exactly(method: str, known_data: Path, tiny_gpt2: Path, tmp_path: Path) -> None:
    draw = first_draw(known_data, tiny_gpt2, methods=[method])
    whole, parts = run_one(draw.spec), in_parts(draw, tmp_path)[-1]
    assert_same_run(whole, parts)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"early_stopping": "loss", "patience": 1, "epochs": 4},
        {"batching": "bucketed", "accumulation_steps": 2, "epochs": 4},
        {"schedule": "cosine", "warmup_steps": 6, "evaluation_interval": 5},
        {"plan": "off"},
        {"precision": "bf16"},
    ],
    ids=str,
)
def test_every_kind_of_training_goes_on_exactly(
    settings: dict[str, Any], known_data: Path, tiny_gpt2: Path, tmp_path: Path
) -> None:
    keys: dict[str, Any] = {"plan": settings.pop("plan")} if "plan" in settings else {}
    draw = first_draw(known_data, tiny_gpt2, methods=["full"], settings=settings, **keys)
    whole, parts = run_one(draw.spec), in_parts(draw, tmp_path)[-1]
    if settings.get("evaluation_interval") == 5:
        assert without_clocks(whole.curves) == without_clocks(parts.curves)
    else:
        assert_same_run(whole, parts)


@pytest.mark.slow
def test_without_its_state_a_draw_begins_anew_and_comes_to_the_same(
    known_data: Path, tiny_gpt2: Path, tmp_path: Path
) -> None:
    draw = first_draw(known_data, tiny_gpt2)
    assert_same_run(run_one(draw.spec), run_one(rung_spec(draw, 2)))
