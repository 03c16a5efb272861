"""Balanced accuracy: the mean over classes of the share of their texts that are found."""

import numpy as np

from whichtune.metrics import Metric, add_metric


def of_confusion(counts):
    """Counts `(..., C, C)` to `(...)`; classes without a text are left out of the mean."""
    right, size = np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1)
    recall = np.divide(right, size, out=np.full(right.shape, np.nan), where=size > 0)
    return np.nanmean(recall, axis=-1)


add_metric(Metric("mean_recall", "mean recall", "classes", of_confusion=of_confusion))
