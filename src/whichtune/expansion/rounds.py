"""The runs of a study that decides: those of the seeds it begins with, and of the seeds that rows were given since."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from whichtune.errors import SettingError
from whichtune.expansion.expand import Expansion
from whichtune.study.spec import Study


def with_all_seeds(study: Study) -> Study:
    """The study with every seed that a row may come to have: its own, then the smallest others.

    Raises SettingError where it begins with more than it may have.
    """
    if study.decide is None:
        return study
    most = study.decide.max_seeds
    if len(study.seeds) > most:
        raise SettingError(f"The study begins with {len(study.seeds)} seeds and may have {most}: raise max_seeds.")
    others = (seed for seed in range(most + len(study.seeds)) if seed not in study.seeds)
    return study.model_copy(update={"seeds": [*study.seeds, *others][:most]})


@dataclass
class Rounds:
    """What a study's runs are, round by round. `everything` has all seeds that a row may come to have, `first` are
    those that every row begins with, `added` counts what each row was given since."""

    everything: Expansion
    first: list[int]
    added: dict[str, int] = field(default_factory=dict)

    @property
    def expansion(self) -> Expansion:
        """The study with the runs of this round and of those before."""
        study = self.everything.study
        more = [seed for seed in study.seeds if seed not in self.first]
        specs = [
            spec
            for spec in self.everything.specs
            if spec.seed is None or spec.seed in self.first or spec.seed in more[: self.added.get(spec.label, 0)]
        ]
        return replace(self.everything, specs=specs, study=study.model_copy(update={"seeds": self.first}))

    def add(self, labels: Iterable[str]) -> None:
        """Give each of these rows its next seed."""
        for label in labels:
            self.added[label] = self.added.get(label, 0) + 1
