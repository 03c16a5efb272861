"""Successive halving against random draws at the same cost: what each finds, on the embedded model and data.

    python benchmarks/halving.py [--data messages] [--limit 200] [--draws 6] [--seeds 10] [--methods lora]

Every seed is a search of its own: another seed of the draws and of training. Both strategies have the same draws, by
the package's own plan, promotion and training loop; random draws are trained in one go, those of halving in parts, each
from the state that the part before put aside. A draw that both train to its end must come to the same score, or the
script ends. All is made in this process, so that loading a model is not measured. Prints the tables of `halving.md`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch

from whichtune.compare import prepare
from whichtune.measure.cost import Timers
from whichtune.methods import METHODS
from whichtune.models.saving import restore_trained_state, trained_state
from whichtune.records.record import RunRecord, RunStatus
from whichtune.runs.run import base_record
from whichtune.shortcuts.prepared import CacheSettings
from whichtune.study.load import parse_study
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec
from whichtune.tasks import task_of
from whichtune.tasks.classification.evaluate import predict_split
from whichtune.training.aside import State
from whichtune.training.streams import streams_of
from whichtune.training.trainer import Trainer
from whichtune.tuning.halving import climb
from whichtune.tuning.search import Draw
from whichtune.tuning.trials import SearchedDraws, plan_search


@dataclass
class Search:
    """What one search of one method found and took: scores in %, seconds of training, and of judging besides."""

    validation: float = 0.0
    test: float = 0.0
    flops: int = 0
    seconds: float = 0.0
    judging: float = 0.0
    begun: int = 0
    ended: dict[int, tuple[float, float]] = field(default_factory=dict)  # score and loss by draw


@dataclass(frozen=True)
class Part:
    """A draw's training up to a rung's end: figures of validation, and what it took since the rung before."""

    score: float
    loss: float
    test: float
    flops: int
    seconds: float
    judging: float
    state: State | None


class Bench:
    """Trains draws of one study; what is frozen is encoded and computed once for a method."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.built: dict[str, Any] = {}  # by the settings of a method: they may change its model

    def _build(self, spec: RunSpec, device: torch.device) -> tuple[Any, torch.nn.Module, Any, dict[str, torch.Tensor]]:
        task = task_of(spec)
        model, tokenizer = task.build(spec, self.dataset)
        encoded = task.encode(spec, self.dataset, tokenizer, model.get_submodule("backbone").config)
        forward = task.prepare(spec, model, encoded, device, Timers(device), CacheSettings()).forward
        return task, model, forward, trained_state(model)

    def train(self, spec: RunSpec, before: Part | None = None) -> Part:
        spec = spec.model_copy(
            update={"role": Role.RUN}
        )  # a draw's training; the test split is read for this table only
        device, key = torch.device("cpu"), f"{spec.label} {spec.method_settings}"
        if key not in self.built:
            self.built[key] = self._build(spec, device)
        task, model, forward, first = self.built[key]
        restore_trained_state(model, first)
        timers = Timers(device)
        course = METHODS[spec.method].course(model, METHODS[spec.method].Settings(**spec.method_settings))
        objective = task.objective(spec, model, forward)
        trainer = Trainer(model, forward, spec, timers, objective, streams=streams_of(spec), course=course)
        result = trainer.train(spec.part, None if before is None else before.state)
        began = time.perf_counter()
        point = objective.point(range(len(forward.encoded.splits["validation"])))
        judging = time.perf_counter() - began
        split = forward.encoded.splits["test"]
        answers = predict_split(model, forward, "test", range(len(split))).argmax(axis=1)
        return Part(
            score=float(point["validation_accuracy"] or 0.0),
            loss=float(point["validation_loss"] or 0.0),
            test=float((answers == split.labels).mean()),
            flops=result.flops - (0 if before is None else before.state["result"]["flops"]),
            seconds=timers.seconds["train"] - (0.0 if before is None else before.state["seconds"]["train"]),
            judging=judging,
            state=trainer.aside,
        )


def random_search(bench: Bench, draws: list[Draw]) -> Search:
    found, parts = Search(begun=len(draws)), {}
    for draw in draws:
        parts[draw.number] = bench.train(draw.spec)
        _pay(found, parts[draw.number])
    return _chosen(found, parts)


def halving_search(bench: Bench, line: SearchedDraws) -> Search:
    """By the plan's own rungs and promotions."""
    found, parts, records = Search(begun=len(line.draws)), dict[str, Part](), dict[str, RunRecord]()

    def rank(draw: Draw, record: RunRecord) -> tuple[float, float, int]:
        return -parts[record.run_id].score, parts[record.run_id].loss, draw.number

    while waiting := climb(line.draws, line.rungs, records.get, rank).waiting:
        for spec in waiting:
            parts[spec.run_id] = bench.train(spec, parts.get(spec.goes_on_from or ""))
            records[spec.run_id] = base_record(spec, RunStatus.COMPLETED)
            _pay(found, parts[spec.run_id])
    return _chosen(found, {d.number: parts[d.spec.run_id] for d in line.draws if d.spec.run_id in parts})


def _pay(found: Search, part: Part) -> None:
    found.flops, found.seconds = found.flops + part.flops, found.seconds + part.seconds
    found.judging += part.judging


def _chosen(found: Search, ended: dict[int, Part]) -> Search:
    best = min(ended, key=lambda number: (-ended[number].score, ended[number].loss, number))
    found.validation, found.test = 100 * ended[best].score, 100 * ended[best].test
    found.ended = {number: (part.score, part.loss) for number, part in ended.items()}
    return found


def searches(asked: argparse.Namespace, study: dict[str, object]) -> dict[str, tuple[Search, Search]]:
    """Random draws and halving by method."""
    expansion, dataset = prepare(parse_study(study, "benchmark"))
    plan = plan_search(expansion, dataset.without_test())
    assert plan is not None
    bench, found = Bench(dataset), {}
    for line in plan.lines:
        random, halving = random_search(bench, line.draws[: asked.draws]), halving_search(bench, line)
        for number in random.ended.keys() & halving.ended.keys():
            assert random.ended[number] == halving.ended[number], (line.label, number)
        found[line.label] = (random, halving)
    return found


def table(pairs_of: dict[str, list[tuple[Search, Search]]]) -> list[str]:
    lines = [
        "| method | validation: random | halving | difference, median (all) | better, equal, worse | "
        "test, difference | begun | operations | training time | judging time |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for method, pairs in pairs_of.items():
        gaps = [h.validation - r.validation for r, h in pairs]
        signs = [sum(1 for gap in gaps if (gap > 0) - (gap < 0) == sign) for sign in (1, 0, -1)]
        lines.append(
            f"| {method} | {_median(r.validation for r, _ in pairs):.1f} | "
            f"{_median(h.validation for _, h in pairs):.1f} | "
            f"{_median(gaps):+.1f} ({min(gaps):+.1f} to {max(gaps):+.1f}) | {', '.join(map(str, signs))} | "
            f"{_median(h.test - r.test for r, h in pairs):+.1f} | "
            f"{_median(r.begun for r, _ in pairs):.0f}, {_median(h.begun for _, h in pairs):.0f} | "
            f"{_median(h.flops / r.flops for r, h in pairs):.2f} | "
            f"{_median(h.seconds / r.seconds for r, h in pairs):.2f} | "
            f"{_median(h.judging / r.judging for r, h in pairs):.1f} |"
        )
    return lines


def _median(values: Iterable[float]) -> float:
    return statistics.median(list(values))


def options(words: list[str]) -> tuple[argparse.Namespace, Callable[[int], dict[str, object]]]:
    """What is asked for, and the study of a seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="messages")
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--validation", type=int, help="validation texts [default: all]")
    parser.add_argument("--draws", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=100, help="the first seed; 0 to 19 were used to choose the rungs")
    parser.add_argument("--methods", default="head_only,last_block")
    asked = parser.parse_args(words)
    torch.set_num_threads(1)

    def study_of(seed: int) -> dict[str, object]:
        return {
            "data": {"source": asked.data, "train_limit": asked.limit}
            | ({} if asked.validation is None else {"validation_limit": asked.validation}),
            "model": "embedded",
            "methods": asked.methods.split(","),
            "baselines": ["majority"],
            "primary_metric": "accuracy",
            "seeds": [seed],
            "settings": {"evaluation_interval": 10**6},  # no points on the way: rungs are judged beside the training
            "tuning": {"draws": asked.draws, "seed": seed, "strategy": "halving"},
        }

    return asked, study_of


def main() -> None:
    asked, study_of = options(sys.argv[1:])
    pairs: dict[str, list[tuple[Search, Search]]] = {}
    for seed in range(asked.first, asked.first + asked.seeds):
        for label, pair in searches(asked, study_of(seed)).items():
            pairs.setdefault(label, []).append(pair)
            random, halving = pair
            said = f"random {random.validation:.1f}, halving {halving.validation:.1f}"
            print(f"seed {seed}, {label}: {said}", flush=True)
    print("\n".join(table(pairs)))


if __name__ == "__main__":
    main()
