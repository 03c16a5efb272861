"""Studies on disk for the tests of the report: records, curves and predictions as the store writes them,
without training. What they claim is made up; their form is not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from whichtune.evidence.checks import make_checks
from whichtune.evidence.judge import judge_trials, trials_of
from whichtune.evidence.summary import build_summary
from whichtune.metrics import metrics_of
from whichtune.records.record import Cost, Environment, Metrics, MetricsBySplit, RunRecord, RunStatus
from whichtune.records.store import StudyFolder
from whichtune.stats.tuning import DrawFigures, LineFigures, TuningFigures, crossings, line_figures
from whichtune.study.resolved import ResolvedStudy
from whichtune.study.roles import SCHEMA_VERSION, Role
from whichtune.study.spaces import Space, choice, log_uniform

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"> \" ' & </td>"
ENVIRONMENT = Environment(
    whichtune="0.1.0",
    python="3.11.7",
    platform="Linux-6.1-x86_64",
    processor="Some CPU",
    cores=2,
    threads=1,
    device="cpu",
    memory_bytes=25 * 2**30,
    packages={"torch": "2.13.0", "transformers": "5.23.0"},
)


class MadeStudy:
    """Collects runs, then writes the study's summary."""

    def __init__(
        self,
        folder: Path,
        labels: Sequence[str] = ("ham", "spam"),
        texts: Sequence[str] | None = None,
        n: int = 120,
        **study: Any,
    ) -> None:
        self.folder = StudyFolder(folder, create=True)
        self.random = np.random.default_rng(7)
        self.names = list(labels)
        texts = list(texts) if texts else [f"message number {i} of the test split" for i in range(n)]
        self.texts = texts
        self.truth = np.arange(len(texts)) % len(self.names)
        # Hard examples are hard for every run, as in life; without this no two runs would agree.
        self.hardness = self.random.beta(0.7, 0.7, len(texts))
        self.records: list[RunRecord] = []
        self.searched: list[LineFigures] = []
        self.study: dict[str, Any] = {
            "name": "made",
            "task": "classification",
            "data": {"source": "messages", "split_seed": 0},
            "model": "embedded",
            "seeds": [0, 1, 2],
            "labels": self.names,
            "baseline": None,
            "pairs": [],
            "primary_metric": "accuracy",
            "margin": 1.0,
            "selection_cost": "train_seconds",
            "published": None,
            "notes": [],
            "command": "whichtune compare --data messages --seeds 0,1,2",
            **study,
        }
        frame = pd.DataFrame({"split": "test", "example_id": self.ids, "text": texts, "label": self.truth})
        self.folder.write_examples(frame)

    @property
    def ids(self) -> list[str]:
        return [f"t{i}" for i in range(len(self.truth))]

    def add(
        self,
        label: str,
        accuracy: float = 0.9,
        seeds: Sequence[int | None] = (0, 1, 2),
        role: Role = Role.RUN,
        method: str = "lora",
        seconds: float = 10.0,
        parameters: int = 70_000,
        points: int = 5,
        note: str | None = None,
    ) -> None:
        """Completed runs of one row, right on about this share of the test examples."""
        for seed in seeds:
            answers = self._answers(accuracy)
            metrics = self._metrics(answers)
            record = RunRecord(
                run_id=f"{len(self.records):016x}",
                label=label,
                role=role,
                status=RunStatus.COMPLETED,
                seed=seed,
                method=method,
                spec={"method": method, "epochs": 3, "learning_rate": 5e-4, "method_settings": {"rank": 8}},
                metrics=MetricsBySplit(train=metrics, validation=metrics, test=metrics),
                cost=Cost(
                    trainable_parameters=parameters,
                    total_parameters=3_000_000,
                    train_seconds=seconds * self.random.uniform(0.9, 1.1),
                    max_epoch_seconds=seconds / 3,
                    peak_memory_bytes=int(2e8 * self.random.uniform(0.8, 1.2)),
                    flops=int(1e10 * seconds),
                    adapter_bytes=4 * parameters,
                    inference_ms=self.random.uniform(5, 9),
                ),
                notes=[note] if note else [],
                environment=ENVIRONMENT,
                labels=self.names,
                context_length=64,
                fingerprints={"data": "ab" * 32, "weights": "cd" * 32},
                started_at="2026-11-20T10:00:00+00:00",
                finished_at="2026-11-20T10:01:00+00:00",
            )
            curves = [] if role is Role.BASELINE else self._curves(points, accuracy)
            self.folder.write_run(record, curves, self._predictions(answers))
            self.records.append(record)

    def fail(
        self, label: str, error: str, seed: int | None = 0, status: RunStatus = RunStatus.FAILED, method: str = "full"
    ) -> None:
        record = RunRecord(
            run_id=f"{len(self.records):016x}",
            label=label,
            status=status,
            seed=seed,
            method=method,
            spec={"method": method, "epochs": 3},
            error=error,
            environment=ENVIRONMENT,
            labels=self.names,
        )
        self.folder.write_run(record)
        self.records.append(record)

    def search(
        self, label: str, draws: int = 6, best: float = 0.9, rate: float = 1e-3, method: str = "lora", failed: int = 0
    ) -> None:
        """A search whose scores fall on both sides of `rate`."""
        spaces: dict[str, Space] = {"learning_rate": log_uniform(1e-5, 1e-1), "lora_rank": choice(4, 8)}
        figures = []
        for number in range(1, draws + 1):
            settings = {name: space.value(self.random.random()) for name, space in spaces.items()}
            off = abs(math.log10(settings["learning_rate"] / rate))
            broken = number <= failed
            figures.append(
                DrawFigures(
                    number=number,
                    run_id=f"d{len(self.searched):03d}{number:012x}",
                    status="failed" if broken else "completed",
                    error="The loss became infinite." if broken else None,
                    settings=settings,
                    score=None if broken else max(0.3, best - 0.1 * off),
                    loss=None if broken else 0.2 + 0.1 * off,
                    flops=None if broken else 2e11 * len(self.searched) + 1e10,
                    seconds=None if broken else 3.0 * len(self.searched) + 0.2,
                )
            )
        self.searched.append(line_figures(label, method, spaces, figures, True, (1e9, 0.1)))

    def _tuning(self) -> TuningFigures | None:
        if not self.searched:
            return None
        most = max(len(line.draws) for line in self.searched)
        return TuningFigures(
            metric="accuracy", higher_is_better=True, seed=0, run_seed=0, budget=None, unit="draws",
            amount=float(most), limit=most, lines=self.searched, crossings=crossings(self.searched, True, "draws"),
        )  # fmt: skip

    def finish(self, verdict: bool = True) -> StudyFolder:
        """Write study.json and summary.json; the evidence is what the statistics say of these runs."""
        self.folder.write_json("study.json", self.study)
        summary: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "study": self.study}
        if verdict:
            study = ResolvedStudy.model_validate(self.study)
            trials = trials_of(study, self.records, self.folder.predictions)
            evidence = judge_trials(study, trials, self._tuning())
            checks = make_checks(study, trials, evidence, self.folder.curves)
            summary = build_summary(study, self.records, evidence, checks).to_json()
        else:  # as a study that was never judged
            summary["runs"] = [record.model_dump(mode="json") for record in self.records]
        self.folder.write_json("summary.json", summary)
        return self.folder

    def _answers(self, accuracy: float) -> np.ndarray:
        noise = 0.7 * self.hardness + 0.3 * self.random.random(len(self.truth))
        right = noise <= np.quantile(noise, min(1.0, max(0.05, accuracy + self.random.normal(0, 0.015))))
        shifted = (self.truth + 1 + self.random.integers(0, max(1, len(self.names) - 1), len(self.truth))) % len(
            self.names
        )
        return np.where(right, self.truth, shifted)

    def _metrics(self, answers: np.ndarray) -> Metrics:
        from sklearn.metrics import confusion_matrix, f1_score

        names = range(len(self.names))
        return Metrics(
            accuracy=float((answers == self.truth).mean()),
            f1_macro=float(f1_score(self.truth, answers, labels=list(names), average="macro", zero_division=0)),
            loss=float(1.1 - (answers == self.truth).mean()),
            n=len(answers),
            confusion_matrix=confusion_matrix(self.truth, answers, labels=list(names)).tolist(),
            **self._entered(answers),
        )

    def _entered(self, answers: np.ndarray) -> dict[str, float]:
        """Metrics of the table that have no field."""
        entered = [metric for metric in metrics_of("classes") if metric.name not in Metrics.model_fields]
        return {metric.name: metric.of_classes(self.truth, answers, len(self.names)) for metric in entered}

    def _curves(self, points: int, accuracy: float) -> list[dict[str, Any]]:
        found = []
        for i in range(1, points + 1):
            done = 1 - 0.5 ** (4 * i / points)
            found.append(
                {
                    "step": 10 * i,
                    "epoch": 3 * i / points,
                    "train_loss": 0.7 - 0.6 * done + float(self.random.normal(0, 0.01)),
                    "train_accuracy": 0.5 + (accuracy - 0.48) * done,
                    "validation_loss": 0.7 - 0.5 * done + float(self.random.normal(0, 0.01)),
                    "validation_accuracy": 0.5 + (accuracy - 0.5) * done,
                    "validation_f1_macro": 0.5 + (accuracy - 0.51) * done,
                    **{
                        f"validation_{metric.name}": 0.5 + (accuracy - 0.52) * done
                        for metric in metrics_of("classes")
                        if metric.name not in Metrics.model_fields
                    },
                    "learning_rate": 5e-4 * (1 - i / points),
                    "seconds": float(i),
                }
            )
        return found

    def _logits(self, answers: np.ndarray) -> np.ndarray:
        """Of these answers (n, C): the surer, the easier the example."""
        logits = np.zeros((len(answers), len(self.names)))
        logits[np.arange(len(answers)), answers] = 1 + 5 * (1 - self.hardness)
        return logits

    def _predictions(self, answers: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "split": "test",
                "example_id": self.ids,
                "label": self.truth,
                "prediction": answers,
                "loss": np.where(answers == self.truth, 0.1, 2.0),
                "logits": [row.astype("float32") for row in self._logits(answers)],
                "duplicate_of_train": False,
            }
        )


def ordinary(folder: Path) -> StudyFolder:
    """Four methods, a baseline, a row with a failed seed and published figures."""
    study = MadeStudy(
        folder,
        pairs=[
            {
                "a": "lora",
                "b": "head_only",
                "factor": "method",
                "claim": "LoRA is better",
                "published": {"a": 95.0, "b": 72.0},
            },
        ],
        published={
            "source": "A study of 2024",
            "rows": [{"label": "lora", "test_accuracy": 95.0, "train_minutes": 2.5}],
        },
    )
    study.add("head_only", 0.6, seconds=2, parameters=514, method="head_only")
    study.add("last_block", 0.85, seconds=6, parameters=197_000, method="last_block")
    study.add("lora", 0.92, seconds=14, note="The cache was not used: dropout 0.1 below the boundary.")
    study.add("full", 0.93, seeds=(0, 1), seconds=30, parameters=3_000_000, method="full")
    study.fail("full", "The loss became infinite at step 12.", seed=2)
    study.add(
        "tfidf_char", 0.88, seeds=(None,), role=Role.BASELINE, method="tfidf_char", seconds=0.4, parameters=20_000
    )
    return study.finish()


def searched(folder: Path) -> StudyFolder:
    """Three rows whose settings were searched, one with a failed draw, and one with nothing to search."""
    study = MadeStudy(folder, seeds=[0, 1, 2])
    study.add("head_only", 0.7, method="head_only", seconds=1)
    study.add("lora", 0.92, seconds=14)
    study.add("full, all blocks", 0.93, method="full", seconds=30)
    study.add("linear_probe", 0.66, method="linear_probe", seconds=0.1)
    study.search("head_only", best=0.72, rate=3e-2, method="head_only")
    study.search("lora", draws=8, best=0.93, rate=1e-3, failed=1)
    study.search("full, all blocks", draws=8, best=0.95, rate=1e-5, method="full")
    study.searched.append(line_figures("linear_probe", "linear_probe", {}, [], True))
    return study.finish()


def one_run(folder: Path) -> StudyFolder:
    study = MadeStudy(folder)
    study.add("lora", 0.9, seeds=(0,))
    return study.finish()


def hundred_runs(folder: Path) -> StudyFolder:
    """Twenty rows of five seeds, thirty points a curve."""
    study = MadeStudy(folder, n=60, seeds=[0, 1, 2, 3, 4])
    for i in range(20):
        study.add(
            f"lora lora_rank={2**i}",
            0.6 + 0.018 * i,
            seeds=range(5),
            seconds=1.5**i,
            parameters=500 * 2**i,
            points=30,
        )
    return study.finish()


def only_failures(folder: Path) -> StudyFolder:
    study = MadeStudy(folder)
    study.fail("full", "The system killed the run (SIGKILL).", status=RunStatus.OUT_OF_MEMORY)
    study.fail("lora", "The run was not made: the study was interrupted.", status=RunStatus.INTERRUPTED)
    return study.finish()


def thirty_classes(folder: Path) -> StudyFolder:
    study = MadeStudy(folder, labels=[f"intent_{i:02d}" for i in range(30)], n=300)
    study.add("head_only", 0.55, method="head_only")
    study.add("lora", 0.8)
    study.add("tfidf_word", 0.7, seeds=(None,), role=Role.BASELINE, method="tfidf_word")
    return study.finish(verdict=False)  # bootstrapping macro F1 over 30 classes takes too long here


def many_tongues(folder: Path) -> StudyFolder:
    """Class names, texts and row labels in Chinese, Arabic and emoji."""
    texts = ["恭喜您中奖了！请立即点击领取", "明天下午三点开会，别忘了", "🎉🎉 免费 🎁", "مرحبا كيف حالك"] * 30
    study = MadeStudy(folder, labels=["正常邮件", "垃圾邮件 🚫", "😀"], texts=texts, name="短信分类 📱")
    study.add("微调全部 🔥", 0.9)
    study.add("仅分类头", 0.6, method="head_only")
    study.add("基线", 0.8, seeds=(None,), role=Role.BASELINE, method="tfidf_char")
    return study.finish()


def hostile(folder: Path) -> StudyFolder:
    """A script tag wherever a user's own text can stand."""
    study = MadeStudy(
        folder,
        labels=[f"{HOSTILE} one", f"{HOSTILE} two"],
        texts=[f"{HOSTILE} {i}" for i in range(80)],
        name=HOSTILE,
        command=f"whichtune compare --out {HOSTILE}",
        notes=[HOSTILE],
        model=HOSTILE,
        published={"source": HOSTILE, "rows": [{"label": f"lora {HOSTILE}", "test_accuracy": 90.0}]},
        pairs=[{"a": f"lora {HOSTILE}", "b": f"head {HOSTILE}", "factor": None, "claim": HOSTILE, "published": None}],
    )
    study.add(f"lora {HOSTILE}", 0.9, note=HOSTILE)
    study.add(f"head {HOSTILE}", 0.6)
    study.fail(f"broken {HOSTILE}", HOSTILE)
    study.search(f"lora {HOSTILE}", failed=1)
    return study.finish()


ALL = {
    "ordinary": ordinary,
    "searched": searched,
    "one_run": one_run,
    "hundred_runs": hundred_runs,
    "only_failures": only_failures,
    "thirty_classes": thirty_classes,
    "many_tongues": many_tongues,
    "hostile": hostile,
}
