"""Train the head, the final norm and the last n transformer blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from whichtune.errors import ModelError
from whichtune.methods.base import CHOSEN, Card, Method, NoSettings, register, train_only

if TYPE_CHECKING:
    from whichtune.models.adaptable import Adaptable

REFERENCE = (
    "Howard and Ruder 2018, ULMFiT (training the upper layers); Raschka 2024, Build a Large Language Model, ch. 6"
)


class LastBlocksSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    blocks: int = Field(3, ge=1, description="how many of the last blocks train")


def train_last_blocks(model: Adaptable, count: int) -> None:
    """Let the last `count` blocks, what follows them and the head train; the rest is frozen."""
    from whichtune.models.partition import blocks_of, final_modules

    blocks = blocks_of(model.backbone)
    if count > len(blocks):
        raise ModelError(f"The model has {len(blocks)} blocks: {count} cannot train; set fewer, or use full.")
    train_only(model, [*blocks[-count:], *final_modules(model.backbone), model.head])


@register
class LastBlock(Method[NoSettings]):
    name = "last_block"
    family = "parts of the model"
    card = Card(
        title="Last block",
        summary="Train the head, the final norm and the last transformer block.",
        trains="The last block, the norm after it and the head.",
        use_when="You want most of full fine-tuning's gain at a fraction of its cost.",
        cost="All blocks below the last are computed once for each text and reused in every epoch.",
        learning_rate=5e-4,
        learning_rate_of_texts=2e-4,
        reference=REFERENCE,
    )

    def attach(self, model: Adaptable, settings: NoSettings, seed: int) -> None:
        train_last_blocks(model, 1)


@register
class LastTwoBlocks(Method[NoSettings]):
    name = "last_two_blocks"
    family = "parts of the model"
    card = Card(
        title="Last two blocks",
        summary="Train the head, the final norm and the last two transformer blocks.",
        trains="The last two blocks, the norm after them and the head.",
        use_when="One block is not enough and full fine-tuning costs too much.",
        cost="All blocks below the last two are computed once for each text and reused in every epoch.",
        learning_rate=3e-4,
        learning_rate_of_texts=2e-4,
        rate_note=CHOSEN + "82.5 %, and 78.0 at 2e-4; on SMS 98.7 % at any rate from 3e-5 to 1e-3.",
        reference=REFERENCE,
    )

    def attach(self, model: Adaptable, settings: NoSettings, seed: int) -> None:
        train_last_blocks(model, 2)


@register
class LastBlocks(Method[LastBlocksSettings]):
    name = "last_blocks"
    Settings = LastBlocksSettings
    family = "parts of the model"
    card = Card(
        title="Last n blocks",
        summary="Train the head, the final norm and the last n transformer blocks.",
        trains="The last `blocks` blocks, the norm after them and the head.",
        use_when="You look for the depth at which training more stops helping.",
        cost="Between the last block and full fine-tuning, by the number of blocks.",
        learning_rate=3e-4,
        learning_rate_of_texts=2e-4,
        rate_note="That of the last two blocks.",
        reference=REFERENCE,
    )

    def attach(self, model: Adaptable, settings: LastBlocksSettings, seed: int) -> None:
        train_last_blocks(model, settings.blocks)
