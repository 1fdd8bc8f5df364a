"""The names of the files by which a run or a comparison is known; importing them needs no torch."""

CONFIG = "config.yaml"
"""The settings of a run, which each run folder has from its beginning."""

SCORES = "scores.json"
"""The scores of a finished run."""

METRICS = "metrics.csv"
"""Losses and scores by step, of a run or of a stage."""

LEFT_OUT = "split/unreadable.txt"
"""The names of the images without masks that could not be read when a run began, if any."""

COMPARISON = "comparison.json"
"""The result of a comparison with at least one finished run."""

REPORT = "report.html"
"""The report of a run or a comparison, and before it the page of the training."""
