"""Every factor of a run that a study can set; the settings reference in the documentation is generated from it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from whichtune.study.frozen import Frozen
from whichtune.study.identity import later_defaults

TokenPosition = Literal["first", "last", "last_nonpad", "mean", "mean_nonpad"]

# Settings, and the seed, that change what is learned and not what is computed.
FREE_OF_COST = ("learning_rate", "weight_decay", "beta1", "beta2", "schedule", "warmup_steps", "warmup_ratio", "seed")


class Settings(Frozen):
    """Every factor of a run that a study can set, with its default."""

    token_position: TokenPosition | None = Field(
        None,
        description="which position's hidden state the head reads; default `last_nonpad` for decoders, "
        "`mean_nonpad` for encoders",
    )
    head: Literal["linear", "native"] = Field(
        "linear",
        description="one `linear` layer on that state, or the `native` head of the family's class for sequences",
    )
    context_length: int | Literal["longest", "model"] = Field(
        "longest",
        description="tokens a text may have: `longest` training example, the `model`'s own, or a number",
    )
    long_texts_keep: Literal["head", "tail", "both"] = Field(
        "head",
        description="what is kept of a text longer than the context: its beginning (`head`), its end (`tail`), or half "
        "of each (`both`); the tokenizer's special tokens stay",
    )
    fields_template: str | None = Field(
        None,
        description="how several text columns become one text, `{column}` standing for each; null: as the model's "
        "family pairs texts, or, where it does not (decoders), `column: {column}` a line each",
    )
    padding: Literal["dynamic", "right", "none"] | None = Field(
        None,
        description="`dynamic` pads to the longest text of the batch, `right` always to the context length, "
        "`none` computes each text alone; default `dynamic`, or `right` where padding is read or attended to",
    )
    attend_to_padding: bool = Field(False, description="let real tokens attend to padding (no attention mask)")
    causal_mask: bool = Field(True, description="false lets a decoder's tokens see later ones")
    weights: Literal["pretrained", "random"] = Field(
        "pretrained", description="`random` builds the model from its configuration alone"
    )
    dropout: float | Literal["model"] = Field(
        0.0,
        description="probability for all of the model's dropout layers; `model` keeps the checkpoint's own",
    )
    epochs: int = Field(3, ge=1, description="passes over the training split")
    max_steps: int | None = Field(None, ge=1, description="stop after this many optimiser steps; null: by epochs")
    batch_size: int = Field(16, ge=1, description="texts in one forward pass")
    batching: Literal["shuffled", "bucketed"] = Field(
        "shuffled",
        description="`bucketed`: texts of similar length share a training batch, which leaves less padding, and the "
        "batches come in shuffled order; the same for every method, but another order than `shuffled`",
    )
    accumulation_steps: int = Field(
        1,
        ge=1,
        description="batches in one optimiser step; equals one large batch exactly, an epoch's tail included",
    )
    drop_last: bool = Field(False, description="leave out an epoch's last batch when it is not full")
    learning_rate: float | None = Field(None, gt=0, description="default: the method's own, from its card")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's decoupled decay, on every trained parameter")
    beta1: float = Field(0.9, ge=0, lt=1, description="AdamW's decay of the first moment")
    beta2: float = Field(0.999, ge=0, lt=1, description="AdamW's decay of the second moment")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "linear", description="learning rate after warm-up: constant, or falling to 0 at the last step"
    )
    warmup_steps: int | None = Field(None, ge=0, description="steps of linear warm-up; null: by `warmup_ratio`")
    warmup_ratio: float = Field(0.06, ge=0, le=1, description="share of the steps that is warm-up")
    gradient_clip: float | None = Field(1.0, gt=0, description="largest gradient norm; null: no clipping")
    ignore_index: int | str | None = Field(
        None,
        description="a label, as the data have it, whose texts are left out: of training, fits, scores and predictions",
    )
    evaluation_interval: int | Literal["epoch"] = Field(
        "epoch", description="optimiser steps between two points of the curves"
    )
    evaluation_at_epoch_ends: bool = Field(
        False,
        description="a point of the curves at the end of every epoch too, where `evaluation_interval` is a number",
    )
    evaluation_batches: int | None = Field(
        None, ge=1, description="batches of validation at each point of the curves; null: all of it"
    )
    early_stopping: str = Field(
        "none",
        description="stop when the validation loss, or a validation score (`primary`: the study's primary metric), no "
        "longer improves, and restore the weights of the best point of the curves",
    )
    patience: int = Field(
        2, ge=1, description="early stopping: points of the curves in a row without improvement before training stops"
    )
    min_delta: float = Field(
        0.0, ge=0, description="early stopping: least improvement that counts, in nats of loss or as a share of 1"
    )
    precision: Literal["float32", "bf16", "fp16"] = Field(
        "float32",
        description="autocast of all passes, cached lower blocks included; the record says how many predictions it "
        "changes against float32; fp16 on CUDA only; not set: bf16 for classes on a GPU that computes in it",
    )
    state_precision: Literal["float32", "bf16"] = Field(
        "float32",
        description="in which hidden states of frozen blocks are kept in the cache: `bf16` takes half the disk; the "
        "record says how many predictions that changes",
    )
    base_precision: Literal["float32", "nf4", "int8"] = Field(
        "float32",
        description="in which the matrices of the model's blocks are kept, where a method leaves them as they are: "
        "`nf4` in four bits with double quantisation (QLoRA), `int8` in eight, by bitsandbytes; all else is in float32",
    )
    retention_text: str | None = Field(
        None, description="a text file on which a decoder's loss as a language model is told before and after training"
    )
    gradient_checkpointing: bool = Field(False, description="recompute activations in the backward pass")
    random_streams: Literal["named", "reference"] = Field(
        "named",
        description="`named`: a random stream for each purpose, shared by all methods; `reference`: the order in which "
        "the published SMS study draws from one generator, its evaluations included (`evaluation_interval` then "
        "counts batches, the first one included, and train figures are of the rows that `drop_last` leaves)",
    )
    initialisation: Literal["default", "reference"] = Field(
        "default",
        description="random weights: drawn as the model's family does, or by PyTorch's defaults (published SMS study)",
    )
    accumulation_tail: Literal["exact", "reference"] = Field(
        "exact",
        description="an epoch's last, shorter accumulation: divided by its own examples, or by the full step count",
    )

    @field_validator("context_length")
    @classmethod
    def _positive_context(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 1:
            raise ValueError("must be at least 1")
        return value

    @field_validator("evaluation_interval")
    @classmethod
    def _positive_interval(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 1:
            raise ValueError("must be at least 1")
        return value

    @field_validator("dropout")
    @classmethod
    def _probability(cls, value: float | str) -> float | str:
        if not isinstance(value, str) and not 0 <= value < 1:
            raise ValueError("must be in [0, 1) or 'model'")
        return value


# Settings that came after the first release, at their defaults: records of that release lack them.
ADDED_SETTINGS = later_defaults("run", Settings)
