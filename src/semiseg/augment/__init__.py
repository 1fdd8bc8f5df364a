"""Augmentation: weak views (geometry), strong views (photometry) and CutMix."""
