"""A run's trained model, built again from its spec and its saved weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from whichtune.data.field_encoding import Paired
from whichtune.errors import ExportError
from whichtune.handover.outcomes import Answers, answers_of
from whichtune.handover.scaled import put_into_unit
from whichtune.methods import METHODS
from whichtune.models.adaptable import Adaptable
from whichtune.models.heads import Classifier
from whichtune.models.language import LanguageModel
from whichtune.models.loading import locate
from whichtune.models.saving import load_trained_state, shapes_of
from whichtune.models.sizes import max_length_of
from whichtune.models.tagger import Tagger
from whichtune.records.record import RunRecord
from whichtune.records.verify import spec_of
from whichtune.study.spec import EMBEDDED, RunSpec
from whichtune.tasks import task_of
from whichtune.tasks.base import AnySplit
from whichtune.tasks.classification.model import field_encoder
from whichtune.tasks.tagging.settings import TaggingSettings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from whichtune.data.field_encoding import FieldEncoder
    from whichtune.data.tag_encoding import Token


@dataclass(frozen=True)
class _NoTexts:
    """All that building a model asks of its data: the names of the classes."""

    labels: list[str]
    outputs: int  # numbers that a model gives for each text
    name: str = ""
    fingerprint: str = ""
    splits: Mapping[str, AnySplit] = field(default_factory=dict)

    def without_test(self) -> Self:
        return self


@dataclass(frozen=True)
class Trained:
    """A model with its trained weights, in float32 on the CPU, evaluating; and what made its texts' tokens."""

    spec: RunSpec
    record: RunRecord
    model: Adaptable
    tokenizer: PreTrainedTokenizerBase
    base: Path  # the folder of the pretrained model
    context_length: int  # tokens that a text may have
    labels: list[str]  # names of the outputs, of a number that of its column
    answers: Answers = "classes"
    thresholds: tuple[float, ...] = ()
    fields: FieldEncoder | None = None

    @property
    def segment_rows(self) -> int | None:
        """Rows of the embeddings, where the model is told which of two texts a token is of."""
        return None if self.fields is None else self.fields.rows

    @property
    def writes(self) -> bool:
        return isinstance(self.model, LanguageModel)

    @property
    def tag_token(self) -> Token | None:
        """The token at which a word is tagged; None for a row that tags none."""
        if not isinstance(self.model, Tagger):
            return None
        return TaggingSettings(**self.spec.task_settings).tag_token

    @property
    def base_is_local(self) -> bool:
        return self.spec.model == EMBEDDED or Path(self.spec.model).expanduser().is_dir()

    @property
    def base_name(self) -> str:
        """The pretrained model as others find it: its Hub id, or its folder here."""
        return str(self.base.resolve()) if self.base_is_local else self.spec.model

    @property
    def base_shown(self) -> str:
        """The same for who reads, without folders of this machine."""
        return Path(self.spec.model).expanduser().name if self.base_is_local else self.spec.model

    @property
    def base_revision(self) -> str | None:
        """The Hub's revision of the pretrained model; None for a folder."""
        if self.base_is_local:
            return None
        snapshot = self.base.name if self.base.parent.name == "snapshots" else None
        return snapshot or self.spec.revision


def load_trained(record: RunRecord, folder: Path | None) -> Trained:
    """A completed run's model from what it saved in `folder`; None: as the run began.

    Raises ModelError where the pretrained model is gone or another, StoreError for weights that do not fit, ExportError
    for a task whose models are of another kind.
    """
    spec = spec_of(record)
    task = task_of(spec)
    outputs = task.outputs(spec, record)
    model, tokenizer = task.build(spec, _NoTexts(list(record.labels), len(outputs.names)))
    if not isinstance(model, (Classifier, LanguageModel, Tagger)):
        raise ExportError(
            f"'{record.label}' is of the task {spec.task}, whose models have a form of their own: classifiers, "
            "taggers and models that write texts can be exported."
        )
    if folder is not None:
        file = folder / "weights.safetensors"
        METHODS[spec.method].make_room(model, shapes_of(file))
        load_trained_state(model, file)
    model.eval().requires_grad_(False)
    fields = _fields(record, spec, tokenizer, model) if isinstance(model, Classifier) else None
    if isinstance(model, Classifier) and task.answers == "numbers":
        put_into_unit(model.head, outputs.mean, outputs.sd)
    path = locate(spec.model, spec.revision, spec.weights)
    limit = record.context_length or max_length_of(model.backbone.config)
    if limit is None:
        raise ExportError(f"The record of '{record.label}' does not say how long a text may be: make it again.")
    answers = answers_of(spec)
    return Trained(
        spec, record, model, tokenizer, path, limit, list(outputs.names), answers, outputs.thresholds, fields
    )


def _fields(
    record: RunRecord, spec: RunSpec, tokenizer: PreTrainedTokenizerBase, model: Classifier
) -> FieldEncoder | None:
    """How the row reads texts of several fields. Raises ExportError where no tokenizer does that by itself."""
    found = field_encoder(spec, tokenizer, model.backbone.config)
    if isinstance(found, Paired) and len(names := spec.data.text_columns) > 2:
        raise ExportError(
            f"'{record.label}' reads {len(names)} text columns ({', '.join(names)}) as its family pairs texts, and a "
            "tokenizer pairs two: train it with a fields_template, or use whichtune predict."
        )
    return found
