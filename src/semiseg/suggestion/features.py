"""The doubt, the disagreement and the encoder features of images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from semiseg.core.console import progress
from semiseg.core.errors import DataError
from semiseg.data.read_ahead import read_ahead
from semiseg.inference.sources import read_or_error
from semiseg.inference.torch_model import Model
from semiseg.suggestion.ranking import Candidate, Features, Suggestion


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
    captured: list[Features] = []
    handle = model.network.encoder.register_forward_hook(
        lambda _module, _inputs, maps: captured.append(maps[-1][0].mean((1, 2)).cpu().numpy())
    )
    candidates: list[Candidate] = []
    errors: list[DataError] = []
    contents = read_ahead(lambda file: read_or_error(file, model.reading), images.values())
    try:
        with progress("suggest") as bar:
            bar.update(total=len(images))
            for count, ((name, file), image) in enumerate(
                zip(images.items(), contents, strict=True), 1
            ):
                bar.update(completed=count)
                if isinstance(image, DataError):
                    errors.append(image)
                    continue
                captured.clear()
                prediction = model.predict(image, scale="fit")
                doubt = float(1 - prediction.confidence.mean())
                disagreement = None
                if prediction.nearest is not None:
                    disagreement = float((prediction.nearest != prediction.mask).mean())
                features = np.mean(captured, axis=0)  # over the windows of a large image
                suggestion = Suggestion(name, file, 0.0, doubt, disagreement, 1.0)
                candidates.append(Candidate(suggestion, features))
    finally:
        handle.remove()
    return candidates, errors
