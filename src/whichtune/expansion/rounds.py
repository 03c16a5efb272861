"""The runs of a study that decides: those of the seeds it begins with, and of the seeds that rows were given since."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from whichtune.errors import SettingError
from whichtune.expansion.expand import Expansion
from whichtune.expansion.kept import Kept
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
    those that every row begins with, `given` has those that rows were given since. `kept` is what its folder holds."""

    everything: Expansion
    first: list[int]
    kept: Kept | None = None
    given: dict[str, list[int]] = field(default_factory=dict)

    @property
    def own(self) -> Expansion:
        """The runs of the rows that the command names, in this round and in those before."""
        specs = [
            spec
            for spec in self.everything.specs
            if spec.seed is None or spec.seed in self.first or spec.seed in self.given.get(spec.label, ())
        ]
        return replace(
            self.everything, specs=specs, study=self.everything.study.model_copy(update={"seeds": self.first})
        )

    @property
    def expansion(self) -> Expansion:
        """These, and the rows that are there. A study that decides comes to its own rows' seeds in its own order."""
        decides = self.everything.study.decide is not None
        return self._with_kept({spec.run_id for spec in self.everything.specs} if decides else set())

    @property
    def table(self) -> Expansion:
        """The study as its table shows it: with every run that is there."""
        return self._with_kept(set())

    def _with_kept(self, reserved: set[str]) -> Expansion:
        return self.own if self.kept is None else self.kept.joined(self.own, self.given, reserved)

    def told(self) -> list[str]:
        """Sentences on what is there beside the rows that the command names."""
        return [] if self.kept is None else self.kept.told(self.expansion, {spec.label for spec in self.own.specs})

    def add(self, labels: Iterable[str]) -> bool:
        """Give each of these rows its next seed; False where none of them has one left."""
        had = {(spec.label, spec.seed) for spec in self.expansion.specs}
        found = False
        for label in labels:
            left = [seed for seed in self.everything.study.seeds if (label, seed) not in had]
            self.given.setdefault(label, []).extend(left[:1])
            found = found or bool(left)
        return found
