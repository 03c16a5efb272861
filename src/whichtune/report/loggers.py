"""Curves and the final table for TensorBoard and MLflow. Optional: each needs its extra, imported when used.

A run is sent once: sending it again, or resuming a study, adds nothing.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Protocol

from whichtune.errors import SettingError
from whichtune.evidence.summary import Summary
from whichtune.metrics import METRICS
from whichtune.records.events import Event, Listener
from whichtune.records.record import SPLITS, CurvePoint, RunRecord, RunStatus
from whichtune.records.store import StudyFolder
from whichtune.registry import did_you_mean
from whichtune.report.details import flat
from whichtune.report.view import View
from whichtune.report.words import setting
from whichtune.report.write import load_summary, whole_table

OTHER_FIGURES = ("perplexity",)  # beside the metrics
MOST_METRICS = 500  # in one request to MLflow, which takes 1,000
LONGEST_PARAMETER = 500


class StudyLogger(Protocol):
    """What receives a study."""

    def run(self, record: RunRecord, curves: Sequence[CurvePoint]) -> None:
        """Send one completed run; does nothing where it was sent before."""

    def table(self, summary: Summary) -> None:
        """Send the table and the verdict."""


class Sender:
    """Listens to a study's events, passes each on, and sends every run to the named loggers as it ends.

    Raises SettingError for an unknown name or a missing extra, before anything is run.
    """

    def __init__(self, names: Iterable[str], on_event: Listener) -> None:
        self.names, self.on_event = list(names), on_event
        self.folder: StudyFolder | None = None
        self.loggers: list[StudyLogger] = []
        for name in self.names:
            check_logger(name)

    def __call__(self, event: Event) -> None:
        if event["event"] == "study" and self.names:
            self.folder = StudyFolder(event["folder"])
            self.loggers = [LOGGERS[name](self.folder, event["name"]) for name in self.names]
        if event["event"] == "end":
            self._send(event["run_id"])
        self.on_event(event)

    def finish(self) -> None:
        """Send the runs that were complete before, and the table."""
        if self.folder is None:
            return
        summary = load_summary(self.folder)
        for run in summary.runs:
            self._send(run.run_id)
        for logger in self.loggers:
            logger.table(summary)

    def _send(self, run_id: str) -> None:
        record = self.folder.read_run(run_id) if self.folder is not None else None
        if self.folder is None or record is None or record.status is not RunStatus.COMPLETED:
            return
        for logger in self.loggers:
            logger.run(record, self.folder.curves(run_id))


def check_logger(name: str) -> None:
    """Raises SettingError where there is no such logger, or its package is not installed."""
    if name not in LOGGERS:
        raise SettingError(f"There is no logger '{name}': {did_you_mean(name, LOGGERS)}")
    if importlib.util.find_spec(name) is None:
        raise SettingError(f"The logger '{name}' needs a package that is missing: pip install 'whichtune[{name}]'.")


def run_name(record: RunRecord) -> str:
    return record.label if record.seed is None else f"{record.label}, seed {record.seed}"


def figures(record: RunRecord) -> dict[str, float]:
    """Final scores and costs, by split and name."""
    found: dict[str, float] = {}
    for split in SPLITS:
        metrics = record.metrics.of(split)
        for key in (*OTHER_FIGURES, *METRICS):
            if metrics is not None and (value := metrics.value(key)) is not None:
                found[f"final/{split}_{key}"] = float(value)
    return found | {f"cost/{key}": float(value) for key, value in record.cost if value is not None}


def scalars(point: CurvePoint) -> dict[str, float]:
    """Figures of a curve's point by the name they are sent under, such as `validation/loss`."""
    names = {
        **{f"{split}/{key}": f"{split}_{key}" for split in SPLITS for key in (*OTHER_FIGURES, *METRICS)},
        "learning_rate": "learning_rate",
    }
    return {tag: float(value) for tag, key in names.items() if (value := point.get(key)) is not None}


def step_of(point: CurvePoint) -> int:
    return int(point["step"] or 0)


def settings(record: RunRecord) -> dict[str, str]:
    """The run's settings as text."""
    flattened = {"label": record.label, "method": record.method, "seed": record.seed, **flat(record.spec)}
    return {key: setting(value)[:LONGEST_PARAMETER] for key, value in flattened.items()}


def seconds_of(record: RunRecord, point: CurvePoint | None = None) -> float:
    """When a point of the curve was reached, in seconds since 1970; without a point, the run's end."""
    if point is None and record.finished_at:
        return datetime.fromisoformat(record.finished_at).timestamp()
    began = datetime.fromisoformat(record.started_at).timestamp() if record.started_at else 0.0
    return began + float((point or {}).get("seconds") or 0.0)


class TensorBoardLogger:
    """Event files under DIR/tensorboard, a folder a run; `tensorboard --logdir DIR/tensorboard` shows them."""

    def __init__(self, folder: StudyFolder, study: str) -> None:
        self.place = folder.path / "tensorboard"

    def run(self, record: RunRecord, curves: Sequence[CurvePoint]) -> None:
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        place = self.place / f"{_file_name(run_name(record))} {record.run_id[:8]}"
        if place.exists():
            return
        final, steps = figures(record), step_of(curves[-1]) if curves else 0
        with SummaryWriter(str(place)) as writer:
            for point in curves:
                for tag, value in scalars(point).items():
                    writer.add_scalar(tag, value, step_of(point), seconds_of(record, point))
            for tag, value in final.items():
                writer.add_scalar(tag, value, steps, seconds_of(record))
            scores = {tag: value for tag, value in final.items() if tag.startswith("final/")}
            for summary in hparams(settings(record), scores):  # type: ignore[no-untyped-call]
                writer._get_file_writer().add_summary(summary)

    def table(self, summary: Summary) -> None:
        from torch.utils.tensorboard import SummaryWriter

        with SummaryWriter(str(self.place / "study")) as writer:
            writer.add_text("table", whole_table(View(summary)))


class MLflowLogger:
    """Runs of one experiment, by MLFLOW_TRACKING_URI, else in DIR/mlflow.db with artifacts beside it."""

    def __init__(self, folder: StudyFolder, study: str) -> None:
        from mlflow.tracking import MlflowClient

        self.folder = folder
        local = "MLFLOW_TRACKING_URI" not in os.environ
        place = folder.path.resolve()
        self.client = MlflowClient(f"sqlite:///{place / 'mlflow.db'}" if local else os.environ["MLFLOW_TRACKING_URI"])
        found = self.client.get_experiment_by_name(study)
        if found is not None:
            self.experiment = found.experiment_id
        else:
            artifacts = (place / "mlflow-artifacts").as_uri() if local else None
            self.experiment = self.client.create_experiment(study, artifact_location=artifacts)

    def run(self, record: RunRecord, curves: Sequence[CurvePoint]) -> None:
        from mlflow.entities import Metric, Param

        if self._known(record.run_id):
            return
        run = self._create(run_name(record), record.run_id, seconds_of(record, {}))
        metrics = [
            Metric(tag, value, int(1000 * seconds_of(record, point)), step_of(point))
            for point in curves
            for tag, value in scalars(point).items()
        ]
        end = int(1000 * seconds_of(record))
        metrics += [Metric(tag, value, end, 0) for tag, value in figures(record).items()]
        for start in range(0, len(metrics), MOST_METRICS):
            self.client.log_batch(run, metrics=metrics[start : start + MOST_METRICS])
        self.client.log_batch(run, params=[Param(key, value) for key, value in settings(record).items()][:100])
        self.client.set_terminated(run, "FINISHED", end)

    def table(self, summary: Summary) -> None:
        run = self._known("study") or self._create("study", "study", datetime.now().timestamp())
        self.client.log_text(run, whole_table(View(summary)), "table.md")
        for name in ("table.csv", "report.html"):
            if (self.folder.path / name).is_file():
                self.client.log_artifact(run, str(self.folder.path / name))
        self.client.set_terminated(run, "FINISHED")

    def _known(self, run_id: str) -> str | None:
        """MLflow's id of a run that was sent whole before; what broke off is sent again."""
        wanted = f"tags.`whichtune.run_id` = '{run_id}' and attributes.status = 'FINISHED'"
        found = self.client.search_runs([self.experiment], wanted, max_results=1)
        return found[0].info.run_id if found else None

    def _create(self, name: str, run_id: str, began: float) -> str:
        tags = {"whichtune.run_id": run_id, "mlflow.runName": name}
        return str(self.client.create_run(self.experiment, int(1000 * began), tags).info.run_id)


def _file_name(text: str) -> str:
    """A label as a folder's name on any system."""
    return re.sub(r"[^\w=., -]+", "_", text).strip(" .")[:80] or "run"


LOGGERS: dict[str, Callable[[StudyFolder, str], StudyLogger]] = {
    "tensorboard": TensorBoardLogger,
    "mlflow": MLflowLogger,
}
