"""Lower precision of an export: the model is written, and its loss and its speed are measured."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from semiseg.core.console import track
from semiseg.core.errors import ConfigError
from semiseg.core.text import percent, plural
from semiseg.core.types import Sample
from semiseg.data.classes.labels import read_labels
from semiseg.data.formats.images import read_image
from semiseg.evaluation.metrics import confusion_matrix, scores
from semiseg.inference.onnx_model import OnnxModel
from semiseg.inference.onnx_precision import Reduced, write_fp16, write_int8
from semiseg.inference.views import to_array
from semiseg.training.run_data import samples_of

logger = logging.getLogger(__name__)

_MAX_CALIBRATION = 32
"""Images whose values give the ranges of the integers; more hardly change the ranges."""
_MAX_MEASURED = 100
"""Validation images on which both models are compared."""
_FEW = 20
"""With fewer images, chance decides most of the difference of two mean IoUs."""


class PrecisionImages(NamedTuple):
    """What a lower precision needs.

    Attributes:
        precision: the precision.
        labeled: images for the ranges of integers. None of `val`, on which the loss is measured.
        val: images with masks.
    """

    precision: Reduced
    labeled: Sequence[Sample]
    val: Sequence[Sample]


class Measured(NamedTuple):
    """How good, fast and large a model is.

    Attributes:
        miou: the mean IoU in percent; None if no class has a pixel.
        seconds: the mean time for an image, with its scaling.
        size: the bytes of the file.
    """

    miou: float | None
    seconds: float
    size: int


class PrecisionCost(NamedTuple):
    """A model in lower precision beside the same one in full precision.

    Attributes:
        precision: the precision.
        reduced: the model in this precision.
        full: the model in full precision.
        images: the number of validation images on which both were measured, on this CPU.
    """

    precision: Reduced
    reduced: Measured
    full: Measured
    images: int

    def text(self) -> str:
        """Both models side by side, and whether the lower precision pays here."""
        small, full = self.reduced, self.full
        loss = ""
        if small.miou is not None and full.miou is not None:
            loss = f" ({round(small.miou - full.miou, 1) + 0.0:+.1f} points)"
        few = ""
        if loss and self.images < _FEW:
            few = f" (with fewer than {_FEW}, the difference is mostly chance)"
        text = (
            f"mIoU {percent(small.miou)} % with {self.precision} and {percent(full.miou)} % with "
            f"fp32{loss} on {plural(self.images, 'image')} of val{few}; "
            f"{small.seconds * 1e3:.0f} ms and {full.seconds * 1e3:.0f} ms an image on this "
            f"CPU; {small.size / 1e6:.1f} MB and {full.size / 1e6:.1f} MB"
        )
        if small.seconds >= full.seconds:
            others = "GPUs do" if self.precision == "fp16" else "CPUs with VNNI or other chips do"
            text += (
                f". This CPU does not compute {self.precision} faster than fp32; {others}. Here, "
                "only the file is smaller"
            )
        return text


def images_of(run: Path, data: Path | None, precision: Reduced) -> PrecisionImages:
    """The images of a run that a lower precision needs.

    Args:
        run: the run folder.
        data: the data folder, if it was moved since the training.
        precision: the precision.

    Raises:
        ConfigError: they are gone.
    """
    labeled, val = samples_of(run, data)
    if not labeled or not val:
        raise ConfigError(
            f"--precision {precision} needs the labeled and the validation images of the run, to "
            f"measure what it costs. They are not where {run} was trained: name their folder with "
            "--data, or leave --precision out."
        )
    return PrecisionImages(precision, labeled, val)


def reduce_precision(source: Path, target: Path, images: PrecisionImages) -> PrecisionCost:
    """Write an ONNX model in lower precision, and compare it with the one in full precision.

    Args:
        source: the model in full precision.
        target: the file to write.
        images: those of the run.

    Raises:
        ConfigError: the network cannot be written in this precision.
        DataError: an image or a mask cannot be read.
        RunError: onnxruntime cannot run the model.
    """
    full = OnnxModel(source, "cpu")
    logger.info("writing it in %s", images.precision)
    if images.precision == "fp16":
        write_fp16(source, target)
    else:
        chosen = images.labeled[:_MAX_CALIBRATION]
        pictures = (read_image(sample.image, full.reading) for sample in chosen)
        write_int8(source, target, (to_array(one, full.segment.size) for one in pictures))
    val = images.val[:_MAX_MEASURED]
    logger.info("measuring %s and fp32 on %s of val", images.precision, plural(len(val), "image"))
    reduced, before = _measure([OnnxModel(target, "cpu"), full], val)
    return PrecisionCost(
        images.precision,
        Measured(*reduced, target.stat().st_size),
        Measured(*before, source.stat().st_size),
        len(val),
    )


def _measure(
    models: Sequence[OnnxModel], samples: Sequence[Sample]
) -> list[tuple[float | None, float]]:
    """The mean IoU and the seconds for an image of each model, which take turns."""
    classes, reading = models[0].classes, models[0].reading
    counts = [torch.zeros(len(classes), len(classes), dtype=torch.long) for _ in models]
    seconds = [0.0] * len(models)
    first = read_image(samples[0].image, reading)
    for model in models:
        model.predict(first)  # the first image takes longer: onnxruntime plans its memory
    for sample in track(samples, "measure", len(samples)):
        image = read_image(sample.image, reading)
        truth = torch.from_numpy(np.array(read_labels(sample, classes, reading), np.int64))
        for i, model in enumerate(models):
            start = time.perf_counter()
            mask = model.predict(image).mask
            seconds[i] += time.perf_counter() - start
            predicted = torch.from_numpy(mask.astype(np.int64))
            counts[i] += confusion_matrix(predicted, truth, len(classes))
    return [
        (scores(count, classes.names)["miou"], total / len(samples))
        for count, total in zip(counts, seconds, strict=True)
    ]
