"""Labels by a model: the mean of its probabilities over scales and mirror images."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semiseg.augment.geometric import resize_nearest
from semiseg.augment.working_size import working_size
from semiseg.core.errors import ConfigError
from semiseg.core.files import file_sha256
from semiseg.core.reading import Reading
from semiseg.core.types import IGNORE_INDEX, Sample
from semiseg.data.formats.band_image import AnyImage
from semiseg.data.formats.images import read_image, read_valid
from semiseg.data.read_ahead import read_ahead
from semiseg.inference.load import load
from semiseg.inference.sliding import Segmenter
from semiseg.model.metadata import WEIGHTS_FILE
from semiseg.model.release import match_classes
from semiseg.training.labeling.second import SecondJudge
from semiseg.training.labeling.store import ImageLabels, Labeler, Source

SCALES = (1.0, 1.25)
"""The scales of the views, as factors on the working size of the model."""

logger = logging.getLogger(__name__)


def segmenter_labels(
    segment: Segmenter,
    samples: Iterable[Sample],
    *,
    size: int,
    reading: Reading,
    scales: Sequence[float] = SCALES,
    own_reading: Reading | None = None,
    table: NDArray[np.uint8] | None = None,
    second: SecondJudge | None = None,
) -> Iterator[ImageLabels]:
    """Label images with any model, one at a time.

    Args:
        segment: runs the model, such as `scenes.segmenter(network, size, tensors)` gives it.
        samples: the images.
        size: the short side of the labels in pixels: the working size of the training.
        reading: how the training reads the images; it says which pixels hold no data.
        scales: the scales of the views, as factors on the working size of the model.
        own_reading: how the model reads them, if otherwise.
        table: `(256,)`, the class index for each class of the model, 255 for none. By default the
            classes are the same.
        second: another network. The labels are then of the mean of the probabilities of both, and
            no representation space has a say.

    Yields:
        The labels in the order of the images.
    """
    own_reading = own_reading or reading

    def read(sample: Sample) -> tuple[Sample, AnyImage, NDArray[np.bool_] | None]:
        return sample, read_image(sample.image, own_reading), read_valid(sample.image, reading)

    for sample, image, valid in read_ahead(read, samples):
        target = working_size(image.size, size)
        other = None if second is None else second.probabilities(sample, image, target[::-1])
        prediction = segment.averaged(image, scales, target[::-1], other)
        label = prediction.mask if table is None else table[prediction.mask]
        if valid is not None:
            label = np.where(resize_nearest(valid, target), label, np.uint8(IGNORE_INDEX))
        nearest = prediction.nearest if second is None else None
        agreement = (prediction.mask if nearest is None else nearest) == prediction.mask
        yield ImageLabels(label, prediction.confidence, agreement)


def model_labeler(
    run: Path,
    names: Sequence[str],
    *,
    size: int,
    reading: Reading,
    accelerator: str,
    scales: Sequence[float] = SCALES,
    second: SecondJudge | None = None,
) -> tuple[Labeler, Source]:
    """A finished run, or an exported model, as what labels images.

    Args:
        run: the run folder or the exported model.
        names: the class names of the training. Classes are matched by name.
        size: the short side of the labels in pixels.
        reading: how the training reads the images.
        accelerator: the device, as `load` takes it.
        scales: the scales of the views, as factors on the working size of the model.
        second: another network with the same classes, see `segmenter_labels`.

    Raises:
        RunError: the model cannot be read.
        ConfigError: the model knows none of the classes.
    """
    predictor = load(run, accelerator)
    teacher_names = predictor.classes.names
    indices, teacher_indices = match_classes(names, teacher_names)
    if not len(indices):
        raise ConfigError(
            f"--teacher {run} knows none of the classes {', '.join(names)}: its classes are "
            f"{', '.join(teacher_names)}. Name the classes alike, or choose another teacher."
        )
    missing = [name for name in names if name not in teacher_names]
    if missing:
        logger.warning(
            "the teacher %s does not know the classes %s: no unlabeled pixel gets them",
            run,
            ", ".join(missing),
        )
    table = np.full(256, IGNORE_INDEX, dtype=np.uint8)
    table[teacher_indices.numpy()] = indices.numpy()
    file = run / WEIGHTS_FILE if run.is_dir() else run
    labeler = partial(
        segmenter_labels,
        predictor.segment,
        size=size,
        reading=reading,
        scales=scales,
        own_reading=predictor.reading,
        table=table,
        second=second,
    )
    details = {"classes": list(names), "working size": predictor.metadata.size}
    views = tuple((scale, mirrored) for scale in scales for mirrored in (0.0, 1.0))
    return labeler, Source(
        kind="model", sha256=file_sha256(file), size=size, views=views, details=details
    )
