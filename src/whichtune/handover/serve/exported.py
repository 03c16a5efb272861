"""An exported folder as what is served: without its study, by the libraries that its own card names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from whichtune.errors import SettingError
from whichtune.handover.loaded import loaded
from whichtune.handover.outcomes import nearest_classes, said_of, shares_of
from whichtune.handover.serve.rows import Served
from whichtune.handover.serve.schema import Metadata, RowInfo
from whichtune.handover.tagged import by_text
from whichtune.handover.told import FILE, SelfTest, read_told
from whichtune.measure.environment import package_versions
from whichtune.version import VERSION

if TYPE_CHECKING:
    import pandas as pd

    from whichtune.handover.serve.limits import Limits


def is_exported(folder: Path) -> bool:
    """Whether a folder is one that `whichtune export` wrote, and no study's."""
    return (folder / FILE).is_file() and not (folder / "summary.json").is_file()


def load_exported(folder: Path) -> Served:
    """The row of an exported folder. Raises ExportError where it cannot be loaded, SettingError for one that writes."""
    told = read_told(folder)
    if told.kind == "words":
        raise SettingError(
            f"'{folder}' writes texts, which are served from its study alone: whichtune serve STUDY ROW."
        )
    scores = loaded(folder, told)

    def answer(texts: list[str]) -> pd.DataFrame:
        import numpy as np
        import pandas as pd

        found = scores(texts)
        if told.answers == "tags":
            from whichtune.tasks.tagging.predict import told as table_of

            return table_of(texts, by_text(found, texts), told.labels)
        if told.answers == "numbers":
            if told.ordered:
                numbers = np.clip(found[:, 0], 0, len(told.ordered) - 1)
                classes = nearest_classes(told.ordered, numbers)
                return pd.DataFrame({"text": texts, "prediction": classes, "number": numbers})
            return pd.DataFrame({"text": texts, "prediction": found[:, 0]})
        shares = found if told.kind == "texts" else shares_of(told.answers, found)
        said = said_of(told.answers, told.labels, told.thresholds, shares, told.threshold)
        table = pd.DataFrame({"text": texts, "prediction": said})
        for place, label in enumerate(told.labels):
            table[f"probability of {label}"] = shares[:, place]
        return table

    def about(limits: Limits) -> Metadata:
        return _about(told, folder, limits)

    names = _classes(told)
    return Served(
        [answer],
        [told.row],
        ["as exported"],
        names,
        names,
        about,
        text_column=",".join(f'"{name}"' if "," in name else name for name in told.fields) or None,
        kind=told.answers,
        fields=tuple(told.fields),
        thresholds=(tuple(told.thresholds),),
    )


def _classes(told: SelfTest) -> list[str]:
    return [] if told.answers == "numbers" else told.labels


def _about(told: SelfTest, folder: Path, limits: Limits) -> Metadata:
    """What the folder says of itself; its evidence stands in its card."""
    row = RowInfo(
        row=told.row,
        run_id=told.run_id,
        seed=told.seed,
        method=told.row,
        model=None if told.kind == "texts" else folder.resolve().name,
        chosen="as exported",
        test_texts=None,
        test={},
        said={},
        made_with={"whichtune": told.whichtune},
    )
    return Metadata(
        study=folder.resolve().name,
        task={"classes": "classification", "numbers": "regression", "labels": "multilabel", "tags": "tagging"}[
            told.answers
        ],
        metric=None,
        answers=told.answers,
        fields=told.fields,
        classes=_classes(told),
        rows=[row],
        evidence=None,
        limits=limits,
        versions={"whichtune": VERSION, **package_versions()},
    )
