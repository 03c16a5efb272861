"""Questions that are asked of every study: each a small function in a table that plugins can add to."""

from whichtune.evidence.checks.base import CHECKS, Finding, Material, not_applicable, passed, register, warned
from whichtune.evidence.checks.make import make_checks

__all__ = ["CHECKS", "Finding", "Material", "make_checks", "not_applicable", "passed", "register", "warned"]
