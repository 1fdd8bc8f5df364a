"""Large rasters as tiles: which windows, with which masks, and which of them are held out."""
