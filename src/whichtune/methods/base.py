"""What a method is: a name, settings, a card, and `attach`, which decides what trains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from whichtune.models.course import Course
from whichtune.registry import Registry
from whichtune.study.spaces import Space, Spaces, usual_spaces

if TYPE_CHECKING:
    from torch import nn

    from whichtune.methods.fitting import Features
    from whichtune.models.adaptable import Adaptable
    from whichtune.models.loading import ModelInfo
    from whichtune.study.spec import Settings as RunSettings


class NoSettings(BaseModel):
    """A method without settings of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


SettingsT = TypeVar("SettingsT", bound=BaseModel)


# Before the figures by which a default rate was chosen: benchmarks/default_rates.md.
CHOSEN = "On 200 validation texts of IMDB with MiniLM, trained on 400: "


@dataclass(frozen=True)
class Card:
    """What a user should know of a method before choosing it."""

    summary: str
    trains: str
    use_when: str
    cost: str
    learning_rate: float | None  # the default of `compare`; None where nothing is learned by steps
    reference: str
    rate_note: str = ""  # why the rate is what it is, and where another is better
    learning_rate_of_texts: float | None = None  # where texts are written with the model's own head; None: the same
    title: str = ""  # the method's name in words
    stored: str = "What trains, and nothing else."  # of a saved run


class Method(ABC, Generic[SettingsT]):
    """One way of fine-tuning, by its `Settings`. Subclasses are registered in METHODS and hold no state of a run."""

    name: ClassVar[str]
    card: ClassVar[Card]
    Settings: ClassVar[type[BaseModel]] = NoSettings
    closed_form: ClassVar[bool] = False
    own_spaces: ClassVar[Spaces] = {}  # of its own settings, searched beside those of every method
    tasks: ClassVar[tuple[str, ...]] = (
        "classification",
        "regression",
        "multilabel",
        "tagging",
        "text_to_text",
        "summarisation",
    )
    trains: ClassVar[bool] = True
    head_alone: ClassVar[bool] = False  # trained by steps, while nothing of the model is
    deep: ClassVar[bool] = False  # gradients pass through every block: of a study's runs, its take longest
    inserts: ClassVar[bool] = False  # something of its own: a head that was pretrained then stays as it is
    family: ClassVar[str] = "of your own"  # under which the list of methods has it
    open_settings: ClassVar[str | None] = None  # the setting, a mapping, that takes all names that none else has
    grows: ClassVar[bool] = False  # what is stored of a run grows with the training texts
    reads_validation: ClassVar[bool] = False  # to choose something of its own as it fits
    weighs_texts: ClassVar[bool] = False  # its fit minds how much each training text counts
    in_words: ClassVar[bool] = False  # the model's own output layer is asked for the words of labels: there is no head
    in_pairs: ClassVar[bool] = False  # trained on pairs of texts, after which the head is fitted (`fit`)
    fits_first: ClassVar[bool] = False  # the head is fitted on frozen features (`fit`) before the first step

    @abstractmethod
    def attach(self, model: Adaptable, settings: SettingsT, seed: int) -> None:
        """Insert what the method inserts and set `requires_grad` on every parameter.

        `model`, a classifier or a language model, arrives with its head in place; `seed` is the run's, for named
        random streams.
        """

    def fit(self, model: Adaptable, data: Features, settings: SettingsT, seed: int) -> list[str]:
        """Fit the head on frozen features, where the method is in closed form or begins so; gives what a reader must
        know of it, as sentences. Without a word of the method's own: linear discriminant analysis."""
        from whichtune.methods.fitting import discriminant

        return discriminant(model, data)

    def course(self, model: Adaptable, settings: SettingsT) -> Course:
        """What the training loop does for the method beside plain steps; for most nothing."""
        return Course()

    def make_room(self, model: Adaptable, shapes: Mapping[str, Sequence[int]]) -> None:
        """Prepare a model for a saved state with tensors of these shapes, where training has changed its parts."""

    def spaces(self, rate: float | None) -> dict[str, Space]:
        """What a search tries: ranges around `rate` (the card's, or the study's), and the method's own settings.

        Nothing for a method in closed form, or one without a rate.
        """
        return {} if self.closed_form or rate is None else {**usual_spaces(rate), **self.own_spaces}

    def reserved_tokens(self, settings: SettingsT) -> int:
        """How many of the model's positions are not for texts, because the method fills them."""
        return 0

    def conflict(self, own: SettingsT, shared: RunSettings, info: ModelInfo | None) -> str | None:
        """Why the method with its `own` settings does not go with a run's `shared` ones or with the model, in
        words that end a sentence; None where it does. Asked before a study begins."""
        return None

    def keeps_weights(self, settings: SettingsT) -> bool:
        """Whether the matrices of the model's blocks stay as they are, so that they may be kept in fewer bits."""
        return self.closed_form or self.head_alone

    def remarks(self, model: Adaptable) -> list[str]:
        """What a reader must know of what `attach` did to this model, as sentences; for most methods nothing."""
        return []

    def can_merge(self, model: Adaptable) -> bool:
        """Whether `merged` has something to merge."""
        return False

    @contextmanager
    def merged(self, model: Adaptable) -> Iterator[bool]:
        """Within, adapters are merged into the weights they adapt. Yields whether there is anything to merge."""
        yield False


AnyMethod = Method[Any]  # of settings of its own
MethodT = TypeVar("MethodT", bound=AnyMethod)
METHODS: Registry[AnyMethod] = Registry(
    "method",
    [
        f"whichtune.methods.{module}"
        for module in (
            "full",
            "head_only",
            "last_blocks",
            "linear_probe",
            "lora",
            "prefix_tuning",
            "soft_prompt",
            "untuned",
            "any_peft",
            "low_rank",
            "orthogonal",
            "products",
            "structured",
            "adalora",
            "vectors",
            "p_tuning",
            "parts",
            "in_turn",
            "probes",
            "prompted",
            "contrastive",
        )
    ],
    group="whichtune.methods",
)


def register(cls: type[MethodT]) -> type[MethodT]:
    """Class decorator: store one instance in METHODS under the class's name."""
    METHODS.register(cls.name)(cls())
    return cls


def train_only(model: Adaptable, modules: Sequence[nn.Module]) -> None:
    """Freeze everything, then let the parameters of `modules` train."""
    model.requires_grad_(False)
    for module in modules:
        module.requires_grad_(True)
