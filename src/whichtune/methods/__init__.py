"""Ways of fine-tuning, one file each; none imports torch to be known."""

from whichtune.methods.base import METHODS, Card, Method

__all__ = ["METHODS", "Card", "Method"]
