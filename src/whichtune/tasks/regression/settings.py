"""Settings of regression: what its loss is."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class RegressionSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    regression_loss: Literal["mse", "mae", "huber"] = Field(
        "mse",
        description="what training minimises, on targets in standard deviations from their training mean: squared "
        "errors, absolute ones, or Huber's, squared up to `huber_delta` and absolute above",
    )
    huber_delta: float = Field(
        1.0, gt=0, description="where Huber's loss turns from squared to absolute, in standard deviations"
    )
