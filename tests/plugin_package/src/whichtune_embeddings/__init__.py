"""What a package can add to whichtune: a way of fine-tuning, a metric, and an executor."""
