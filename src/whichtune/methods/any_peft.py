"""Any adapter of the installed PEFT by its own name and settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from whichtune.errors import SettingError
from whichtune.methods.base import Card, register
from whichtune.methods.peft_method import NOT_MEASURED, PeftMethod, chosen_layers
from whichtune.registry import did_you_mean
from whichtune.study.numbers import number_of
from whichtune.study.plain import Plain

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from whichtune.models.loading import ModelInfo
    from whichtune.study.spec import Settings as RunSettings

TARGETS = "target_modules"


class AnyPeftSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    peft_type: str = Field("LORA", description="PEFT's name of the adapter: `IA3`, `VBLORA`, `DELORA`, ...")
    peft_config: dict[str, Plain] = Field(
        {},
        description="fields of PEFT's configuration of that type; written beside the method, or here where whichtune "
        "has a setting of that name; without `target_modules` all linear layers of the blocks are adapted",
    )

    @field_validator("peft_config", mode="before")
    @classmethod
    def _numbers(cls, value: object) -> object:
        """YAML takes 1e-3 for text, because it has no point."""
        if not isinstance(value, dict):
            return value
        return {name: number_of(each) if isinstance(each, str) else each for name, each in value.items()}


@register
class AnyPeft(PeftMethod[AnyPeftSettings]):
    name = "peft"
    Settings = AnyPeftSettings
    open_settings = "peft_config"
    card = Card(
        title="Any adapter of PEFT",
        summary="Put an adapter of any type that the installed PEFT has into the blocks, by PEFT's own settings.",
        trains="What PEFT trains of that type, and a classifier's new head.",
        use_when="You want a type that has no name of its own here, or all settings of one that has.",
        cost="A full forward and backward pass; the rest is the type's own.",
        learning_rate=1e-3,
        rate_note=NOT_MEASURED + "no rate suits every type, so set one, or search it.",
        reference="Mangrulkar et al. 2022, PEFT: State-of-the-art Parameter-Efficient Fine-Tuning methods",
    )

    def type_of(self, settings: AnyPeftSettings) -> str:
        return settings.peft_type

    def fields(self, settings: AnyPeftSettings) -> dict[str, Any]:
        own = {name: value for name, value in settings.peft_config.items() if name != TARGETS}
        return {**own, "total_step": LONG} if settings.peft_type == "ADALORA" else own

    def layers(self, backbone: PreTrainedModel, settings: AnyPeftSettings) -> dict[str, Any]:
        from whichtune.models.adapters import fields_of
        from whichtune.models.targets import norms_of, scaled_layers
        from whichtune.models.unfuse import unfuse

        given = settings.peft_config.get(TARGETS)
        if TARGETS not in fields_of(settings.peft_type):
            return {}
        if given is None or given == "all-linear":
            if settings.peft_type == "LN_TUNING":
                return {TARGETS: list(norms_of(backbone))}
            if settings.peft_type == "IA3" and "feedforward_modules" not in settings.peft_config:
                unfuse(backbone)
                keys, last = scaled_layers(backbone)
                return {TARGETS: [*keys, *last], "feedforward_modules": last}
            layers = chosen_layers(backbone, "all_linear", TARGETS)
            if settings.peft_config.get("layers_to_transform") is not None:
                layers = sorted({name.rsplit(".", 1)[-1] for name in layers})  # PEFT minds it for ends of names alone
            return {TARGETS: layers}
        return {TARGETS: _named(backbone, given)}

    def conflict(self, own: AnyPeftSettings, shared: RunSettings, info: ModelInfo | None) -> str | None:
        from whichtune.models.adapters import check_fields

        try:
            check_fields(own.peft_type, own.peft_config)
        except SettingError as error:
            return str(error).rstrip(".")
        return super().conflict(own, shared, info)


LONG = 10**9  # steps that are planned, until training begins and says how many


def _named(backbone: PreTrainedModel, given: object) -> object:
    """Layers as PEFT is to find them: a pattern as it is; of names, each must end some layer's name."""
    from whichtune.models.unfuse import PARTS, unfuse

    if not isinstance(given, list):
        return given
    if set(given) & set(PARTS):
        unfuse(backbone)
    names = [name for name, _ in backbone.named_modules()]
    for wanted in given:
        if not any(name == wanted or name.endswith(f".{wanted}") for name in names):
            last = {name.rsplit(".", 1)[-1] for name in names} - {""}
            raise SettingError(f"{TARGETS}: the model has no layer '{wanted}': {did_you_mean(str(wanted), last)}")
    return given
