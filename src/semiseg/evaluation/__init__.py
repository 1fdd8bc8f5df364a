"""Scores, calibration, the quality of pseudo-labels, and logit adjustment."""
