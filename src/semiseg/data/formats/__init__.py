"""File formats of images and masks."""
