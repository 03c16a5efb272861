"""Updates that are products of small matrices in another way than LoRA's."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from whichtune.methods.base import CHOSEN, Card, register
from whichtune.methods.peft_method import PeftMethod, TargetSettings
from whichtune.study.spaces import Spaces, choice


class ProductSettings(TargetSettings):
    adapter_rank: int = Field(8, ge=1, description="rank of the small matrices")
    adapter_alpha: int = Field(8, ge=1, description="numerator of the update's scale, over the rank")


class Product(PeftMethod[ProductSettings]):
    Settings = ProductSettings
    own_spaces: ClassVar[Spaces] = {"adapter_rank": choice(4, 8, 16)}

    def fields(self, settings: ProductSettings) -> dict[str, Any]:
        return {"r": settings.adapter_rank, "alpha": settings.adapter_alpha}


@register
class Loha(Product):
    name = "loha"
    peft_type = "LOHA"
    card = Card(
        title="LoHa, low-rank Hadamard products",
        summary="An update that is the product, number by number, of two low-rank matrices.",
        trains="Four thin matrices beside every adapted layer, and a classifier's new head.",
        use_when="LoRA's rank is too small: this one reaches the square of its rank with twice the numbers.",
        cost="More time than LoRA: every step forms the whole update.",
        learning_rate=1e-2,
        learning_rate_of_texts=5e-4,
        rate_note=CHOSEN
        + "80.5 % at 4e-3, 81.5 at 1.6e-2; 73.0 at 1e-3, as products of four small matrices move slowly.",
        reference="Hyeon-Woo, Ye-Bin and Oh 2022, FedPara; Yeh et al. 2024, LyCORIS",
    )


@register
class Lokr(Product):
    name = "lokr"
    peft_type = "LOKR"
    card = Card(
        title="LoKr, low-rank Kronecker products",
        summary="An update that is a Kronecker product of a small matrix and a low-rank one.",
        trains="A small matrix and one or two thin ones beside every adapted layer, and a classifier's new head.",
        use_when="You want files smaller than LoRA's.",
        cost="More time than LoRA: every step forms the whole update.",
        learning_rate=1.6e-2,
        learning_rate_of_texts=1e-3,
        rate_note=CHOSEN + "84.0 %; 79.5 at 4e-3, 74.0 at 1e-3.",
        reference="Edalati et al. 2022, KronA; Yeh et al. 2024, LyCORIS",
    )
