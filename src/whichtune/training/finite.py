"""Whether training still has numbers: a loss, logits or weights that are not finite end a run, with a reason.

What is computed from them would be a figure like any other: the class of NaN logits is 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from whichtune.errors import DivergedError, NotFiniteError
from whichtune.wording import plural

if TYPE_CHECKING:
    import numpy as np
    import torch

    from whichtune.study.spec import RunSpec

# On a GPU, where looking at a number waits for it, steps are looked at so many at a time.
STEPS_AT_A_TIME = 25
# In fp16 the gradient scaler leaves out steps that overflow: so many in a row are no accident.
MOST_OVERFLOWS = 10


def finite_rows(values: np.ndarray, split: str, what: str = "logits") -> np.ndarray:
    """`values` (n, ...) of a split's texts as they are. Raises NotFiniteError where some are NaN or infinite."""
    import numpy as np

    broken = int((~np.isfinite(values.reshape(len(values), -1))).any(axis=1).sum())
    if broken:
        raise NotFiniteError(f"the {what} of {plural(broken, f'{split} text')} of {len(values):,} are not finite")
    return values


def diverged(spec: RunSpec, step: int, what: str) -> DivergedError:
    """The reason of a run that ends at `step`; step 0 is before training, where no learning rate is to blame."""
    if step == 0:
        cure = "use precision float32" if spec.precision != "float32" else "the model cannot be used on these texts"
        return DivergedError(f"Without training {what}: {cure}.")
    lower = "lower the learning rate" + (f" ({spec.learning_rate:g})" if spec.learning_rate else "")
    other = ", or use precision bf16 or float32" if spec.precision == "fp16" else ""
    return DivergedError(f"Diverged at step {step:,}: {what}; {lower}{other}.")


@contextmanager
def told_with_step(spec: RunSpec, step: int) -> Iterator[None]:
    """Inside, what is not finite ends the run as diverged at `step`."""
    try:
        yield
    except NotFiniteError as error:
        raise diverged(spec, step, str(error)) from error


class LossWatch:
    """Is shown the loss of every step, and looks at them when told to."""

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        self._unseen: list[tuple[int, torch.Tensor]] = []
        self.broken = 0  # in a row

    def see(self, step: int, loss: torch.Tensor) -> None:
        self._unseen.append((step, loss))

    def check(self) -> None:
        """Raise DivergedError for the first step whose loss was no number."""
        import torch

        if not self._unseen:
            return
        steps, losses = zip(*self._unseen, strict=True)
        self._unseen = []
        allowed = MOST_OVERFLOWS if self.spec.precision == "fp16" else 0
        for step, loss in zip(steps, torch.stack(losses).tolist(), strict=True):
            self.broken = 0 if abs(loss) < float("inf") else self.broken + 1
            if self.broken > allowed:
                raise diverged(self.spec, step, f"the loss is {loss}")


def check_weights(model: torch.nn.Module) -> None:
    """Raise NotFiniteError for the first trained weight that is NaN or infinite."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and not bool(parameter.isfinite().all()):
            raise NotFiniteError(f"the weights of {name} are not finite")
