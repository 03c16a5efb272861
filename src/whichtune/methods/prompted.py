"""The model as it is, asked for the label in words: without examples, and with a few."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from whichtune.errors import ModelError
from whichtune.methods.base import Card, Method, register

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from whichtune.models.adaptable import Adaptable
    from whichtune.models.loading import ModelInfo
    from whichtune.study.spec import Settings as RunSettings

FAMILY = "the model as it is, asked in words"


class PromptSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    prompt: str | None = Field(
        None,
        description="what the model is asked: `{text}` stands for the text (`{column}` for each of several text "
        "columns), `{labels}` for the words of all labels, and the label's words follow its end; what stands before "
        "the last empty line ahead of the text is said once; null: `Classify the text as one of: {labels}.`, an empty "
        "line, `Text: {text}` and `Label:`, a line each",
    )
    label_words: dict[str, str] = Field(
        {}, description="the words of each label, such as `{ham: fine, spam: spam}`; a label without has its own name"
    )
    calibrate: bool = Field(
        True,
        description="divide each label's probability by the mean that it has for three texts that say nothing (`N/A`, "
        "`[MASK]` and an empty one), by which labels that the model is fond of lose their lead",
    )
    mean_of_tokens: bool = Field(
        False, description="a label's score is the mean of its tokens' log-probabilities and not their sum"
    )

    @field_validator("label_words", mode="before")
    @classmethod
    def _as_written(cls, value: object) -> object:
        """Labels and words that are numbers are meant as they are written."""
        if not isinstance(value, dict):
            return value
        return {
            str(key) if isinstance(key, int | float) and not isinstance(key, bool) else key: str(words)
            if isinstance(words, int | float) and not isinstance(words, bool)
            else words
            for key, words in value.items()
        }


class ShotSettings(PromptSettings):
    shots: int = Field(
        2,
        ge=1,
        description="training texts of each label that stand before every text with their labels' words, drawn by the "
        "run's seed; they take at most half of the model's positions, and longer ones are cut for it",
    )


SettingsT = TypeVar("SettingsT", bound=PromptSettings)


class Prompted(Method[SettingsT], Generic[SettingsT]):
    """What its rows have: a prompt, and the words of the labels, whose likelihood decides."""

    closed_form = True
    in_words = True
    family = FAMILY
    tasks = ("classification",)

    def attach(self, model: Adaptable, settings: SettingsT, seed: int) -> None:
        from whichtune.models.label_words import LabelWords

        model.requires_grad_(False)
        if isinstance(model.head, LabelWords):
            model.head.content_free.requires_grad_(settings.calibrate)

    def conflict(self, own: SettingsT, shared: RunSettings, info: ModelInfo | None) -> str | None:
        reason = self._of_settings(shared)
        if reason is not None or info is None:
            return reason
        if info.kind == "encoder":
            return (
                f"{self.name} asks what follows a prompt, which '{info.name}', an encoder, does not tell: leave it out"
            )
        return _without_output_layer(str(info.path), info.name, shared.weights)

    def _of_settings(self, shared: RunSettings) -> str | None:
        if shared.head == "native":
            return f"{self.name} has no head of classes: set {self.name}.head=linear"
        if not shared.causal_mask:
            return f"{self.name} reads the model as it was trained: set {self.name}.causal_mask=true"
        if shared.random_streams == "reference":
            return f"random_streams reference draws a head, which {self.name} has none of: leave the method out"
        return None


@lru_cache(maxsize=64)
def _without_output_layer(path: str, name: str, weights: str) -> str | None:
    """Why the model cannot tell what follows a text; None where it can, or where only a run finds out."""
    from pathlib import Path

    from whichtune.models.loading import load_config
    from whichtune.models.weights import load_whole

    try:
        config = load_config(Path(path))
    except ModelError:
        return None
    if weights != "pretrained":
        return None
    try:
        load_whole(Path(path), name, config, False, with_head=True, meta=True)
    except ModelError as error:
        return str(error).rstrip(".")
    return None


@register
class ZeroShot(Prompted[PromptSettings]):
    name = "zero_shot"
    Settings = PromptSettings
    trains = False
    card = Card(
        title="Zero-shot",
        summary="Ask the model as it is for the label in words: the label whose words are likeliest after the prompt.",
        trains="Nothing; calibration keeps one number a label.",
        use_when="You want to know whether training is needed at all: it stands beside the trained rows.",
        cost="Three short prompts for calibration, no training; an answer is a pass over text and prompt, and one over "
        "each label's words but their first token.",
        learning_rate=None,
        stored="One number a label with calibration, nothing without.",
        reference="Brown et al. 2020, GPT-3; Zhao et al. 2021, Calibrate Before Use",
    )


@register
class FewShot(Prompted[ShotSettings]):
    name = "few_shot"
    Settings = ShotSettings
    card = Card(
        title="Few-shot, in-context examples",
        summary="Ask the model for the label in words, with a few training texts and their labels before every text.",
        trains="Nothing; the examples are drawn by the seed, and calibration keeps one number a label.",
        use_when="You have a handful of labelled texts and a decoder that is large enough to learn from its context.",
        cost="No training; the examples are read once and kept as keys and values, and every answer attends to them.",
        learning_rate=None,
        stored="The tokens of the examples, from which their texts can be read, and one number a label.",
        reference="Brown et al. 2020, GPT-3; Zhao et al. 2021, Calibrate Before Use",
    )

    def attach(self, model: Adaptable, settings: ShotSettings, seed: int) -> None:
        from whichtune.models.label_words import LabelWords

        super().attach(model, settings, seed)
        if isinstance(model.head, LabelWords):
            model.head.before.requires_grad_(True)

    def make_room(self, model: Adaptable, shapes: Mapping[str, Sequence[int]]) -> None:
        from whichtune.models.label_words import LabelWords

        assert isinstance(model.head, LabelWords)
        model.head.say_before([0] * shapes.get("head.before", (0,))[0])
