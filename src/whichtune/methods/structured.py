"""Updates with a structure of their own: a few frequencies, circulant blocks, shared shards, single weights."""

from __future__ import annotations

from math import gcd
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from whichtune.errors import SettingError
from whichtune.methods.base import CHOSEN, Card, register
from whichtune.methods.peft_method import PeftMethod, TargetSettings
from whichtune.study.spaces import Spaces, choice

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LARGEST_BLOCK = 128


class FourierSettings(TargetSettings):
    frequencies: int = Field(1000, ge=1, description="numbers of the update's spectrum that train, of each layer")
    spectrum_scale: float = Field(150.0, gt=0, description="by what the update is multiplied")


class C3aSettings(TargetSettings):
    circulant_block: int | None = Field(
        None,
        ge=1,
        description="numbers in a circulant block, which must divide the widths of every adapted layer; `null`: the "
        f"largest that does, up to {LARGEST_BLOCK}",
    )


class MissSettings(TargetSettings):
    adapter_rank: int = Field(16, ge=1, description="rows of the matrix that shards share")


class ShiraSettings(TargetSettings):
    adapter_rank: int = Field(8, ge=1, description="as many single weights train as a LoRA of this rank has numbers")


@register
class FourierFt(PeftMethod[FourierSettings]):
    name = "fourierft"
    Settings = FourierSettings
    peft_type = "FOURIERFT"
    own_spaces: ClassVar[Spaces] = {"frequencies": choice(250, 1000, 4000)}
    card = Card(
        title="FourierFT, Fourier transform fine-tuning",
        summary="An update whose spectrum has a few trained numbers at random frequencies.",
        trains="The spectrum's numbers of every adapted layer, and a classifier's new head.",
        use_when="You want files far smaller than LoRA's.",
        cost="More time than LoRA: every step transforms the spectrum into the whole update.",
        learning_rate=1.6e-2,
        learning_rate_of_texts=1e-2,
        rate_note=CHOSEN
        + "79.5 %, the largest tried; 75.5 at 4e-3. Of the order of the paper's for GLUE, whose scale of 150 is "
        "taken, too.",
        stored="The spectrum's numbers; the frequencies are drawn again from a fixed seed.",
        reference="Gao et al. 2024, Parameter-Efficient Fine-Tuning with Discrete Fourier Transform",
    )

    def fields(self, settings: FourierSettings) -> dict[str, Any]:
        return {
            "n_frequency": settings.frequencies,
            "scaling": settings.spectrum_scale,
            "init_weights": True,
        }


@register
class C3a(PeftMethod[C3aSettings]):
    name = "c3a"
    Settings = C3aSettings
    peft_type = "C3A"
    card = Card(
        title="C3A, circular convolution adaptation",
        summary="An update made of circulant blocks, which is a convolution and has high rank for few numbers.",
        trains="A vector for every block of every adapted layer, and a classifier's new head.",
        use_when="A low rank is what holds LoRA back, and memory is short.",
        cost="A full forward and backward pass with Fourier transforms of the adapted layers' inputs.",
        learning_rate=1.6e-2,
        learning_rate_of_texts=1e-2,
        rate_note=CHOSEN
        + "77.0 %, the largest tried; 74.0 at 4e-3. Its numbers begin at zero, so that training begins with the "
        "pretrained model; PEFT's own default does not.",
        reference="Chen et al. 2025, Parameter-Efficient Fine-Tuning via Circular Convolution",
    )

    def layers(self, backbone: PreTrainedModel, settings: C3aSettings) -> dict[str, Any]:
        found = super().layers(backbone, settings)
        size = settings.circulant_block
        if size is None:
            common = 0
            for name in found["target_modules"]:
                common = gcd(common, *backbone.get_submodule(name).weight.shape)
            size = max(block for block in range(1, LARGEST_BLOCK + 1) if common % block == 0)
        return {**found, "block_size": size}

    def fields(self, settings: C3aSettings) -> dict[str, Any]:
        return {"init_weights": True}


@register
class Miss(PeftMethod[MissSettings]):
    name = "miss"
    Settings = MissSettings
    peft_type = "MISS"
    own_spaces: ClassVar[Spaces] = {"adapter_rank": choice(8, 16, 32)}
    card = Card(
        title="MiSS, matrix shard sharing",
        summary="An update whose shards are copies of one trained matrix.",
        trains="One matrix of `adapter_rank` rows beside every adapted layer, and a classifier's new head.",
        use_when="You want half of LoRA's numbers at the same rank, and quick steps.",
        cost="A full forward and backward pass, with less time in the adapters than LoRA.",
        learning_rate=5e-4,
        rate_note=CHOSEN + "79.0 % at 2e-4, 78.0 at 1e-3, chance at 4e-3.",
        reference="Kang and Yin 2024, MiSS: Balancing LoRA Performance and Efficiency with Simple Shard Sharing",
    )

    def fields(self, settings: MissSettings) -> dict[str, Any]:
        return {"r": settings.adapter_rank}


@register
class Shira(PeftMethod[ShiraSettings]):
    name = "shira"
    Settings = ShiraSettings
    peft_type = "SHIRA"
    own_spaces: ClassVar[Spaces] = {"adapter_rank": choice(4, 8, 16)}
    card = Card(
        title="SHiRA, sparse high-rank adapters",
        summary="Train one or two in a hundred single weights, chosen at random, and no others.",
        trains="The chosen weights of every adapted layer, and a classifier's new head.",
        use_when="You switch between adapters often: only single weights are exchanged.",
        cost="A full forward and backward pass, with gradients of the whole adapted weights.",
        learning_rate=4e-3,
        learning_rate_of_texts=5e-4,
        rate_note=CHOSEN + "79.0 %, as at 1e-3; 67.5 at 2e-4.",
        stored="The chosen weights' changes; which they are is drawn again from the run's seed.",
        reference="Bhardwaj et al. 2024, Sparse High Rank Adapters",
    )

    def layers(self, backbone: PreTrainedModel, settings: ShiraSettings) -> dict[str, Any]:
        found = super().layers(backbone, settings)
        for name in found["target_modules"]:
            out, into = backbone.get_submodule(name).get_parameter("weight").shape
            if settings.adapter_rank * (out + into) > out * into:
                raise SettingError(
                    f"adapter_rank {settings.adapter_rank} asks for more weights than {name} has: set a smaller one"
                )
        return found

    def stand_in(self, settings: ShiraSettings, fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """As many numbers as a LoRA of this rank has."""
        return "LORA", {"r": settings.adapter_rank, "target_modules": fields["target_modules"]}

    def fields(self, settings: ShiraSettings) -> dict[str, Any]:
        return {"r": settings.adapter_rank}
