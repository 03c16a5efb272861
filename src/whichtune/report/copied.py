"""What the page's copy buttons give: the study as a file that makes it again, and how to cite the tool."""

from __future__ import annotations

from whichtune.study.resolved import ResolvedStudy
from whichtune.study.spec import Study
from whichtune.version import VERSION

CITATION = f"""@software{{whichtune,
  title = {{whichtune: which way of fine-tuning a language model is best, and what does it cost}},
  author = {{{{The whichtune maintainers}}}},
  version = {{{VERSION}}},
  year = {{2026}}
}}"""


def study_file(study: ResolvedStudy) -> str:
    """The study in YAML, with what differs from the defaults; plugins and published figures as they were given."""
    import yaml

    plain = study.model_dump(mode="json", include=set(Study.model_fields), exclude_defaults=True)
    plain["defaults"] = study.defaults
    if isinstance(plain.get("tuning"), dict):
        plain["tuning"].pop("lines", None)
    methods = plain.get("methods")
    if isinstance(methods, list):
        plain["methods"] = [one["method"] if set(one) == {"method"} else one for one in methods]
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100))
