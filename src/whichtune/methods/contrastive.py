"""The model tuned on pairs of texts, by whether they have the same label, and a head fitted on what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from whichtune.methods.base import Card, Method, register

if TYPE_CHECKING:
    import numpy as np

    from whichtune.methods.fitting import Features
    from whichtune.models.adaptable import Adaptable
    from whichtune.models.loading import ModelInfo
    from whichtune.study.spec import Settings as RunSettings

USUAL, MOST = 8, 4096  # pairs of each kind that begin with a text, and pairs in all that this is held to


class ContrastiveSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    pairs_per_text: int | None = Field(
        None,
        ge=1,
        description="pairs that begin with each training text, of either kind: so many with a text of the same label, "
        "and as many with one of another; a pass (`epochs`) goes over all of them, and `batch_size` counts pairs; "
        f"`null`: {USUAL}, or fewer, so that there are no more than {MOST:,} pairs where one of each kind allows it",
    )

    def of_each_kind(self, texts: int) -> int:
        """How many pairs of either kind begin with each of so many texts."""
        return self.pairs_per_text or max(1, min(USUAL, MOST // (2 * texts)))


@register
class Contrastive(Method[ContrastiveSettings]):
    name = "contrastive"
    Settings = ContrastiveSettings
    deep = True
    in_pairs = True
    reads_validation = True
    weighs_texts = True
    family = "the whole model"
    tasks = ("classification",)
    card = Card(
        title="Contrastive tuning",
        summary="Draw texts of one label together and texts of two labels apart, then fit a head on the features.",
        trains="Everything, by the cosine similarity of pairs; the head is a logistic regression chosen on validation.",
        use_when="You have 8 to 64 texts of each label and an encoder, best one that was trained on sentences.",
        cost="Full fine-tuning's over pairs: a step reads two texts for each, and there are many pairs for each text.",
        learning_rate=1e-4,
        rate_note="On 200 validation texts of SMS with MiniLM in one pass over pairs of 8 texts of each label (twice) "
        "and of 16: 97.5, 98.5 and 99.0 %; 98.0, 99.5 and 95.0 at 2e-4, 95.0, 96.5 and 99.0 at 5e-5, 88.0, 87.0 and "
        "93.5 at 2e-5, that of the papers, which larger encoders may want.",
        stored="Every parameter.",
        reference="Tunstall et al. 2022, Efficient Few-Shot Learning Without Prompts (SetFit); Reimers and Gurevych "
        "2019, Sentence-BERT",
    )

    def attach(self, model: Adaptable, settings: ContrastiveSettings, seed: int) -> None:
        model.requires_grad_(True)

    def fit(self, model: Adaptable, data: Features, settings: ContrastiveSettings, seed: int) -> list[str]:
        from whichtune.methods.fitting import logistic

        return logistic(model, data)

    def conflict(self, own: ContrastiveSettings, shared: RunSettings, info: ModelInfo | None) -> str | None:
        if shared.early_stopping not in ("none", "loss"):
            return (
                "early_stopping can watch the loss of pairs alone, since the head is fitted at the end: set "
                f"{self.name}.early_stopping=loss, or none"
            )
        if shared.head == "native":
            return f"{self.name} fits a linear head, and head is native: set {self.name}.head=linear"
        if shared.random_streams == "reference":
            return "random_streams reference repeats a script that trains on texts: use random_streams=named"
        return None


def drawn_pairs(labels: np.ndarray, of_each: int, seed: int) -> np.ndarray:
    """Rows of pairs and whether they have one label: (n, 3) int64. `labels` (N,) are the texts'.

    Each text begins `of_each` pairs with others of its label and as many with texts of other labels, in the order of
    the texts. Partners come in a drawn order, the same again once all were there; a text that is its label's only one
    has no partner of its own.
    """
    import numpy as np
    import torch

    from whichtune.seeding import PAIRS, generator

    draw = generator(seed, PAIRS)
    found: list[tuple[int, int, int]] = []
    for row, label in enumerate(labels):
        same = np.flatnonzero(labels == label)
        for same_label, partners in ((1, same[same != row]), (0, np.flatnonzero(labels != label))):
            if len(partners):
                order = partners[torch.randperm(len(partners), generator=draw).numpy()]
                found += [(row, int(order[number % len(order)]), same_label) for number in range(of_each)]
    return np.array(found, dtype=np.int64).reshape(-1, 3)
