"""Ways of fine-tuning, one file each. Importing this package registers them; none imports torch to do so."""

from whichtune.methods import full, head_only, last_blocks, linear_probe, lora, prefix_tuning, soft_prompt, untuned
from whichtune.methods.base import METHODS, Card, Method

__all__ = [
    "METHODS",
    "Card",
    "Method",
    "full",
    "head_only",
    "last_blocks",
    "linear_probe",
    "lora",
    "prefix_tuning",
    "soft_prompt",
    "untuned",
]
