"""An exported folder is served without its study."""

from __future__ import annotations

from pathlib import Path

import pytest

from whichtune.errors import SettingError
from whichtune.handover.export import export_row
from whichtune.handover.serve.exported import is_exported, load_exported
from whichtune.handover.serve.limits import Limits
from whichtune.handover.serve.rows import load, pick
from whichtune.handover.serve.server import serve
from whichtune.records.store import StudyFolder

TEXTS = ["you have won a prize", "see you at lunch", ""]


@pytest.mark.parametrize(("row", "form"), [("head_only", "transformers"), ("tfidf_word", "onnx")])
def test_it_answers_as_the_study_does(saved: StudyFolder, row: str, form: str, tmp_path: Path) -> None:
    export_row(saved, row, tmp_path / "out", form=form, seed=0 if row == "head_only" else None)  # type: ignore[arg-type]
    assert is_exported(tmp_path / "out")
    assert not is_exported(saved.path)
    found = load_exported(tmp_path / "out")
    own = load(pick(saved, row, 0 if row == "head_only" else None, None), remote_code=False)
    for text in TEXTS[:2]:
        ((said, shares),) = found.answers([text])[0]
        ((expected, others),) = own.answers([text])[0]
        assert said == expected
        assert shares == pytest.approx(others, abs=1e-5)
    about = found.metadata(Limits())
    assert (about.rows[0].row, about.rows[0].chosen, about.classes) == (row, "as exported", own.classes)


def test_an_exported_row_has_no_other_beside_it(saved: StudyFolder, tmp_path: Path) -> None:
    export_row(saved, "tfidf_word", tmp_path / "out", form="onnx")
    with pytest.raises(SettingError, match="is one exported row"):
        serve(tmp_path / "out", "head_only", port=0)
