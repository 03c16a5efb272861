"""What runs are judged by. Importing this loads no numpy."""

from whichtune.metrics.table import (
    METRICS,
    Metric,
    Split,
    add_metric,
    metric_title,
    metrics_of,
    possible_metrics,
    recorded_on_request,
)

__all__ = [
    "METRICS",
    "Metric",
    "Split",
    "add_metric",
    "metric_title",
    "metrics_of",
    "possible_metrics",
    "recorded_on_request",
]
