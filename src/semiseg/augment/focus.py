"""Where to look in a labeled image, so that rare classes are seen often enough."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semiseg.core.rng import Key


class Focus(NamedTuple):
    """Centers some of the crops on pixels of drawn classes.

    Attributes:
        probability: the share of the crops that are centered so.
        weights: how likely each class is drawn, of those that the mask shows; 0 for never.
    """

    probability: float
    weights: tuple[float, ...]

    def draw(self, key: Key, mask: NDArray[np.uint8]) -> tuple[float, float] | None:
        """Draw a place.

        Args:
            key: the key of the draw.
            mask: `(H, W)` class indices, 255 where ignored.

        Returns:
            Shares of the width and of the height at which the crop's middle is to lie; None where
            the crop stays as it is.
        """
        rng = key.numpy()
        if rng.uniform() >= self.probability:
            return None
        shown = np.bincount(mask.ravel(), minlength=len(self.weights))[: len(self.weights)] > 0
        weights = np.asarray(self.weights) * shown
        if not weights.any():
            return None
        drawn = rng.choice(len(weights), p=weights / weights.sum())
        pixels = np.flatnonzero(mask == drawn)
        y, x = divmod(int(pixels[rng.integers(len(pixels))]), mask.shape[1])
        return (x + 0.5) / mask.shape[1], (y + 0.5) / mask.shape[0]
