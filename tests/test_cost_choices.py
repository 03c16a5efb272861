"""Costs that people decide by: limits, money, energy, latency. None of them changes a run."""

from __future__ import annotations

import itertools
import re
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from command import inside
from report.conftest import page
from report.made_studies import MadeStudy, ordinary
from stats.study_files import evidence, study_on_disk
from test_oracle import spec_of
from whichtune.compare import compare
from whichtune.errors import SettingError
from whichtune.evidence.summary import Summary
from whichtune.expansion.assemble import assemble_study
from whichtune.measure import energy
from whichtune.measure.cost import Timers, latency_ms
from whichtune.measure.energy import EnergyMeter
from whichtune.records.record import RunRecord
from whichtune.records.store import StudyFolder
from whichtune.report.cost_columns import energy_column, energy_notes, machine_seconds, money_columns, money_notes
from whichtune.report.tables import markdown_table
from whichtune.report.view import View
from whichtune.report.write import write_report
from whichtune.runs.run import run_one
from whichtune.shortcuts.cache import ActivationCache
from whichtune.study.constraints import parse_constraint, violations
from whichtune.study.load import parse_study
from whichtune.study.price import parse_power, parse_price

# -- limits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, cost, limit",
    [
        ("inference_ms<=20", "inference_ms", 20),
        ("inference_ms <= 0.02 s", "inference_ms", 20),
        ("inference_ms_batch_32_p95<=5ms", "inference_ms_batch_32_p95", 5),
        ("peak_memory<=2GB", "peak_memory_bytes", 2e9),
        ("peak_memory<=512MiB", "peak_memory_bytes", 2**29),
        ("stored_bytes≤1e6", "adapter_bytes", 1e6),
        ("training_time<2h", "training_seconds", 7200),
        ("training_seconds<=500ms", "training_seconds", 0.5),
        ("trainable_parameters<=1.5M", "trainable_parameters", 1.5e6),
    ],
)
def test_limits_are_read_with_their_units(text: str, cost: str, limit: float) -> None:
    found = parse_constraint(text)
    assert (found.cost, found.limit) == (cost, pytest.approx(limit))


@pytest.mark.parametrize(
    "text, words",
    [
        ("inference_sm<=20", "there is no cost 'inference_sm': did you mean 'inference_ms'?"),
        ("peak_memory<=2 apples", "'apples' is no unit of peak_memory: write b, kb, mb"),
        ("training_flops<=2GB", "write a plain number"),
        ("peak_memory", "write a cost and the most it may be"),
        ("peak_memory>=2GB", "write a cost and the most it may be"),
        ("peak_memory<=-1", "write a cost and the most it may be"),
    ],
)
def test_a_limit_that_is_none_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        parse_constraint(text)
    with pytest.raises(SettingError, match=re.escape(f"--require {text}")):
        assemble_study(None, None, None, None, None, None, None, [], None, None, judged={"require": [text]})


def test_what_is_broken_is_said_and_what_is_not_known_is_not_kept() -> None:
    costs = {"inference_ms": 31.0, "peak_memory_bytes": 2e9, "training_flops": None}
    assert violations(costs, ["inference_ms<=31", "peak_memory<=2GB"]) == []
    assert violations(costs, ["inference_ms<31", "peak_memory<=1.5GB"]) == [
        "inference_ms 31 ms is not below 31 ms",
        "peak_memory 2,000 MB is above 1,500 MB",
    ]
    assert violations(costs, ["training_flops<=1e12"]) == ["its training_flops is not known"]


def judged(folder: Path, require: list[str]) -> Any:
    study = study_on_disk(folder, n=200, require=require)
    right = [[i % 10 != 0 for i in range(200)]] * 3
    study.add("fast", right, validation=0.90, cost={"training_seconds": 1.0, "inference_ms": 3.0})
    study.add("slow", right, validation=0.95, cost={"training_seconds": 9.0, "inference_ms": 30.0})
    return evidence(study).verdict


def test_a_row_outside_is_not_recommended_and_says_why(tmp_path: Path) -> None:
    free = judged(tmp_path / "free", [])
    assert (free.best, free.outside) == ("slow", {})
    assert "considered" not in free.rule
    bound = judged(tmp_path / "bound", ["inference_ms<=20"])
    assert (bound.best, bound.recommended) == ("fast", "fast")
    assert bound.outside == {"slow": ["inference_ms 30 ms is above 20 ms"]}
    assert [figures.label for figures in bound.candidates] == ["fast"]
    said = "slow is outside what is required and not considered: inference_ms 30 ms is above 20 ms."
    assert said in bound.reasons
    assert bound.rule.endswith("Only rows with inference_ms<=20 are considered.")
    none = judged(tmp_path / "none", ["inference_ms<=2"])
    assert (none.best, none.recommended) == (None, None)
    assert none.headline.startswith("No row keeps what is required, so none is recommended (fast: inference_ms 3 ms")


def test_rows_outside_stay_in_table_and_page_and_are_marked(tmp_path: Path) -> None:
    study = MadeStudy(tmp_path, require=["training_seconds<=20"])
    study.add("lora", 0.92, seconds=14)
    study.add("full", 0.93, seconds=30)
    folder = study.finish()
    write_report(folder, figures=False)
    table = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert "| full \\[outside\\] |" in table
    assert "Rows marked outside do not keep training_seconds&lt;=20 and are not recommended: full." in table
    assert "| lora |" in table
    assert "outside what is required" in page(folder)


# -- money -----------------------------------------------------------------------------------------


def test_a_price_is_money_by_time() -> None:
    assert parse_price("3.60/h").of_seconds(10) == pytest.approx(0.01)
    assert parse_price("3.60/h").of_million(5) == pytest.approx(5)  # 5,000 s
    assert parse_price("2.50 EUR/h").currency == parse_price("EUR 2.50 / h").currency == "EUR"
    assert parse_price("$0.06/min").by_second == pytest.approx(0.001)
    assert (parse_power("65W"), parse_power("0.3 kW"), parse_power("65")) == (65, 300, 65)
    for text in ("2.50", "h", "-1/h", "2/fortnight", "$2 EUR/h"):
        with pytest.raises(ValueError, match="write money by time"):
            parse_price(text)
    with pytest.raises(ValueError, match="write a power in watts"):
        parse_power("0W")


def view_of(folder: StudyFolder, **study: Any) -> View:
    summary = Summary.model_validate(folder.read_json("summary.json"))
    return View(summary.model_copy(update={"study": summary.study.model_copy(update=study)}))


def test_money_is_that_of_training_of_the_study_and_of_a_million_texts(tmp_path: Path) -> None:
    folder = ordinary(tmp_path)
    assert money_columns(view_of(folder)) == money_notes(view_of(folder)) == []
    view = view_of(folder, price="3.60 EUR/h")
    training, million = money_columns(view)
    assert (training.title, million.title) == ("train EUR", "EUR/M texts")
    for row in view.rows:
        assert training.value(row) == pytest.approx(row.cost("training_seconds") * 0.001)
        assert million.value(row) == pytest.approx(row.cost("inference_ms"))  # no batches were timed
    paid = sum(run.cost.train_seconds for run in view.done)
    assert machine_seconds(view) == pytest.approx(paid)
    (note,) = money_notes(view)
    assert note.startswith(f"At 3.60 EUR/h the whole study took {paid / 1000:.3g} EUR (")
    assert "train EUR" in markdown_table(view)


# -- energy ----------------------------------------------------------------------------------------


def zone(folder: Path, name: str, energy: int, most: int = 1_000_000_000) -> Path:
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    (place / "max_energy_range_uj").write_text(f"{most}\n", encoding="ascii")
    (place / "energy_uj").write_text(f"{energy}\n", encoding="ascii")
    return place / "energy_uj"


@pytest.fixture
def powercap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the kernel would keep its counters."""
    monkeypatch.setattr(energy, "POWERCAP", tmp_path / "powercap")
    return tmp_path / "powercap"


def test_processors_count_their_own_energy_and_start_again(powercap: Path) -> None:
    """RAPL's files as the kernel writes them: two packages, and a part of one that is counted in it."""
    assert EnergyMeter(torch.device("cpu")).joules is None
    first, second = zone(powercap, "intel-rapl:0", 999_000_000), zone(powercap, "intel-rapl:1", 5_000_000)
    part = zone(powercap, "intel-rapl:0:0", 0)
    meter = EnergyMeter(torch.device("cpu"))
    assert meter.joules == 0
    second.write_text("7500000\n", encoding="ascii")
    part.write_text("900000000\n", encoding="ascii")
    assert meter.joules == pytest.approx(2.5)
    first.write_text("1000000\n", encoding="ascii")  # past its range
    assert meter.joules == pytest.approx(4.5)
    second.unlink()
    assert meter.joules is None


def test_a_run_that_reads_states_has_the_energy_of_their_pass(
    tiny_gpt2: Path, mail: Path, tmp_path: Path, powercap: Path
) -> None:
    counter, over = zone(powercap, "intel-rapl:0", 0, 10**15), threading.Event()

    def count() -> None:
        """Every millisecond a joule."""
        for joules in itertools.count():
            if over.wait(0.001):
                return
            (powercap / "next").write_text(f"{1_000_000 * joules}\n", encoding="ascii")
            (powercap / "next").replace(counter)

    counting = threading.Thread(target=count)
    counting.start()
    try:
        spec = spec_of(tiny_gpt2, mail, "auto", method="linear_probe")
        first, second = (run_one(spec, cache={"folder": tmp_path / "states"}).record.cost for _ in range(2))
    finally:
        over.set()
        counting.join()
    (entry,) = [e for e in ActivationCache(tmp_path / "states").entries() if e.description.texts.startswith("train")]
    assert entry.description.joules > 1
    assert second.cache_flops == 0
    assert min(first.training_joules, second.training_joules) >= entry.description.joules


def test_energy_that_was_measured_is_shown_and_any_other_is_called_estimated(tmp_path: Path) -> None:
    view = view_of(ordinary(tmp_path), power="100W")
    column, rows = energy_column(view), {row.label: row for row in view.rows}
    assert all(column.text(row).startswith("≈ ") for row in rows.values())
    speed = [row.cost("training_flops") / row.cost("training_seconds") for row in rows.values()]
    middle = sorted(speed)[len(speed) // 2]
    assert column.value(rows["lora"]) == pytest.approx(100 * rows["lora"].cost("training_flops") / middle / 3600)
    (note,) = energy_notes(view)
    assert note.startswith("≈ Energy is estimated, not measured: training operations at the study's median of ")
    assert note.endswith("at the stated 100 W.")
    (usual,) = energy_notes(view_of(StudyFolder(tmp_path)))
    assert "10 W for each thread used" in usual
    runs: list[RunRecord] = []
    for run in view.summary.runs:
        runs.append(run.model_copy(update={"cost": run.cost.model_copy(update={"training_joules": 7200.0})}))
    measured = View(view.summary.model_copy(update={"runs": runs}))
    assert {energy_column(measured).text(row) for row in measured.rows} == {"2"}
    assert energy_notes(measured) == []


# -- latency ---------------------------------------------------------------------------------------


class Clock:
    """Calls that take so many seconds each, the last for ever after."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *seconds: float) -> None:
        self.now, self.seconds, self.calls = 0.0, seconds, list[int]()
        monkeypatch.setattr(Timers, "now", lambda timers: self.now)

    def __call__(self, number: int) -> None:
        self.now += self.seconds[min(len(self.calls), len(self.seconds) - 1)]
        self.calls.append(number)


CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_latency_has_a_median_and_a_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty calls of which two are slow: the median does not see them, the 95th percentile does."""
    forward = Clock(monkeypatch, *(0.2 if i in (4, 8) else 0.002 for i in range(21)))
    found = latency_ms(forward, CPU, 20)
    assert forward.calls == [0, *range(20)]
    assert found.p50 == pytest.approx(2)
    assert found.p95 == pytest.approx(200)
    assert found.of_each(32).costs("x") == {"x": pytest.approx(2 / 32), "x_p95": pytest.approx(200 / 32)}


@pytest.mark.parametrize(
    ("seconds", "calls"),
    [
        ([0.4], [0, 0, 1, 2]),  # the third of those that count passes a second
        ([0.7], [0, 0, 1]),
        ([2.0], [0]),  # by itself more than a second
        ([1.5, 0.01], [0]),
        ([0.9, 1.1], [0, 0]),
    ],
)
def test_slow_calls_are_few(seconds: list[float], calls: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    forward = Clock(monkeypatch, *seconds)
    found = latency_ms(forward, CPU, 20)
    assert forward.calls == calls
    last = 1000 * seconds[min(len(calls), len(seconds)) - 1]
    assert (found.p50, found.p95) == pytest.approx((last, last))


def test_a_first_call_on_a_gpu_warms_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels are loaded and chosen in it: however long it takes, it is not counted."""
    forward = Clock(monkeypatch, 3.0, 0.01)
    found = latency_ms(forward, CUDA, 20)
    assert forward.calls == [0, *range(20)]
    assert found.p50 == pytest.approx(10)


def test_what_is_warm_counts_from_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = Clock(monkeypatch, 0.6, 0.8)
    found = latency_ms(forward, CUDA, 20, warm=True)
    assert forward.calls == [0, 1]
    assert (found.p50, found.p95) == pytest.approx((700, 800))


# -- together --------------------------------------------------------------------------------------


def test_another_price_makes_no_run(mail: Path, tmp_path: Path) -> None:
    """A real study, drawn again with another price and other limits: the same runs, none of them made."""
    study = {"data": str(mail), "baselines": ["majority", "tfidf_word"]}
    first = compare(parse_study(study, "it"), tmp_path)
    assert first.started == 2
    assert {run.cost.adapter_bytes > 0 for run in first.records} == {True}
    assert {run.cost.inference_ms_p95 >= run.cost.inference_ms > 0 for run in first.records} == {True}
    assert {run.cost.inference_ms_batch_32_p95 > 0 for run in first.records} == {True}
    again = compare(
        parse_study({**study, "price": "2 EUR/h", "power": "30W", "require": ["training_seconds<=0.000001"]}, "it"),
        tmp_path,
    )
    assert again.started == 0
    assert [run.run_id for run in again.records] == [run.run_id for run in first.records]
    assert set(again.summary.verdict.outside) == {"majority", "tfidf_word"}
    assert "train EUR" in again.to_markdown()
    assert "At 2 EUR/h the whole study took" in " ".join(inside("show", str(tmp_path)).stdout.split())
    assert again.summary.study.require == ["training_seconds<=0.000001"]
    refused = inside("compare", "--data", str(mail), "--price", "2.50", "--out", str(tmp_path / "new"), code=2)
    assert refused.stderr.startswith("Error: --price 2.50 cannot be read: write money by time, such as 2.50/h")
    assert not (tmp_path / "new").exists()
