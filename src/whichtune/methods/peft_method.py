"""What methods by PEFT have in common: an adapter of one of its types in the blocks, and the head beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from whichtune.methods.base import Method
from whichtune.methods.rehearsal import rehearsed
from whichtune.models.course import Course

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from whichtune.models.adaptable import Adaptable
    from whichtune.models.loading import ModelInfo
    from whichtune.study.spec import Settings as RunSettings

NOT_MEASURED = "Not measured here: "


class TargetSettings(BaseModel):
    """Of every method whose adapter is put on linear layers."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    adapter_targets: Literal["all_linear", "attention", "mlp"] | list[str] = Field(
        "all_linear",
        description="`all_linear` layers of the blocks, those of the `attention`, those outside it (`mlp`), or a list "
        "of layer names; a fused q-k-v layer is split in three unless the list names it",
    )

    @field_validator("adapter_targets")
    @classmethod
    def _some_layer(cls, value: str | list[str]) -> str | list[str]:
        if not value:
            raise ValueError("must name a layer or more")
        return value


SettingsT = TypeVar("SettingsT", bound=BaseModel)


class PeftMethod(Method[SettingsT], Generic[SettingsT]):
    """An adapter of `peft_type`, which PEFT has `since` a version."""

    deep = True
    inserts = True
    family = "adapters by PEFT"
    peft_type: ClassVar[str]
    since: ClassVar[str] = "0.18"

    def type_of(self, settings: SettingsT) -> str:
        """PEFT's name of the adapter."""
        return self.peft_type

    def fields(self, settings: SettingsT) -> dict[str, Any]:
        """The fields of PEFT's configuration, but for the layers."""
        return {}

    def layers(self, backbone: PreTrainedModel, settings: SettingsT) -> dict[str, Any]:
        """The fields of PEFT's configuration that say which layers are adapted. May change the backbone's layers to
        others with the same output."""
        wanted = getattr(settings, "adapter_targets", "all_linear")
        return {"target_modules": chosen_layers(backbone, wanted, "adapter_targets")}

    def keeps_weights(self, settings: SettingsT) -> bool:
        """Where PEFT has layers of the type for weights in fewer bits."""
        return has_low_precision_layers(self.type_of(settings))

    def stand_in(self, settings: SettingsT, fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """A type and fields with the same numbers of trained parameters, for a model without storage, where PEFT cannot
        put the type itself."""
        return self.type_of(settings), fields

    def attach(self, model: Adaptable, settings: SettingsT, seed: int) -> None:
        from whichtune.models.adapters import insert, straighten
        from whichtune.seeding import ADAPTER, seed_global

        model.requires_grad_(False)
        straighten(model.backbone)
        layers = self.layers(model.backbone, settings)
        seed_global(seed, ADAPTER)
        fields = {**self.fields(settings), **layers}
        without_values = next(model.backbone.parameters()).is_meta
        peft_type, fields = self.stand_in(settings, fields) if without_values else (self.type_of(settings), fields)
        model.adapter = insert(model.backbone, peft_type, fields)
        model.head.requires_grad_(True)

    def conflict(self, own: SettingsT, shared: RunSettings, info: ModelInfo | None) -> str | None:
        """PEFT is asked, and the adapter is put into a copy of the model without weights."""
        if (why := _too_old(self.name, self.since)) is not None:
            return why
        return None if info is None else rehearsed(self.name, own.model_dump_json(), str(info.path))

    def course(self, model: Adaptable, settings: SettingsT) -> Course:
        """PEFT's own steps between steps, where the adapter has some."""
        from whichtune.methods.allocation import Allocation

        assert model.adapter is not None
        return Allocation(model.adapter) if hasattr(model.adapter.tuner, "update_and_allocate") else Course()

    def remarks(self, model: Adaptable) -> list[str]:
        from whichtune.models.targets import unreached

        return unreached(model.backbone, self.name)

    def can_merge(self, model: Adaptable) -> bool:
        from whichtune.models.adapters import can_merge

        return can_merge(model.backbone)

    @contextmanager
    def merged(self, model: Adaptable) -> Iterator[bool]:
        from whichtune.models.adapters import merged_adapters

        with merged_adapters(model.backbone) as merged:
            yield merged


def has_low_precision_layers(peft_type: str) -> bool:
    """Whether PEFT has layers of this type for weights in four or eight bits."""
    from importlib.util import find_spec

    return peft_type == "LN_TUNING" or find_spec(f"peft.tuners.{peft_type.lower()}.bnb") is not None


def chosen_layers(backbone: PreTrainedModel, wanted: str | list[str], setting: str) -> list[str]:
    """Full names of the layers to adapt, fused q-k-v layers split unless they are named."""
    from whichtune.models.targets import callable_layers, find_targets
    from whichtune.models.unfuse import FUSED, unfuse

    named = wanted if isinstance(wanted, list) else []
    if not set(named) & set(FUSED):
        unfuse(backbone)
    return callable_layers(backbone, find_targets(backbone, wanted, setting), setting)


def _too_old(method: str, since: str) -> str | None:
    from importlib.metadata import version

    installed = version("peft")
    parts = [[int(part) for part in text.split(".")[:2]] for text in (installed, since)]
    return f"{method} needs PEFT {since} or later, and {installed} is installed" if parts[0] < parts[1] else None
