"""What goes with the native head of a family, told before a study begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichtune.errors import SettingError

if TYPE_CHECKING:
    from whichtune.models.loading import ModelInfo
    from whichtune.study.spec import RunSpec, Settings


def check_native_reading(settings: Settings, info: ModelInfo, position: str, where: str) -> None:
    """Raise SettingError where the family has no class for sequences, or reads another token than `position`, or is
    drawn in another order."""
    from whichtune.models.native import has_native_head

    if not has_native_head(info.model_type):
        raise SettingError(
            f"{where}: head native: transformers has no class for sequences of {info.model_type}: leave head at linear."
        )
    if settings.token_position not in (None, position):
        raise SettingError(
            f"{where}: head native reads the token {position} of this model, not {settings.token_position}: leave "
            "token_position out, or head at linear."
        )
    if settings.random_streams == "reference":
        raise SettingError(f"{where}: random_streams reference draws a linear head: leave head at linear.")


def check_native_head(spec: RunSpec, where: str) -> None:
    """Raise SettingError for a method that needs a linear head."""
    from whichtune.methods import METHODS
    from whichtune.study.roles import Role

    if spec.head != "native" or spec.role is Role.BASELINE:
        return
    if METHODS[spec.method].closed_form:
        raise SettingError(
            f"{where}: {spec.method} solves for a linear head, and head is native: set {spec.method}.head=linear, or "
            "leave the method out."
        )
    if spec.method_settings.get("lora_head"):
        raise SettingError(f"{where}: lora_head adapts a linear head, and head is native: leave one of them out.")
