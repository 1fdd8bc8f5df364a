"""Scores and whole-image inference."""
