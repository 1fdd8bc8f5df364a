"""Views of an image: weak (geometry), strong (photometry), mixed (CutMix)."""
