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
    return [*found, *duplicates_note(test)]


PAGES.register("regression")(TaskPage(test_notes=test_notes))
