"""Updates that turn the weights and keep the angles between neurons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, field_validator

from whichtune.errors import SettingError
from whichtune.methods.base import CHOSEN, Card, register
from whichtune.methods.peft_method import NOT_MEASURED, PeftMethod, TargetSettings
from whichtune.study.spaces import Spaces, choice

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from whichtune.models.loading import ModelInfo
    from whichtune.study.spec import Settings as RunSettings

SIZE = "numbers in a block of the rotation; must divide the width of every adapted layer's input"


class OftSettings(TargetSettings):
    rotation_block: int = Field(32, ge=2, description=SIZE)


class BoftSettings(TargetSettings):
    butterfly_block: int = Field(4, ge=2, description=SIZE)
    butterfly_factors: int = Field(1, ge=1, description="sparse rotations that are multiplied; 1 is as `oft`")


class HraSettings(TargetSettings):
    reflections: int = Field(8, ge=1, description="mirrorings of each layer's input; an even number begins as nothing")

    @field_validator("reflections")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("must be even, so that training begins with the pretrained model")
        return value


@register
class Oft(PeftMethod[OftSettings]):
    name = "oft"
    Settings = OftSettings
    peft_type = "OFT"
    own_spaces: ClassVar[Spaces] = {"rotation_block": choice(8, 16, 32)}
    card = Card(
        title="OFT, orthogonal fine-tuning",
        summary="Turn every adapted layer's input by a trained rotation of small blocks.",
        trains="A small skew-symmetric matrix for every block of an input, and a classifier's new head.",
        use_when="Full fine-tuning forgets too much of what the model knew.",
        cost="A full forward and backward pass with a rotation of every adapted layer's input.",
        learning_rate=1e-3,
        learning_rate_of_texts=5e-4,
        rate_note=CHOSEN + "81.5 %, and 79.0 at 5e-4; chance at 1e-2. The papers' are 1e-4 to 1e-3.",
        reference="Qiu et al. 2023, Controlling Text-to-Image Diffusion by Orthogonal Finetuning; 2025, OFTv2",
    )

    def layers(self, backbone: PreTrainedModel, settings: OftSettings) -> dict[str, Any]:
        found = super().layers(backbone, settings)
        for name in found["target_modules"]:
            width = backbone.get_submodule(name).get_parameter("weight").shape[1]
            if width % settings.rotation_block:  # PEFT would take another size and go on
                raise SettingError(
                    f"rotation_block {settings.rotation_block} does not divide {width}, the width of what {name} reads"
                )
        return found

    def fields(self, settings: OftSettings) -> dict[str, Any]:
        return {"oft_block_size": settings.rotation_block, "r": 0}


@register
class Boft(PeftMethod[BoftSettings]):
    name = "boft"
    Settings = BoftSettings
    peft_type = "BOFT"
    own_spaces: ClassVar[Spaces] = {"butterfly_block": choice(4, 8)}
    card = Card(
        title="BOFT, orthogonal butterfly",
        summary="OFT whose rotation is a product of sparse ones, in a butterfly's pattern.",
        trains="A small skew-symmetric matrix for every block of every factor, and a classifier's new head.",
        use_when="OFT's blocks are too narrow and its whole rotation too large.",
        cost="More time than OFT: every step forms the rotations and turns the weights.",
        learning_rate=5e-4,
        rate_note=NOT_MEASURED + "between the papers' 1e-4 and 1e-3.",
        reference="Liu et al. 2024, Parameter-Efficient Orthogonal Finetuning via Butterfly Factorization",
    )

    def conflict(self, own: BoftSettings, shared: RunSettings, info: ModelInfo | None) -> str | None:
        if own.butterfly_factors > 1 and not _has_kernel():
            return (
                "butterfly_factors above 1 needs a CUDA kernel that PEFT builds and that is not to be had here: PEFT "
                "would take 1 instead"
            )
        return super().conflict(own, shared, info)

    def fields(self, settings: BoftSettings) -> dict[str, Any]:
        return {
            "boft_block_size": settings.butterfly_block,
            "boft_n_butterfly_factor": settings.butterfly_factors,
        }


def _has_kernel() -> bool:
    from peft.tuners.boft.layer import get_fbd_cuda

    return get_fbd_cuda() is not None


@register
class Hra(PeftMethod[HraSettings]):
    name = "hra"
    Settings = HraSettings
    peft_type = "HRA"
    own_spaces: ClassVar[Spaces] = {"reflections": choice(4, 8, 16)}
    card = Card(
        title="HRA, Householder reflection adaptation",
        summary="Turn every adapted layer's input by a chain of trained mirrorings.",
        trains="A vector for every mirroring of every adapted layer, and a classifier's new head.",
        use_when="You want OFT's rotations with as few numbers as LoRA's low ranks.",
        cost="More time than LoRA: every step forms the chain and turns the weights.",
        learning_rate=4e-3,
        learning_rate_of_texts=1e-3,
        rate_note=CHOSEN + "80.0 %, and 77.0 at 1e-3, the middle of what the paper tries for GLUE.",
        reference="Yuan, Liu and Xu 2024, Bridging The Gap between Low-rank and Orthogonal Adaptation via Householder "
        "Reflection Adaptation",
    )

    def fields(self, settings: HraSettings) -> dict[str, Any]:
        return {"r": settings.reflections}
