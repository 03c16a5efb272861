"""Models in folders, as users save them."""

from __future__ import annotations

import shutil
from pathlib import Path


def save_with_embedded_tokenizer(model: object, folder: Path) -> Path:
    from whichtune.embedded import model_path

    model.save_pretrained(folder)  # type: ignore[attr-defined]
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(model_path() / name, folder / name)
    return folder
