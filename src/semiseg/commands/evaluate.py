"""`evaluate`: the scores of a trained model on one split of a data folder."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from semiseg.commands._public import command
from semiseg.commands.settings.runs import EvaluateSettings
from semiseg.config.settings import AUTO
from semiseg.core.console import track
from semiseg.core.errors import RunError
from semiseg.core.reading import AS_STORED
from semiseg.core.run_names import SCORES
from semiseg.core.scores import read_scores
from semiseg.core.text import duration, percent, plural, table
from semiseg.core.types import NOTHING_SAID, Sample
from semiseg.data.classes.labels import read_labels
from semiseg.data.dataset_file import read_dataset_file
from semiseg.data.formats.band_image import AnyImage
from semiseg.data.formats.images import read_image
from semiseg.data.formats.raster_windows import file_of
from semiseg.data.image_lists import list_hash
from semiseg.data.read_ahead import read_ahead
from semiseg.data.tree import Tree
from semiseg.evaluation.beside_published import PublishedTable, beside_published
from semiseg.evaluation.calibration import Reliability, ReliabilitySummary
from semiseg.evaluation.score_masks import MaskCounter, ScoredMasks
from semiseg.inference.bands import check_bands_of, reading_like
from semiseg.inference.load import check_order, load
from semiseg.inference.predictor import Predictor, Scaled
from semiseg.inference.scale import choose_factors, explain
from semiseg.training.run_data import (
    arrangement_of,
    config_of,
    data_of,
    listed_samples,
    scored_samples,
)


@dataclass(frozen=True, kw_only=True)
class Evaluation(ScoredMasks):
    """The scores of a model on one split; those of its masks are described in `ScoredMasks`.

    Attributes:
        reliability: for `confidence`, and for `similarity` if the model has prototypes, the
            calibration error and the accuracy as doubtful pixels are left out (see
            `Calibration.summary`); then also the `coverage` and the `accuracy` where both `agree`.
        split: the split, or the file that lists the images.
        hash: the hash of the names of its images.
        published: published scores beside this one, if these are the images of `val` that the run
            was validated on, and semiseg knows such scores; else None.
        device: where the model ran: `cpu`, `cuda` or `mps`.
        seconds: the time to read, segment and score the images, without loading the model.
        images_per_second: how many images that makes in a second.
    """

    reliability: ReliabilitySummary
    split: str
    hash: str
    device: str = field(compare=False)
    seconds: float = field(compare=False)
    images_per_second: float = field(compare=False)
    published: PublishedTable | None = None

    def text(self) -> str:
        """The scores of the classes, the mean IoU, and how reliable the confidence is."""
        mean = f"mIoU {percent(self.miou)} % on {self.images} images of {self.split}"
        unscored = [name for name, one in self.per_class.items() if one.iou is None]
        if unscored and len(unscored) < len(self.per_class):
            mean += f", without {', '.join(unscored)}, of which no mask there holds a pixel"
        if self.split == "train":
            mean += "; the model was trained on some of these images, so the scores are too high"
        parts = [f"{self.class_table()}\n{mean}", self.shapes.text(), self._reliability()]
        if self.published is not None:
            parts.insert(1, self.published.text())
        return "\n\n".join([*parts, self._speed()])

    def _reliability(self) -> str:
        """The accuracy as doubtful pixels are left out, and the calibration errors."""
        rows = [
            [percent(point["coverage"]), percent(point["accuracy"]), f"{point['from']:.3f}"]
            for point in self.reliability["confidence"]["kept"]
        ]
        if agree := self.reliability.get("agree"):
            rows.append([percent(agree["coverage"]), percent(agree["accuracy"]), "labels agree"])
        errors = [f"confidence {percent(self.reliability['confidence']['ece'])} %"]
        if similarity := self.reliability.get("similarity"):
            errors.append(f"nearest prototype {percent(similarity['ece'])} %")
        head = ["pixels kept, %", "accuracy, %", "confidence from"]
        return f"{table(head, rows)}\ncalibration error: {', '.join(errors)}"

    def _speed(self) -> str:
        """How long it took, and where."""
        took = f"{self.seconds:.1f} s" if self.seconds < 10 else duration(self.seconds)
        return (
            f"{plural(self.images, 'image')} in {took} on {self.device}: "
            f"{self.images_per_second:.3g} images per second, with reading and scoring"
        )


@command(EvaluateSettings)
def evaluate(settings: EvaluateSettings) -> Evaluation:
    """Score a trained model on all masks of one split or list, at the size of the images.

    Returns:
        The scores.

    Raises:
        RunError: the model cannot be read.
        ConfigError: there is no such list.
        DataError: the list names an image that has no mask; the split has no masks, or they do
            not fit the classes of the model or the images.
    """
    check_order("evaluate", settings.run, settings.data)
    model = load(settings.run, settings.accelerator, settings.threads)
    dataset = None if settings.dataset == AUTO else settings.dataset
    flags = settings.arrangement
    if flags == NOTHING_SAID:
        flags = arrangement_of(settings.run, settings.data)
    if settings.listed is None:
        samples = scored_samples(settings.run, settings.data, settings.split, dataset, flags)
    else:
        samples = listed_samples(settings.listed, settings.data, dataset, flags)
    _read_bands(model, settings, samples)
    jobs = choose_factors([sample.image for sample in samples], model.metadata, settings.scale)
    for job in jobs:
        if job.problem:
            raise job.problem
    explain(settings.scale, model.metadata, jobs)
    started = time.perf_counter()
    counter, reliability = _count(model, samples, [job.factor for job in jobs])
    seconds = time.perf_counter() - started
    result = counter.scores()
    return Evaluation(
        miou=result.miou,
        accuracy=result.accuracy,
        per_class=result.per_class,
        shapes=result.shapes,
        images=result.images,
        reliability=reliability.summary(),
        split=settings.split if settings.listed is None else str(settings.listed),
        hash=list_hash(samples),
        published=_published(settings.run, list_hash(samples), result.miou),
        device=model.device,
        seconds=seconds,
        images_per_second=result.images / seconds,
    )


def _published(run: Path, images: str, miou: float | None) -> PublishedTable | None:
    """Published scores beside that of a run on its own `val`; None if there are none.

    Args:
        run: the run folder, or a model elsewhere, whose training is unknown.
        images: the hash of the names of the scored images.
        miou: the mean IoU in percent.
    """
    config = config_of(run)
    if config is None or not (run / SCORES).is_file():
        return None
    try:
        scores = read_scores(run / SCORES)
    except RunError:  # the scores of this evaluation need no others
        return None
    return beside_published(config, scores, miou) if images == scores.split.val else None


def _read_bands(model: Predictor, settings: EvaluateSettings, samples: Sequence[Sample]) -> None:
    """Read the bands that the data folder names, and refuse images whose bands are unclear.

    The rule is that of `predict`. In the data folder of the training, the training chose the bands.

    Raises:
        ConfigError: the data folder names another number of bands than the model has.
        DataError: the bands lie in another order, or there are more than the model has.
    """
    own_folder = data_of(settings.run)
    if own_folder is not None and own_folder.resolve() == settings.data.resolve():
        return
    file = read_dataset_file(Tree(settings.data))
    named = file.named(settings.arrangement, AS_STORED)
    own = replace(AS_STORED, bands=file.complete(AS_STORED, settings.arrangement).bands)
    trained, files = model.reading, list(dict.fromkeys(file_of(s.image) for s in samples))
    reading = reading_like(trained, own, named, files)
    model.read_as(reading)
    for image in files:
        check_bands_of(image, reading, trained, own, named)


def _count(
    model: Predictor, samples: list[Sample], factors: Sequence[float | None]
) -> tuple[MaskCounter, Reliability]:
    """Segment the images. Count the pixels and shapes of the masks, and pixels by confidence."""

    def read(sample: Sample) -> tuple[AnyImage, Image.Image]:
        labels = read_labels(sample, model.classes, model.reading)
        return read_image(sample.image, model.reading), labels

    def images() -> Iterator[Scaled]:
        for (image, mask), factor in zip(read_ahead(read, samples), factors, strict=True):
            masks.append(mask)
            yield Scaled(image, factor)

    masks: deque[Image.Image] = deque()
    counter, reliability = MaskCounter(model.classes.names), Reliability(model.two_spaces)
    for prediction in track(model.stream(images()), "evaluate", len(samples)):
        truth = np.array(masks.popleft())
        counter.add(prediction.mask, truth)
        reliability.add(prediction, truth)
    return counter, reliability
