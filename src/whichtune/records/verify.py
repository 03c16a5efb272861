"""Whether a stored run is what was written: every reader asks before it believes.

A run's folder has a file of checksums; runs of release 0.1 have none. What can be told without it is told of every run:
that its record is one, that its id follows from its settings, and that its figures follow from its predictions.
Loads neither torch nor pandas.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from whichtune.errors import StoreError
from whichtune.metrics import METRICS, metrics_of, possible_metrics
from whichtune.records.record import (
    SPLITS,
    AnyMetrics,
    LabelSetMetrics,
    Metrics,
    NumberMetrics,
    RunRecord,
    RunStatus,
    TagMetrics,
)
from whichtune.study.roles import SCHEMA_VERSION
from whichtune.study.spec import RunSpec, sha256_file

CHECKSUMS = "checksums.json"
RECORD, PREDICTIONS = "run.json", "predictions.parquet"
WEIGHTS = ("weights.safetensors", "baseline.safetensors", "vocabulary.json")
ASIDE = "trial.pt"  # the state of a trial that waits to go on
LET_GO = (*WEIGHTS, ASIDE)  # what may be missing
TOLERANCE = 1e-6
TAG_LISTS = ("target", "prediction")  # of tagged words: the numbers of tags
LABEL_LISTS = ("target", "prediction", "logits")  # of sets of labels: places of labels, and a number for each
# What a study says of a run that another study may have made: no part of what was computed.
SAID_BY_STUDY = ("learning_rate_source", "tuned", "goes_on_from")

Columns = Mapping[str, np.ndarray]


def spec_of(record: RunRecord) -> RunSpec:
    """The spec that a record tells of. Raises ValidationError where it tells of none."""
    fields = {"label": record.label, "role": record.role, "fingerprints": record.fingerprints}
    return RunSpec.model_validate({**record.spec, **fields})


def write_checksums(folder: Path) -> None:
    """Note what a run's files are, once all of them are written."""
    found = {file.name: sha256_file(file) for file in sorted(folder.iterdir()) if file.name != CHECKSUMS}
    (folder / CHECKSUMS).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def run_fault(folder: Path, weights: bool = False) -> str | None:
    """Why a run's folder is not to be believed, as the end of a sentence; None where nothing speaks against it.

    Saved weights are looked at where `weights` are wanted: they may be large, and were perhaps let go since.
    """
    try:
        record = strict_record(folder / RECORD)
        return (
            _changed_file(folder, weights)
            or _other_identity(record, folder.name)
            or (_other_figures(record, folder / PREDICTIONS) if record.status is RunStatus.COMPLETED else None)
        )
    except StoreError as error:
        return str(error)


def strict_record(file: Path) -> RunRecord:
    """A record of this version, every value of its type and finite. Raises StoreError, whose text is the end of a
    sentence."""
    try:
        if not file.is_file():
            raise OSError  # a pipe would be waited for without end
        text = file.read_text(encoding="utf-8")
        plain = json.loads(text, parse_constant=_refuse_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"its {file.name} cannot be read") from error
    version = plain.get("schema_version") if isinstance(plain, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise StoreError(f"a newer whichtune wrote it (schema version {version}, here {SCHEMA_VERSION})")
    try:
        record = RunRecord.model_validate_json(text, strict=True)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise StoreError(f"its {file.name} is no record of a run ('{place}' is wrong)") from error
    if record.schema_version != SCHEMA_VERSION:
        raise StoreError(f"its {file.name} has schema version {record.schema_version}, here it is {SCHEMA_VERSION}")
    return record


def same_run(stored: RunRecord, told: RunRecord) -> bool:
    """Whether a summary tells of the record that is stored, whatever label it has there.

    A study adds the figures that it asks for to runs that have not recorded them.
    """
    added = {name for name, metric in METRICS.items() if metric.on_request}

    def plain(record: RunRecord) -> dict[str, object]:
        spec = {key: value for key, value in record.spec.items() if key not in SAID_BY_STUDY}
        found = {
            split: None if figures is None else figures.model_dump(mode="json", exclude=added)
            for split in SPLITS
            for figures in (record.metrics.of(split),)
        }
        rest = record.model_copy(update={"label": "", "spec": spec}).model_dump(mode="json", exclude={"metrics"})
        return {**rest, "metrics": found}

    return plain(stored) == plain(told)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no finite number")


# -- files -------------------------------------------------------------------------------------------


def _changed_file(folder: Path, weights: bool) -> str | None:
    """The first file that is not as it was written; runs of release 0.1 have no checksums."""
    noted = _checksums(folder / CHECKSUMS)
    if noted is None:
        return None
    for name, checksum in noted.items():
        file = folder / name
        if name in LET_GO and not (weights and file.is_file()):
            continue
        if not file.is_file():
            return f"its {name} is missing"
        if sha256_file(file) != checksum:
            return f"its {name} was changed after it was written"
    unknown = [name for name in (RECORD, PREDICTIONS, "curves.jsonl", *LET_GO) if (folder / name).is_file()]
    odd = next((name for name in unknown if name not in noted), None)
    return None if odd is None else f"its {odd} is not in its {CHECKSUMS}"


def as_written(file: Path) -> bool:
    """Whether a file of a run is there and has its checksum."""
    try:
        noted = _checksums(file.with_name(CHECKSUMS)) or {}
        return file.is_file() and noted.get(file.name) == sha256_file(file)
    except (StoreError, OSError):
        return False


def _checksums(file: Path) -> dict[str, str] | None:
    """Checksums by the name of the file, or None where there are none. Raises StoreError where they are broken."""
    if not file.exists():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"its {CHECKSUMS} cannot be read") from error
    if not isinstance(found, dict) or not all(_is_plain_name(name) for name in found):
        raise StoreError(f"its {CHECKSUMS} holds no checksums")
    return {name: str(checksum) for name, checksum in found.items()}


def _is_plain_name(name: str) -> bool:
    return Path(name).name == name and "\0" not in name


# -- identity ----------------------------------------------------------------------------------------


def _other_identity(record: RunRecord, folder: str) -> str | None:
    """Why the record is not that of the run whose id the folder has."""
    if record.run_id != folder:
        return f"its record is that of another run ({record.run_id})"
    try:
        spec = spec_of(record)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        return f"its settings are none of a run ('{place}' is wrong)"
    if (spec.method, spec.seed) != (record.method, record.seed):
        return "its record names another method or seed than its settings do"
    return None if spec.run_id == folder else "its settings are not those that its id stands for"


# -- figures -----------------------------------------------------------------------------------------


def _other_figures(record: RunRecord, file: Path) -> str | None:
    """Why the recorded figures do not follow from the predictions; None where they do, and where there are none."""
    recorded = {split: figures for split in SPLITS if (figures := record.metrics.of(split)) is not None}
    if not recorded:
        return None
    columns = read_columns(file, _lists_of(list(recorded.values())))
    if "split" not in columns:
        return f"its {PREDICTIONS} has no column of splits"
    for split, metrics in recorded.items():
        rows = columns["split"] == split
        part = {name: values[rows] for name, values in columns.items()}
        follow = _classes_follow if isinstance(metrics, Metrics) else _texts_follow
        if isinstance(metrics, NumberMetrics):
            follow = _numbers_follow
        if isinstance(metrics, LabelSetMetrics):
            follow = _label_sets_follow
        if isinstance(metrics, TagMetrics):
            follow = _tags_follow
        if not follow(record, metrics, part):
            return f"its {split} figures do not follow from its {PREDICTIONS}"
    return None


def _lists_of(recorded: Sequence[AnyMetrics]) -> tuple[str, ...]:
    """The columns of lists that such figures follow from."""
    if any(isinstance(metrics, LabelSetMetrics) for metrics in recorded):
        return LABEL_LISTS
    return TAG_LISTS if any(isinstance(metrics, TagMetrics) for metrics in recorded) else ()


def read_columns(file: Path, lists: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """The splits, the columns of numbers and these of lists of a table of predictions.

    Raises StoreError, whose text is the end of a sentence.
    """
    import pyarrow.parquet
    from pyarrow import ArrowException

    if not file.is_file():
        raise StoreError(f"its {file.name} is missing")
    try:
        table = pyarrow.parquet.ParquetFile(file)
        numbers = ("int", "double", "float", "bool")
        fields = [(field.name, str(field.type)) for field in table.schema_arrow]
        wanted = [name for name, kind in fields if name == "split" or kind.startswith(numbers)]
        listed = [name for name, kind in fields if name in lists and kind.startswith("list")]
        read = table.read(columns=[*wanted, *listed])
        found = {name: np.array(read[name].to_pylist()) for name in wanted}
        for name in listed:
            found[name] = np.empty(len(read), dtype=object)
            found[name][:] = read[name].to_pylist()
        return found
    except (OSError, ValueError, ArrowException) as error:  # some of pyarrow's own errors are ValueErrors
        raise StoreError(f"its {file.name} cannot be read") from error


def _classes_follow(record: RunRecord, metrics: AnyMetrics, part: Columns) -> bool:
    assert isinstance(metrics, Metrics)
    if record.spec.get("ignore_index") is not None or not {"label", "prediction"} <= set(part):
        return True  # rows without a loss count in some figures only; a task of its own has its own columns
    labels, answers = part["label"], part["prediction"]
    if len(labels) != metrics.n or not all(_are_classes(values, metrics) for values in (labels, answers)):
        return False
    if not _near(metrics.accuracy, float(np.mean(labels == answers))) or not _same_confusion(metrics, labels, answers):
        return False
    return metrics.loss is None or "loss" not in part or _near(metrics.loss, _mean(part["loss"]))


def _are_classes(values: np.ndarray, metrics: Metrics) -> bool:
    most = len(metrics.confusion_matrix) or math.inf
    return len(values) > 0 and values.dtype.kind == "i" and int(values.min()) >= 0 and int(values.max()) < most


def _same_confusion(metrics: Metrics, labels: np.ndarray, answers: np.ndarray) -> bool:
    from whichtune.metrics.confusion import confusion

    recorded = metrics.confusion_matrix
    return not recorded or recorded == confusion(labels, answers, len(recorded)).tolist()


def _numbers_follow(record: RunRecord, metrics: AnyMetrics, part: Columns) -> bool:
    if len(part["split"]) != metrics.n or not {"prediction", "target"} <= set(part):
        return False
    predictions, targets = (part[name].astype(np.float64) for name in ("prediction", "target"))
    for metric in possible_metrics("numbers"):
        value = metrics.value(metric.name)
        if value is None and metric.on_request:  # of an earlier version
            continue
        if value is None or metric.of_numbers is None:
            return False
        if not _near(value, float(metric.of_numbers(predictions, targets).mean())):
            return False
    return metrics.loss is None or "loss" not in part or _near(metrics.loss, _mean(part["loss"]))


def _label_sets_follow(record: RunRecord, metrics: AnyMetrics, part: Columns) -> bool:
    """Whether labels follow from probabilities and thresholds, and figures from labels."""
    from whichtune.metrics.labels import as_indicators, probabilities_of

    assert isinstance(metrics, LabelSetMetrics)
    if len(part["split"]) != metrics.n or not set(LABEL_LISTS) <= set(part):
        return False
    try:
        probabilities = probabilities_of(np.array(part["logits"].tolist(), dtype=np.float32))
        targets, told = (as_indicators(part[name].tolist(), len(metrics.thresholds)) for name in LABEL_LISTS[:2])
        chosen = probabilities >= np.array(metrics.thresholds)
        if chosen.shape != told.shape or not np.array_equal(chosen, told):
            return False
    except (ValueError, TypeError, IndexError):  # lists of other lengths, gaps, places that there are not
        return False
    for metric in metrics_of("labels"):
        value = metrics.value(metric.name)
        if metric.of_labels is None or value is None:
            return False
        if not _near(value, float(metric.of_labels(chosen, probabilities, targets).mean())):
            return False
    return metrics.loss is None or "loss" not in part or _near(metrics.loss, _mean(part["loss"]))


def _tags_follow(record: RunRecord, metrics: AnyMetrics, part: Columns) -> bool:
    from whichtune.metrics.entities import counted

    if len(part["split"]) != metrics.n or not set(TAG_LISTS) <= set(part):
        return False
    try:
        counts = counted(part["prediction"].tolist(), part["target"].tolist())
    except (ValueError, TypeError, IndexError):  # lists of other lengths, gaps
        return False
    for metric in metrics_of("tags"):
        value = metrics.value(metric.name)
        if value is None or metric.of_tags is None or not _near(value, float(metric.of_tags(*counts).mean())):
            return False
    if metrics.loss is None or not {"loss", "words"} <= set(part):
        return True
    return _near(metrics.loss, _mean(part["loss"]) * len(part["loss"]) / max(1, int(part["words"].sum())))


def _texts_follow(record: RunRecord, metrics: AnyMetrics, part: Columns) -> bool:
    assert not isinstance(metrics, Metrics)
    if len(part["split"]) != metrics.n:
        return False
    for metric in possible_metrics("texts"):
        value = metrics.value(metric.name)
        if value is not None and metric.name in part and not _near(value, _mean(part[metric.name])):
            return False
    if metrics.loss is None or not {"loss", "tokens"} <= set(part):
        return True
    total = _mean(part["loss"]) * len(part["loss"])
    return _near(metrics.loss, total / max(1, int(part["tokens"].sum())))


def _mean(values: np.ndarray) -> float:
    try:
        return float(values.astype(np.float64).mean())
    except (TypeError, ValueError):
        return math.nan


def _near(recorded: float, computed: float) -> bool:
    return math.isclose(recorded, computed, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
