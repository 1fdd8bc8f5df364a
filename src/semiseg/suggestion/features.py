"""The doubt, the disagreement and the encoder features of images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
import torch

from semiseg.core.console import progress
from semiseg.core.errors import DataError
from semiseg.data.formats.band_image import AnyImage
from semiseg.data.read_ahead import read_ahead
from semiseg.inference.sources import read_or_error
from semiseg.inference.torch_model import Model
from semiseg.suggestion.ranking import Candidate, Features, Suggestion


class Inspection(NamedTuple):
    """What a model sees in an image.

    Attributes:
        features: the mean features of the encoder, `(D,)`.
        doubt: the mean of 1 - confidence over the pixels.
        disagreement: the share of the pixels whose nearest prototype has another class than the
            mask; None for a model without prototypes.
    """

    features: Features
    doubt: float
    disagreement: float | None


class Inspector:
    """Segments images and keeps the mean features of the encoder, while its block runs.

    Args:
        model: the trained model.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._captured: list[Features] = []

    def __call__(self, image: AnyImage) -> Inspection:
        """Segment an image.

        Raises:
            DataError: the image has another number of channels than those of the training.
        """
        self._captured.clear()
        prediction = self._model.predict(image, scale="fit")
        doubt = float(1 - prediction.confidence.mean())
        disagreement = None
        if prediction.nearest is not None:
            disagreement = float((prediction.nearest != prediction.mask).mean())
        features = np.mean(self._captured, axis=0)  # over the windows of a large image
        return Inspection(features, doubt, disagreement)

    @property
    def width(self) -> int:
        """The number of features of an image."""
        network = self._model.network
        side = 2 * network.stride
        self._captured.clear()
        with torch.inference_mode():
            network.encode(
                torch.zeros(1, network.spec.channels, side, side, device=self._model.device)
            )
        return len(self._captured[0])

    def __enter__(self) -> Self:
        captured = self._captured
        self._handle = self._model.network.encoder.register_forward_hook(
            lambda _module, _inputs, maps: captured.append(maps[-1][0].mean((1, 2)).cpu().numpy())
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._handle.remove()


def inspect_images(
    model: Model, images: Mapping[str, Path]
) -> tuple[list[Candidate], list[DataError]]:
    """Segment images and keep the mean features of the encoder.

    Args:
        model: the trained model.
        images: the image files, by the name of their files in the output folder.

    Returns:
        The images that could be read, and the errors of the others.
    """
    candidates: list[Candidate] = []
    errors: list[DataError] = []
    contents = read_ahead(lambda file: read_or_error(file, model.reading), images.values())
    with progress("suggest") as bar, Inspector(model) as inspect:
        bar.update(total=len(images))
        for count, ((name, file), image) in enumerate(
            zip(images.items(), contents, strict=True), 1
        ):
            bar.update(completed=count)
            if isinstance(image, DataError):
                errors.append(image)
                continue
            features, doubt, disagreement = inspect(image)
            suggestion = Suggestion(name, file, 0.0, doubt, disagreement, 1.0)
            candidates.append(Candidate(suggestion, features))
    return candidates, errors
