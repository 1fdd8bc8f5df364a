"""What the masks of a data set mean together: palettes, soft edges, instances, orientation."""
