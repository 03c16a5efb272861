"""Studies as different as users make them, for what must hold of every drawing. Made up, but for the stored ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from report.made_studies import ALL, MadeStudy
from report.made_texts import made_texts
from whichtune.records.store import StudyFolder
from whichtune.study.roles import Role

PINS = Path(__file__).parents[1] / "pins"
LONG = (
    "full fine-tuning of all blocks with layer-wise decay, learning_rate=0.00005, weight_decay=0.1, batch_size=8, run"
)


def thirty_rows(folder: Path) -> StudyFolder:
    """One seed each, all within two points and most within a factor of two in time."""
    study = MadeStudy(folder, n=100, seeds=[0], pairs=[{"a": "lora lora_rank=1", "b": "lora lora_rank=2"}])
    for i in range(28):
        study.add(f"lora lora_rank={i + 1}", 0.9 + 0.0006 * i, seeds=(0,), seconds=10 + 0.4 * i, parameters=60_000 + i)
    for name in ("majority", "tfidf_word"):
        study.add(name, 0.88, seeds=(None,), role=Role.BASELINE, method=name, seconds=0.3, parameters=10_000)
    return study.finish()


def long_names(folder: Path) -> StudyFolder:
    """Names of 120 signs that differ at their end alone."""
    study = MadeStudy(folder, labels=[f"a class with a very long name that ends with {i}" for i in range(4)], n=100)
    for i in range(6):
        study.add(f"{LONG} {i}", 0.7 + 0.04 * i, seconds=2.0**i, points=4)
    study.add(f"W{'W' * 60}", 0.85, seconds=3)
    return study.finish()


def same_scores(folder: Path) -> StudyFolder:
    """Twelve rows of one score and one cost: all marks lie on one another."""
    study = MadeStudy(folder, n=100, pairs=[{"a": "row number 1", "b": "row number 2"}])
    for i in range(12):
        study.add(f"row number {i}", 0.8, seeds=(0, 1))
    first = study.records[:2]
    for i, record in enumerate(study.records):
        alike = {"metrics": first[i % 2].metrics, "cost": first[i % 2].cost}
        study.records[i] = record.model_copy(update=alike)
    return study.finish()


def all_right(folder: Path) -> StudyFolder:
    """Perfect answers, no time at all, and one point a curve."""
    study = MadeStudy(folder, n=100)
    for name, points in (("head_only", 1), ("lora", 2)):
        study.add(name, 1.0, points=points, seconds=0.0)
    study.add("full", 0.2, seeds=(0,), seconds=100_000.0, points=3, parameters=10**10)
    study.add("untouched", 0.0, seeds=(0,), seconds=0.0, points=1)
    return study.finish()


def forty_classes(folder: Path) -> StudyFolder:
    study = MadeStudy(folder, labels=[f"intent {i}: 询问余额 and more" for i in range(40)], n=400)
    study.add("head_only", 0.55, seeds=(0,), method="head_only")
    study.add("lora", 0.8, seeds=(0,))
    return study.finish(verdict=False)


def random_weights(folder: Path) -> StudyFolder:
    """Rows of random weights and the majority class beside a trained one."""
    study = MadeStudy(folder, n=200)
    study.add("lora", 0.9)
    study.add("lora, random weights", 0.55)
    study.add("majority", 0.5, seeds=(None,), role=Role.BASELINE, method="majority", seconds=0.01)
    for i in (3, 4, 5):
        record = study.records[i]
        study.records[i] = record.model_copy(update={"spec": {**record.spec, "weights": "random"}})
    return study.finish()


def published(folder: Path) -> StudyFolder:
    """A reproduction of a study that was published as bar charts and curves."""
    loss = {str(10 * i): 0.7 - 0.1 * i for i in range(1, 6)}
    rows = {"lora": {"test": 92.0, "training_loss": loss}, "soft prompt": {"test": 90.0, "training_loss": {"10": 0.7}}}
    study = MadeStudy(folder, n=100, published={"source": "A study", "bar_charts": True, "rows": rows})
    study.add("lora", 0.92, seeds=(0,))
    study.add("soft prompt", 0.9, seeds=(0,), seconds=3, parameters=1_000)
    study.add("full, all the weights of all the blocks", 0.93, seeds=(0,), seconds=90, parameters=124_439_808)
    return study.finish()


def chance(seed: int) -> Callable[[Path], StudyFolder]:
    """A study with everything drawn by lot."""

    def make(folder: Path) -> StudyFolder:
        random = np.random.default_rng(seed)
        signs = list("abcdefghijklmnopqrstuvwxyzWM_=. 微调全部🔥éЖ")
        study = MadeStudy(
            folder,
            labels=["".join(random.choice(signs, random.integers(1, 30))) for _ in range(random.integers(2, 18))],
            n=int(random.integers(60, 160)),
        )
        for row in range(random.integers(2, 14)):
            study.add(
                f"{row}{''.join(random.choice(signs, random.integers(1, 60)))}",
                float(random.uniform(0.3, 1.0)),
                seeds=range(random.integers(1, 4)),
                role=Role.RUN if random.random() < 0.8 else Role.BASELINE,
                seconds=float(10 ** random.uniform(-4, 5)),
                parameters=int(10 ** random.uniform(0, 10)),
                points=int(random.integers(1, 40)),
            )
        return study.finish(verdict=random.random() < 0.5)

    return make


def stored(name: str) -> Callable[[Path], StudyFolder]:
    """A study of release 0.1."""
    return lambda folder: StudyFolder(PINS / name)


VARIED: dict[str, Callable[[Path], StudyFolder]] = {
    **ALL,
    "thirty_rows": thirty_rows,
    "long_names": long_names,
    "same_scores": same_scores,
    "all_right": all_right,
    "forty_classes": forty_classes,
    "random_weights": random_weights,
    "published": published,
    "texts": made_texts,
    **{f"chance_{seed}": chance(seed) for seed in range(4)},
    **{f"stored_{name}": stored(name) for name in ("labels", "texts", "tuned")},
}
