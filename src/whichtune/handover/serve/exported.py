"""An exported folder as what is served: without its study, by the libraries that its own card names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from whichtune.errors import SettingError
from whichtune.handover.loaded import loaded
from whichtune.handover.serve.rows import Served
from whichtune.handover.serve.schema import Metadata, RowInfo
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
        import pandas as pd
        from scipy.special import softmax

        found = scores(texts)
        shares = found if told.kind == "texts" else softmax(found, axis=1)
        places = shares.argmax(axis=1) if told.threshold is None else (shares[:, 1] >= told.threshold).astype("int64")
        table = pd.DataFrame({"text": texts, "prediction": [told.labels[place] for place in places]})
        for place, label in enumerate(told.labels):
            table[f"probability of {label}"] = shares[:, place]
        return table

    def about(limits: Limits) -> Metadata:
        return _about(told, folder, limits)

    return Served([answer], [told.row], ["as exported"], told.labels, told.labels, about)


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
        task="classification",
        metric=None,
        classes=told.labels,
        rows=[row],
        evidence=None,
        limits=limits,
        versions={"whichtune": VERSION, **package_versions()},
    )
