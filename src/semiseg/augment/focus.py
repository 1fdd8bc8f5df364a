"""Class-aware sampling: some crops of labeled images are centered on rare classes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semiseg.core.rng import Key


class Focus(NamedTuple):
    """Draws a class of the mask, and a pixel of it as the center of the crop.

    Attributes:
        probability: the share of the crops with such a center.
        weights: the weight of each class in the draw among the classes of the mask; 0 for never.
    """

    probability: float
    weights: tuple[float, ...]

    def draw(self, key: Key, mask: NDArray[np.uint8]) -> tuple[float, float] | None:
        """Draw the center of a crop.

        Args:
            key: the key of the draw.
            mask: `(H, W)` class indices, 255 where ignored.

        Returns:
            The center as shares of the width and the height, from 0 to 1; None for a crop that
            stays where it is.
        """
        rng = key.numpy()
        if rng.uniform() >= self.probability:
            return None
        present = np.bincount(mask.ravel(), minlength=len(self.weights))[: len(self.weights)] > 0
        weights = np.asarray(self.weights) * present
        if not weights.any():
            return None
        chosen_class = rng.choice(len(weights), p=weights / weights.sum())
        pixels = np.flatnonzero(mask == chosen_class)
        y, x = divmod(int(pixels[rng.integers(len(pixels))]), mask.shape[1])
        return (x + 0.5) / mask.shape[1], (y + 0.5) / mask.shape[0]
