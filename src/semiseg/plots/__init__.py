"""Pictures and curves: one palette, one legend, one overlay, one way to draw curves."""
