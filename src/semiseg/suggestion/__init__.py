"""Choose the images that are worth labeling next."""
