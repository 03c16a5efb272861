"""Logits computed with as little as is exact: the forward pass that a plan describes.

Before its first use a `PlannedForward` is compared with the plain way on a few ragged texts, logits and
gradients. Where they differ by more than rounding, or a shortcut fails, the next simpler route is taken,
down to the plain way itself, and `notes` says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from whichtune.measure.cost import count_flops
from whichtune.measure.flops import Cells, FlopModel, rows_cells
from whichtune.models.heads import Classifier
from whichtune.models.partition import Partition
from whichtune.models.sizes import feature_width, hidden_width
from whichtune.shortcuts.boundary import Decision
from whichtune.shortcuts.features import FeatureComputer, Route
from whichtune.shortcuts.frozen_blocks import Filled
from whichtune.shortcuts.last_block import CannotPrune
from whichtune.shortcuts.operations import operations_folder
from whichtune.shortcuts.packing import Packing
from whichtune.shortcuts.self_check import (
    LOGIT_TOLERANCE,
    gradient_difference,
    gradients_of,
    note_of_failure,
    ragged_rows,
)
from whichtune.shortcuts.texts import Texts
from whichtune.study.spec import TokenPosition
from whichtune.training.forward import Forward, PlainForward, autocast
from whichtune.training.stage import Stage

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from whichtune.data.encoding import Encoded


# Kinds of device on which packed rows have round sizes, so that a step's kernels can be launched from a recording.
FEW_SHAPES = ("cuda",)


class PlannedForward:
    """Follows `route` for the texts of each split; `states` holds what the cache has below the boundary.

    `features_cached`: the states are what the head reads, and nothing of the backbone is computed. `state_precision` is
    what they were kept in.
    """

    def __init__(
        self,
        classifier: Classifier,
        encoded: Encoded,
        device: torch.device,
        precision: str,
        partition: Partition,
        texts: Mapping[str, Texts],
        position: TokenPosition,
        route: Route,
        states: Mapping[str, Filled],
        features_cached: bool,
        state_precision: str = "float32",
    ) -> None:
        self.state_precision = state_precision
        self.classifier, self.encoded = classifier, encoded
        self.device, self.precision = device, precision
        self.partition, self.texts, self.position = partition, texts, position
        self.states, self.features_cached = states, features_cached
        self.plain = PlainForward(classifier, encoded, device, precision)
        self.notes: list[str] = []
        self.refused: list[str] = []  # shortcuts that do not apply to this model, with the reason
        self._decided: list[Decision] = []
        self._take(route)
        self._flops: FlopModel | None = None

    @property
    def reads_rounded_states(self) -> bool:
        """Whether logits follow from states that the cache keeps in fewer bits."""
        reads = bool(self.states) and (self.features_cached or bool(self.route.boundary))
        return reads and self.state_precision != "float32"

    @property
    def _rounded_to(self) -> str:
        """The precision by which differences are judged that are rounding."""
        return self.state_precision if self.reads_rounded_states else self.precision

    def _take(self, route: Route) -> None:
        self.route = route
        self._computer = FeatureComputer(
            self.classifier,
            self.partition,
            route,
            self.position,
            padding_matters=self._texts_are_plain,
            in_few_shapes=self.device.type in FEW_SHAPES,
        )

    @property
    def _texts_are_plain(self) -> bool:
        return next(iter(self.texts.values())).rule == "padded"

    def logits(self, split: str, rows: Sequence[int]) -> Tensor:
        return self.logits_of(self.staged(split, rows).on(self.device))

    def staged(self, split: str, rows: Sequence[int]) -> Stage:
        states = self.states.get(split)
        if self.features_cached:
            assert states is not None
            return Stage({"features": states.features(rows)})
        batch = self.texts[split].batch(rows)
        if not self.route.boundary:
            return self._computer.staged(batch)
        assert states is not None
        width = batch.input_ids.shape[1]
        return self._computer.staged(batch, lambda packing: states.fetch(rows, packing, width))

    def logits_of(self, stage: Stage) -> Tensor:
        with autocast(self.precision, self.device):
            return self.classifier.head(self._features_of(stage)).float()

    def features(self, split: str, rows: Sequence[int]) -> Tensor:
        """What the head reads (B, D)."""
        return self._features_of(self.staged(split, rows).on(self.device))

    def _features_of(self, stage: Stage) -> Tensor:
        return stage.tensors["features"] if self.features_cached else self._computer.compute(stage)

    def as_decisions(self) -> list[Decision]:
        """What the check has decided beyond the plan."""
        return list(self._decided)

    # -- operations -------------------------------------------------------------------------------

    def training_flops(self, rows: Sequence[int]) -> int:
        tokens = self.texts["train"].tokens
        if self._flops is None:  # the route is settled now
            of_texts = (self.position, self._texts_are_plain, self.features_cached)
            facts = (self.route, *of_texts, self.precision, self.device)
            kept = operations_folder(self.classifier, self.partition.body.config, *facts)
            self._flops = FlopModel(self._count, self._cells, self.encoded.context_length, kept=kept)
        return self._flops([len(tokens[row]) for row in rows])

    def _cells(self, lengths: Sequence[int]) -> Cells:
        if self.features_cached:
            return (1, len(lengths), 0, 0, 0, 0)
        packing = self._computer.arrange(torch.tensor(lengths))
        if packing is None:
            return rows_cells(len(lengths), len(lengths), max(lengths), 1)
        read = int(torch.bincount(packing.row, minlength=packing.rows).max())
        return rows_cells(len(lengths), packing.rows, packing.width, read)

    def _count(self, lengths: list[int]) -> int:
        """Operations of a training step over made-up texts of these lengths."""
        return count_flops(lambda: self._loss_of(lengths))

    def _loss_of(self, lengths: list[int]) -> Tensor:
        config = self.partition.body.config
        labels = torch.zeros(len(lengths), dtype=torch.long, device=self.device)
        sample = self.texts["train"]
        token = next((ids[0] for ids in sample.tokens if ids), sample.pad_id)  # one that training texts have
        texts = replace(sample, tokens=[[token] * n for n in lengths], lengths=lengths)
        batch = texts.batch(range(len(lengths)))

        def made_up(packing: Packing | None) -> Tensor:
            shape = batch.input_ids.shape if packing is None else (packing.rows, packing.width)
            return torch.randn(*shape, hidden_width(config))

        with autocast(self.precision, self.device):
            if self.features_cached:
                features = torch.randn(len(lengths), feature_width(config), device=self.device)
            else:
                features = self._computer(batch, made_up if self.route.boundary else None)
            return nn.functional.cross_entropy(self.classifier.head(features).float(), labels)

    # -- the check ---------------------------------------------------------------------------------

    def settle(self) -> None:
        """Take the first route, from the planned one to simpler ones, that equals the plain way."""
        rows = ragged_rows(self.texts["train"].lengths)
        training = self.classifier.training
        self.classifier.train()
        try:
            expected = self.logits_and_gradients(rows, self.plain)
            while True:
                reason = self.difference(rows, expected)
                if reason is None:
                    return
                simpler = None if self.features_cached else self.route.simpler()
                left = _what_is_left_out(self.route, simpler)
                if simpler is None:
                    if self.features_cached or not self._texts_are_plain:
                        raise PlanFailedError(note_of_failure("no shortcut is used", reason.text))
                    return
                self._say(left, reason)
                self._take(simpler)
        finally:
            self.classifier.train(training)

    def _say(self, left_out: str, reason: Reason) -> None:
        self._decided.append(Decision("check", left_out, reason.text))
        if reason.expected:
            self.refused.append(f"{left_out}: {reason.text}")
        else:
            self.notes.append(note_of_failure(left_out, reason.text))

    def difference(
        self, rows: Sequence[int], expected: tuple[Tensor, list[Tensor]], of: Iterable[Tensor] | None = None
    ) -> Reason | None:
        """Why `logits_and_gradients` are not what another way gave; None where they are, rounding apart."""
        try:
            found = self.logits_and_gradients(rows, of=of)
        except CannotPrune as error:
            return Reason(str(error), expected=True)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            return Reason(f"{type(error).__name__}: {' '.join(str(error).split())[:160]}")
        scale = max(1.0, float(expected[0].abs().max()))
        off = float((found[0] - expected[0]).abs().max()) / scale
        if not off <= LOGIT_TOLERANCE[self._rounded_to]:
            return Reason(f"logits differ by {off:.1e} of the largest")
        differing = gradient_difference(found[1], expected[1], self._rounded_to)
        return None if differing is None else Reason(differing)

    def logits_and_gradients(
        self, rows: Sequence[int], way: Forward | None = None, of: Iterable[Tensor] | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Logits of training texts, computed this way or another, and for some loss the gradients `of` weights, or of
        all that train. Of the word embedding they are of the rows that these texts have, which are few of many."""
        logits = (way or self).logits("train", rows)
        labels = torch.as_tensor(self.encoded.splits["train"].labels[list(rows)], device=self.device)
        if (
            labels.is_floating_point() or labels.ndim > 1
        ):  # numbers, or several labels a text: any loss that every logit moves will do
            loss = logits.logsumexp(dim=1).mean()
        else:
            loss = nn.functional.cross_entropy(logits, labels)
        weights = [p for p in (self.classifier.parameters() if of is None else of) if p.requires_grad]
        embedding = word_embedding(self.classifier.backbone)
        own = getattr(embedding, "weight", None)
        touched = self._ids_of(rows).to(self.device)
        if isinstance(embedding, nn.Embedding):
            touched = touched[touched < len(embedding.weight)]  # others tell segments, too
        elif (row_of := getattr(embedding, "row_of", None)) is not None:  # where only rows in use are trained
            touched = row_of[touched]
        else:
            own = None
        found = gradients_of(loss, weights)
        return logits.detach(), [g[touched] if w is own else g for w, g in zip(weights, found, strict=True)]

    def _ids_of(self, rows: Sequence[int]) -> Tensor:
        """The tokens of training texts, and of what fills up their batch, in order."""
        texts = self.texts["train"]
        return torch.tensor(sorted({0, texts.pad_id, self.encoded.pad_id}.union(*(texts.tokens[row] for row in rows))))


def word_embedding(backbone: PreTrainedModel) -> nn.Module | None:
    """What turns tokens into states; None where a model's class does not say, which transformers has it raise."""
    try:
        return backbone.get_input_embeddings()
    except NotImplementedError:
        return None


@dataclass(frozen=True)
class Reason:
    """Why a route was not taken; `expected` where it is known not to apply to such a model."""

    text: str
    expected: bool = False


class PlanFailedError(Exception):
    """Even the simplest route differs from the plain way; the message is the note that says how."""


def _what_is_left_out(route: Route, simpler: Route | None) -> str:
    if simpler is None:
        return "no shortcut is used"
    if route.pruning != simpler.pruning:
        return "keys and values are formed" if simpler.pruning else "the last block is computed in full"
    if route.masks != simpler.masks:
        return "texts are padded, not packed"
    if route.adapters != simpler.adapters:
        return "adapters run as PEFT has them"
    return "activations run as the model has them" if route.twins != simpler.twins else "lower blocks run anew"
