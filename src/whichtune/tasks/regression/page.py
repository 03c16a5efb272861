"""What reports of regression have of their own. Loads no torch."""

from __future__ import annotations

from whichtune.records.record import AnyMetrics, NumberMetrics
from whichtune.report.sections import PAGES, TaskPage, duplicates_note
from whichtune.report.view import View
from whichtune.report.words import number


def test_notes(view: View, test: AnyMetrics) -> list[str]:
    """What the numbers are like, and what the figures of them are."""
    found = [f"The test split has {test.n} examples."]
    if isinstance(test, NumberMetrics):
        found.append(
            f"Their numbers have the mean {number(test.target_mean, 3)} and the standard deviation "
            f"{number(test.target_sd, 3)}; RMSE and MAE are in the same unit. R² is the share of their variance that "
            "is explained, below 0 for what is worse than their mean, and a point of it is a hundredth. The loss is "
            "the squared error in variances of the training numbers."
        )
    if classes := _ordered(view):
        named = ", ".join(f"{place} {name}" for place, name in enumerate(classes))
        found.append(
            f"The numbers are places among ordered classes ({named}): a foretold one is rounded to its class, and "
            "quadratic kappa, the accuracy and the MAE of rounded numbers are told beside the others."
        )
    return [*found, *duplicates_note(test)]


def _ordered(view: View) -> list[str]:
    data = view.done[0].spec.get("data") if view.done else None
    classes = data.get("ordinal") if isinstance(data, dict) else None
    return [str(name) for name in classes] if isinstance(classes, list) else []


PAGES.register("regression")(TaskPage(test_notes=test_notes))
