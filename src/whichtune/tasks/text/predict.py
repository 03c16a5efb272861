"""What a saved run writes for new texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from whichtune.data.pair_encoding import Room
from whichtune.models.saving import load_trained_state
from whichtune.study.spec import RunSpec
from whichtune.tasks.text.model import build_language_model, decode, encoder_of, write_texts, writing_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def loaded_writer(spec: RunSpec, room: Room, weights: Path) -> Callable[[list[str]], list[str]]:
    """What writes a text for each text: a run whose record says that the context was shared out as `room`, loaded once
    for however many texts."""
    model, tokenizer = build_language_model(spec)
    load_trained_state(model, weights)
    model.to(spec.device)
    encoder = encoder_of(spec, tokenizer, room.chat)

    def write(texts: list[str]) -> list[str]:
        prompts = [encoder.prompt(encoder.cut(ids, room.source), room.prompt) for ids in encoder.sources(texts)]
        return decode(tokenizer, write_texts(spec, model, prompts, writing_of(spec, room, tokenizer)))

    return write
