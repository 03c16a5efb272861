"""Mean squares of the two-way table of differences, seeds by test examples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class MeanSquares:
    """The two-way table of differences `(..., S, E)`, one entry for each leading index."""

    mean: FloatArray
    seed: FloatArray
    example: FloatArray
    residual: FloatArray
    n_seeds: int
    n_examples: int


def mean_squares(differences: ArrayLike) -> MeanSquares:
    """Mean squares of `differences (..., S, E)`. One seed tells examples and nothing else: the other two are 0 then.

    Raises ValueError below 2 examples.
    """
    table = np.asarray(differences, dtype=np.float64)
    n_seeds, n_examples = table.shape[-2:]
    if n_seeds < 1 or n_examples < 2:
        raise ValueError("mean squares need at least one seed and two examples")
    mean = table.mean(axis=(-2, -1))
    by_seed, by_example = table.mean(axis=-1), table.mean(axis=-2)
    square_seed = n_examples * ((by_seed - mean[..., None]) ** 2).sum(axis=-1)
    square_example = n_seeds * ((by_example - mean[..., None]) ** 2).sum(axis=-1)
    square_total = (table**2).sum(axis=(-2, -1)) - n_seeds * n_examples * mean**2
    left = np.maximum(square_total - square_seed - square_example, 0.0)
    # Below rounding a sum of squares is zero: differences that are all alike must look alike.
    floor = 1e-12 * np.maximum(square_total, 1e-300)
    left = np.where(left <= floor, 0.0, left)
    square_seed = np.where(square_seed <= floor, 0.0, square_seed)
    return MeanSquares(
        mean,
        square_seed / max(n_seeds - 1, 1),
        square_example / (n_examples - 1),
        left / (max(n_seeds - 1, 1) * (n_examples - 1)),
        n_seeds,
        n_examples,
    )


def satterthwaite(squares: MeanSquares) -> tuple[FloatArray, FloatArray]:
    """Standard error and degrees of freedom by Satterthwaite (1946), for reference and the benchmark.

    The degrees of freedom are those of MS_seed + MS_example - MS_residual. Where that sum is not
    positive, the larger of MS_seed and MS_example takes its place.
    """
    degrees = (squares.n_seeds - 1, squares.n_examples - 1)
    total = squares.seed + squares.example - squares.residual
    total = np.where(total > 0, total, np.maximum(squares.seed, squares.example))
    spread = (
        squares.seed**2 / degrees[0] + squares.example**2 / degrees[1] + squares.residual**2 / (degrees[0] * degrees[1])
    )
    df = np.divide(total**2, spread, out=np.ones_like(total), where=spread > 0)
    return np.sqrt(total / (squares.n_seeds * squares.n_examples)), np.maximum(df, 1.0)
