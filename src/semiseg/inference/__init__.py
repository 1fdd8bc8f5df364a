"""Predict whole images with a trained model."""
