"""Saved rows of a study behind an HTTP address: answers, a page to try them, how often they were right."""
