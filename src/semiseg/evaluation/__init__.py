"""Scores, calibration, the quality of pseudo-labels, logit adjustment, the choice of a model."""
