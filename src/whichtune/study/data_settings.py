"""Where a study's examples come from and how they are split."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from whichtune.study.fields import column_names
from whichtune.study.frozen import Frozen
from whichtune.study.identity import later_defaults


class DataSettings(Frozen):
    """Where the examples come from and how they are split."""

    source: str = Field(
        "messages",
        description="a file (CSV, TSV, JSONL, JSON, Parquet, Excel, also .gz; for tagging one of a word a line, too), "
        "a folder of train/validation/test files, one laid out as on the Hub "
        "(data/train-00000-of-00001.parquet) or one that `datasets.save_to_disk` wrote, a named set, NAME=FILE (a "
        "named set from a local copy), or a dataset id of the "
        "Hugging Face Hub (ID:CONFIGURATION where it has several)",
    )
    revision: str | None = Field(None, description="revision of a Hub dataset")
    text_column: str | None = Field(
        None,
        description="column of the texts; default: the first usual name. Several, for texts of several fields: "
        "`premise,hypothesis` (a name with a comma in it stands in double quotes)",
    )
    label_column: str | None = Field(
        None,
        description="column of the labels or numbers; default: the first usual name. Several, for multilabel, one of "
        "zeros and ones for each label: `angry,late,rude`",
    )
    label_separator: str | None = Field(
        None,
        description="multilabel: what stands between the labels of one text, such as `;`; null: labels are lists, or "
        "in columns of their own",
    )
    ordinal: tuple[str, ...] | None = Field(
        None,
        description="regression: the labels are ordered classes, in this order, such as `[bad, fair, good]`: they are "
        "read as the numbers 0, 1, 2, and a foretold number is rounded to one of them",
    )
    target_column: str | None = Field(
        None, description="column of the target texts (text_to_text, summarisation); default: the first usual name"
    )
    separator: str | None = Field(
        None,
        description="what stands between the columns of a CSV or TSV file, one character or `tab`; null: as the file's "
        "name says, or what its header is separated by",
    )
    sheet: str | None = Field(
        None, description="the sheet of an Excel workbook that holds the rows; null: the only one that has any"
    )
    records: str | None = Field(
        None,
        description="the key under which a JSON file that is one object has its list of rows, such as `data` or "
        "`result.rows`; null: the only list of objects in it",
    )
    split: Literal["auto", "given", "stratified", "reference"] = Field(
        "auto",
        description="`given` keeps the source's own splits, `stratified` draws them (class shares kept where there "
        "are classes, whole groups or times where such a column is named), `reference` is the balanced "
        "70/10/20 split of the published SMS study; `auto`: given if there are splits, a named set's own rule, "
        "else stratified",
    )
    split_column: str | None = Field(None, description="column that names each row's split")
    group_column: str | None = Field(
        None,
        description="column that names each row's group, such as a patient or a thread: no group stands in two "
        "splits, and sizes and class shares are kept as near as whole groups allow",
    )
    time_column: str | None = Field(
        None,
        description="column of numbers or dates: the latest rows are for test, those before for validation, the "
        "earliest for train",
    )
    split_seed: int = Field(
        0, ge=0, description="seed of the split that is drawn; changed by `--seeds` only with `resplit` or `folds`"
    )
    resplit: bool = Field(
        False,
        description="a new split for each seed (`split_seed` plus the seed), the baselines' included: what is shown "
        "then holds for other training texts, too",
    )
    folds: int | None = Field(
        None,
        ge=2,
        le=100,
        description="cross-validation: seed s tests on fold s of so many, seeds beyond on the folds of another draw; "
        "`test_fraction` has no say. Without `seeds` one for each fold",
    )
    fold: int | None = Field(None, ge=0, description="the one fold of `folds` to test on; null: by the seed")
    validation_fraction: float = Field(0.1, gt=0, lt=1, description="share of the rows for validation")
    test_fraction: float = Field(0.2, gt=0, lt=1, description="share of the rows for test")
    train_limit: int | None = Field(None, ge=2, description="use only so many training examples, class shares kept")
    train_size: int | None = Field(
        None,
        ge=2,
        description="train on so many examples, the first of an order drawn once with the classes' shares kept, so "
        "that a smaller number is part of every larger one; test and validation stay as they are",
    )
    validation_limit: int | None = Field(None, ge=2, description="use only so many validation examples")
    test_limit: int | None = Field(None, ge=2, description="the same for test")
    duplicates: Literal["keep", "drop"] = Field(
        "keep", description="`drop` leaves out validation and test texts that stand verbatim in train"
    )

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The columns that `text_column` names: none, one, or those of a text's fields."""
        return column_names(self.text_column)

    @field_validator("text_column", "label_column", mode="before")
    @classmethod
    def _several(cls, given: object, info: ValidationInfo) -> object:
        """Several names as one text. One label column may have a comma in its name."""
        value = given
        if isinstance(given, (list, tuple)) and given and all(isinstance(name, str) for name in given):
            value = ",".join(f'"{name}"' if "," in name else name for name in given)
        if isinstance(value, str) and value and (info.field_name == "text_column" or value is not given):
            names = column_names(value)
            if not all(names):
                raise ValueError("name a column between all commas")
            if len(set(names)) < len(names):
                raise ValueError("name each column once")
        return value

    @field_validator("ordinal", mode="before")
    @classmethod
    def _classes_in_order(cls, value: object) -> object:
        """Names as they stand in data, numbers among them."""
        if not isinstance(value, (list, tuple)):
            return value
        names = [str(int(each)) if isinstance(each, float) and each.is_integer() else str(each) for each in value]
        if len(names) < 2 or len(set(names)) < len(names):
            raise ValueError("must be two classes or more, from the lowest to the highest, each once")
        return names

    @field_validator("label_separator")
    @classmethod
    def _some_sign(cls, value: str | None) -> str | None:
        if value == "":
            raise ValueError("must be one sign or more, such as ';'")
        return {"tab": "\t", "\\t": "\t"}.get(value, value) if value else value

    @field_validator("separator")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        value = {"tab": "\t", "\\t": "\t"}.get(value, value) if value else value
        if value is not None and (len(value) != 1 or value in '"\r\n' or value.isalnum()):
            raise ValueError("must be one character that is no letter, digit or quote, such as ';', or tab")
        return value

    @model_validator(mode="after")
    def _leaves_training_data(self) -> DataSettings:
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction and test_fraction leave nothing to train on")
        if self.fold is not None and (self.folds is None or self.fold >= self.folds):
            raise ValueError("fold must be below folds: the first of 5 folds is 0, the last 4")
        if self.resplit and self.folds is not None:
            raise ValueError("resplit and folds are two ways to split by the seed: set one of them")
        if (self.resplit or self.folds is not None) and self.split in ("given", "reference"):
            raise ValueError(f"resplit and folds draw splits, which split {self.split} does not: use split stratified")
        if (self.resplit or self.folds is not None) and self.time_column is not None:
            raise ValueError("resplit and folds do not go with time_column, by which there is one split: leave it out")
        if self.folds is not None and self.validation_fraction + 1 / self.folds >= 1:
            raise ValueError("validation_fraction and a fold leave nothing to train on: lower it, or set more folds")
        if self.group_column is not None and self.time_column is not None:
            raise ValueError("group_column and time_column cannot both hold: name one of them")
        if self.split == "reference" and (self.group_column is not None or self.time_column is not None):
            raise ValueError("the reference split knows no group_column or time_column: use split stratified")
        return self

    @property
    def varies(self) -> bool:
        """Whether each seed has a split of its own."""
        return self.resplit or (self.folds is not None and self.fold is None)

    def at_seed(self, seed: int | None) -> DataSettings:
        """The data of a run with this seed: those of one split."""
        if not self.varies or seed is None:
            return self
        if self.folds is None:
            return self.model_copy(update={"resplit": False, "split_seed": self.split_seed + seed})
        draw, fold = divmod(seed, self.folds)
        return self.model_copy(update={"fold": fold, "split_seed": self.split_seed + draw})


# The same of where the examples come from.
ADDED_DATA_SETTINGS = later_defaults("data", DataSettings)
