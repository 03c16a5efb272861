"""What settings and lines of a study contradict, told before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichtune.errors import SettingError
from whichtune.registry import did_you_mean
from whichtune.study.spec import EMBEDDED
from whichtune.wording import plural

if TYPE_CHECKING:
    from pydantic import BaseModel

    from whichtune.methods.base import AnyMethod
    from whichtune.models.loading import ModelInfo
    from whichtune.study.spec import RunSpec, Settings, Study
    from whichtune.tasks.base import AnyDataset, AnyTask


def check_consistent(settings: Settings, info: ModelInfo | None, where: str, device: str, reserved: int) -> None:
    """Raise SettingError for settings that contradict the model or the device; the task checks the rest.
    `reserved` positions of the model are not for texts."""
    if settings.early_stopping != "none" and settings.random_streams == "reference":
        raise SettingError(
            f"{where}: early_stopping does not go with random_streams=reference, in which evaluations decide what is "
            "drawn next: use random_streams=named."
        )
    if settings.batching == "bucketed" and settings.random_streams == "reference":
        raise SettingError(
            f"{where}: batching=bucketed does not go with random_streams=reference, whose batches are the published "
            "script's: use batching=shuffled."
        )
    if settings.precision == "fp16" and device != "cuda":
        raise SettingError(f"{where}: precision fp16 needs CUDA: use bf16 or float32 on a CPU.")
    if settings.retention_text is not None and info is not None and info.kind == "encoder":
        raise SettingError(f"{where}: retention_text is for decoders, and '{info.name}' is an encoder: leave it out.")
    length = settings.context_length
    if isinstance(length, int) and info is not None and info.max_length and length + reserved > info.max_length:
        with_them = f" with {reserved} virtual tokens" if reserved else ""
        raise SettingError(
            f"{where}: context_length {length}{with_them} is more than the {info.max_length} tokens of "
            f"'{info.name}': set fewer."
        )


def check_base_precision(method: AnyMethod, own: BaseModel, settings: Settings, where: str, device: str) -> None:
    """Raise SettingError for weights in fewer bits that the method would change, or that nothing here can compute."""
    wanted = settings.base_precision
    if wanted == "float32":
        return
    from whichtune.models.low_precision import missing

    if not method.keeps_weights(own):
        raise SettingError(
            f"{where}: {method.name} changes weights that base_precision {wanted} keeps in fewer bits, or has no "
            f"layers for such: use lora or another adapter that has, or set {method.name}.base_precision=float32."
        )
    if (why := missing(wanted)) is not None:
        raise SettingError(f"{where}: {why}.")
    if device == "mps":
        raise SettingError(f"{where}: base_precision {wanted} needs a CPU or CUDA: set base_precision=float32.")


def unfit(method: AnyMethod, own: BaseModel, info: ModelInfo | None) -> str | None:
    """Why the method cannot be put into the model, in words that end a sentence, told by a copy without weights; None
    where it can, where a run alone can tell, and where the method has asked already."""
    from whichtune.methods.peft_method import PeftMethod
    from whichtune.methods.rehearsal import rehearsed

    if info is None or info.name == EMBEDDED or method.in_words or isinstance(method, PeftMethod):
        return None
    if method.head_alone or method.closed_form:  # nothing of theirs is in the model
        return rehearsed("head_only", "{}", str(info.path), own_words_alone=True)
    return rehearsed(method.name, own.model_dump_json(), str(info.path), own_words_alone=True)


def of_sample(file: str | None) -> dict[str, str]:
    """The fingerprint of the text on which retention is told. Raises DataError where it cannot be read."""
    if file is None:
        return {}
    import hashlib

    from whichtune.models.retention import read_sample

    return {"retention": hashlib.sha256(read_sample(file).encode()).hexdigest()}


def check_splits(study: Study) -> None:
    """Raise SettingError for what does not go with a split for each seed."""
    data = study.data
    if not data.varies:
        return
    which = "data.resplit" if data.resplit else "data.folds"
    for given, name, why in (
        (study.tuning, "a search for settings (tuning)", "it would see texts that other splits test on"),
        (study.decide, "decide", "seeds are splits here, which are named beforehand"),
        (study.train_sizes, "train_sizes", "its curves are of one split"),
    ):
        if given:
            raise SettingError(f"{which} does not go with {name}, since {why}: leave one of them out.")
    if data.folds is not None:
        draws: dict[int, set[int]] = {}
        for seed in study.seeds:
            draws.setdefault(seed // data.folds, set()).add(seed % data.folds)
        if any(len(folds) < data.folds for folds in draws.values()):
            raise SettingError(
                f"data.folds is {data.folds}, so that each fold is tested on once with seeds 0-{data.folds - 1}, and "
                f"again with 0-{2 * data.folds - 1}: name those seeds, or set data.fold for one fold alone."
            )


def check_data(spec: RunSpec, task: AnyTask, dataset: AnyDataset, where: str) -> None:
    """Raise SettingError for a run that these data cannot make."""
    task.check(spec, dataset, where)
    texts = len(task.counted(spec, dataset).splits["train"])
    if spec.drop_last and spec.batch_size > texts:
        raise SettingError(
            f"{where}: drop_last leaves out every batch that is not full, and {plural(texts, 'training text')} make no "
            f"batch of {spec.batch_size:,}: set a smaller batch_size, or drop_last=false."
        )


def one_ignored_label(study: Study, specs: list[RunSpec]) -> str | None:
    """The label whose texts all runs leave out, the baselines too. Raises SettingError where lines differ in it: they
    would be judged on different texts."""
    found = {spec.ignored_label: spec for spec in specs}
    if len(found) > 1:
        (a, one), (b, other) = sorted(found.items(), key=lambda item: str(item[0]))[:2]
        raise SettingError(
            f"'{one.label}' has ignore_index {a or 'null'} and '{other.label}' {b or 'null'}, so they would be judged "
            "on different texts: set it once, for all lines, under settings."
        )
    if found:
        return next(iter(found))
    given = study.settings.get("ignore_index")  # a study of baselines alone
    return None if given is None else str(given)


def refuse_twins(specs: list[RunSpec]) -> None:
    labels: dict[str, str] = {}
    for spec in specs:
        twin = labels.setdefault(spec.run_id, spec.label)
        if twin != spec.label:
            raise SettingError(f"'{twin}' and '{spec.label}' have the same settings: change or remove one.")


def check_pairs(study: Study, specs: list[RunSpec]) -> None:
    labels = {spec.label for spec in specs}
    named = [label for pair in study.pairs for label in (pair.a, pair.b)]
    for label in [*named, *([study.baseline] if study.baseline else [])]:
        if label not in labels:
            raise SettingError(f"The study compares '{label}', which is no line of it: {did_you_mean(label, labels)}")
