"""A model as a function of CVAT's automatic annotation.

```
cvat-cli task auto-annotate TASK --function-module semiseg.inference.cvat_function \
    -p model=str:RUN
```
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.config.settings import AUTO
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.classes.tool_labels import background_of, tool_labels
from semiseg.data.formats.connected_regions import connected_regions
from semiseg.data.formats.outlines import Outline, outlines
from semiseg.data.formats.run_length import pixels_to_runs
from semiseg.inference.load import load
from semiseg.inference.predictor import Predictor


class Context(Protocol):
    """What CVAT says about an image.

    Attributes:
        conf_threshold: the least confidence of a pixel, from 0 to 1; None for all pixels.
        conv_mask_to_poly: whether the shapes are polygons and no masks.
    """

    conf_threshold: float | None
    conv_mask_to_poly: bool


def create(model: str, accelerator: str = AUTO) -> CvatFunction:
    """Load a model for CVAT, which calls this function by its name.

    Args:
        model: the run folder, or an exported model.
        accelerator: `auto`, `cpu`, `gpu` or `mps`.

    Raises:
        RunError: the model cannot be read.
        ConfigError: this machine has no such accelerator.
    """
    return CvatFunction(load(model, accelerator))


class CvatFunction:
    """A detection function as the package `cvat-sdk` defines it.

    Args:
        model: the model that segments the images.
    """

    def __init__(self, model: Predictor) -> None:
        self._api: Any = importlib.import_module("cvat_sdk.auto_annotation")  # CVAT's own package
        self._model = model
        self._background = background_of(model.classes)
        self._labels = {
            index: name
            for index, (name, _) in tool_labels(model.classes).items()
            if index != IGNORE_INDEX
        }

    @property
    def spec(self) -> Any:  # noqa: ANN401 - a class of cvat-sdk
        """The labels that the function gives: all classes but the background."""
        labels = [
            self._api.label_spec(name, index, type="mask") for index, name in self._labels.items()
        ]
        return self._api.DetectionFunctionSpec(labels=labels)

    def detect(self, context: Context, image: Image.Image) -> list[Any]:
        """Segment an image.

        Args:
            context: what CVAT asks for.
            image: the image.

        Returns:
            A mask for each connected region, or a polygon from the largest to the smallest. A
            polygon has no holes, and regions too small for one are left out.
        """
        prediction = self._model.predict(image)
        mask = prediction.mask
        if context.conf_threshold is not None:
            is_sure = prediction.confidence >= context.conf_threshold
            mask = np.where(is_sure, mask, np.uint8(IGNORE_INDEX))
        shapes = self._polygons(mask) if context.conv_mask_to_poly else self._masks(mask)
        return list(shapes)

    def _masks(self, mask: NDArray[np.uint8]) -> Iterator[Any]:
        for label, (left, top, inside) in connected_regions(mask, self._background):
            if label in self._labels:
                height, width = inside.shape
                box = [left, top, left + width - 1, top + height - 1]
                yield self._api.mask(label, [*pixels_to_runs(inside), *box])

    def _polygons(self, mask: NDArray[np.uint8]) -> Iterator[Any]:
        for region in outlines(mask, self._background, along_edges=True):
            if isinstance(region, Outline) and region.label in self._labels:
                # CVAT's 0 is the edge of the image, and no center of a pixel.
                yield self._api.polygon(region.label, (region.points + 0.5).ravel().tolist())
