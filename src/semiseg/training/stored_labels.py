"""The stored labels of a run: they are made before the first step, in its folder `labels`."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from semiseg.augment.geometric import resize_nearest
from semiseg.config.methods import DistillSettings, StagedSettings
from semiseg.config.settings import decided
from semiseg.config.train import TrainConfig
from semiseg.core.errors import ConfigError, RunError
from semiseg.core.files import read_json, write_json
from semiseg.core.records import from_plain
from semiseg.core.rng import Key
from semiseg.core.text import percent, plural
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.classes.labels import read_labels
from semiseg.inference.load import is_model
from semiseg.training.data import TrainingData, choose_sample
from semiseg.training.labeling.calibration import count_pixels
from semiseg.training.labeling.model import model_labeler
from semiseg.training.labeling.outside import Pool, outside_labeler
from semiseg.training.labeling.store import Labeler, LabelStore, Source, label_pool

LABELS = "labels"
"""The folder of the store in the run folder."""
_IN_USE = "in_use.json"

OpenTeacher: TypeAlias = Callable[[], tuple[Labeler, Source]]
"""Gives what labels images."""

_FEW = 1.0  # percent of the pixels; with fewer used labels, a run hardly learns from them

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelsInUse:
    """The stored labels that the student learns, in a sample of images.

    Attributes:
        images: the number of images in the sample.
        used: the share of their pixels with a label that is used, in percent; None without images.
        masks: the number of images whose masks are hidden.
        right: the share of the used labels that agree with these masks, in percent; None without
            such labels.
    """

    images: int
    used: float | None
    masks: int
    right: float | None

    def describe(self) -> str:
        """How many labels are used and, where masks are only hidden, how many are right."""
        sentence = (
            f"the student learns the stored labels of {percent(self.used)} % of the pixels in a "
            f"sample of {plural(self.images, 'image')}"
        )
        if self.right is None:
            return sentence
        masks = plural(self.masks, "hidden mask")
        return f"{sentence}; {percent(self.right)} % of these agree with {masks}"

    def warning(self, config: TrainConfig) -> str:
        """That almost no labels are used, and what to do; empty if enough are.

        Args:
            config: the settings, as planned.
        """
        if self.used is None or self.used >= _FEW:
            return ""
        remedies = ["label more masks"]
        if isinstance(config.settings, StagedSettings):
            remedies.insert(0, "give stage 1 more steps (--steps, --stage-shares)")
        else:
            remedies.insert(0, "name a better --teacher")
        if threshold := _threshold(config):
            remedies.insert(0, f"lower --confidence-threshold (it is {threshold:g})")
        choices = ", ".join(remedies[:-1]) + f", or {remedies[-1]}"
        return (
            f"almost no stored labels are used ({self.used:.2f} % of the pixels), so this training "
            "learns next to nothing from the unlabeled images. To change that, " + choices
        )


def store_of(config: TrainConfig, data: TrainingData) -> LabelStore | None:
    """The label store of a run, complete or not; None for a training that stores no labels."""
    if data.labels is None or not data.unlabeled:
        return None
    return LabelStore(config.out / LABELS, data.unlabeled_files)


def prepare_labels(
    config: TrainConfig,
    data: TrainingData,
    store: LabelStore,
    resume: bool,
    begun: bool,
    open_later: OpenTeacher | None = None,
) -> Callable[[], str]:
    """Make sure that the labels can be made, or that those of a resumed run are unchanged.

    Nothing is written yet, so that a new run with a bad teacher leaves the run folder as it was.

    Args:
        config: the settings, as planned.
        data: the images.
        store: the label store of the run.
        resume: the training continues.
        begun: it has taken steps already.
        open_later: gives what labels the images, where that does not exist yet; by default it is
            the teacher that the settings name.

    Returns:
        What labels the images that have no labels yet. It returns the hash of all stored labels.

    Raises:
        RunError: the stored labels have changed, or the teacher's model cannot be read.
        SemisegError: the teacher cannot be used.
    """
    if resume and store.is_complete():
        digest = store.verify()
        return lambda: digest
    if begun:
        raise RunError(
            f"The stored labels in {store.folder} are missing, but the training has begun with "
            "them. Restore the folder, or start a new run."
        )
    config.settings.check_start()
    open_teacher = open_later or _already_open(_open_teacher(config, data))
    note = "" if open_later else "; no budget counts this"

    def make() -> str:
        labeler, source = open_teacher()
        logger.info("labeling %s%s", plural(len(store.samples), "unlabeled image"), note)
        label_pool(labeler, store.samples, store.folder, source)
        if config.validation.diagnostics:
            in_use = measure_labels(config, data, store)
            write_json(store.folder / _IN_USE, asdict(in_use))
            logger.info("%s", in_use.describe())
            if warning := in_use.warning(config):
                logger.warning("%s", warning)
        return store.verify()

    return make


def _already_open(teacher: tuple[Labeler, Source]) -> OpenTeacher:
    return lambda: teacher


def measure_labels(config: TrainConfig, data: TrainingData, store: LabelStore) -> LabelsInUse:
    """Count the stored labels that are used and, where masks are only hidden, those that are right.

    Args:
        config: the settings, as planned.
        data: the images; the hidden masks of the sample of the diagnostics are read here.
        store: the complete store.
    """
    threshold = _threshold(config)
    stored = {one.image for one in store.samples}
    key = Key.of(config.schedule.seed, "diagnostics", "sample")
    sample = choose_sample(data.split, key, stored)
    count, used, pixels = len(data.folder.classes), 0, 0
    confusion = np.zeros((count, count + 1), dtype=np.int64)
    masked = [one for one in sample if one.mask is not None]
    for one in sample:
        label, confidence, agreement = store.read(one)
        label = np.where(agreement & (confidence >= threshold), label, np.uint8(IGNORE_INDEX))
        used, pixels = used + int((label != IGNORE_INDEX).sum()), pixels + label.size
        if one.mask is not None:
            mask = np.array(read_labels(one, data.folder.classes, config.data.reading))
            truth = resize_nearest(mask, (label.shape[1], label.shape[0]))
            confusion += count_pixels(label, truth, count)
    labels = confusion[:, :-1]
    return LabelsInUse(
        images=len(sample),
        used=100 * used / pixels if pixels else None,
        masks=len(masked),
        right=100 * float(labels.diagonal().sum() / labels.sum()) if labels.any() else None,
    )


def read_in_use(run: Path) -> LabelsInUse | None:
    """What is known of the stored labels of a run or of a stage.

    Args:
        run: its folder.

    Returns:
        None without such labels or without diagnostics, and where the training was stopped between
        the labeling and the measurement.
    """
    try:
        return from_plain(LabelsInUse, read_json(run / LABELS / _IN_USE))
    except (OSError, ValueError):
        return None


def _threshold(config: TrainConfig) -> float:
    """The lowest confidence of a stored label that is used."""
    return float(getattr(config.settings, "confidence_threshold", 0.0))


def _open_teacher(config: TrainConfig, data: TrainingData) -> tuple[Labeler, Source]:
    """What labels the unlabeled images.

    Raises:
        SemisegError: it cannot be used.
    """
    settings = config.settings
    if not isinstance(settings, DistillSettings) or settings.teacher is None:
        raise TypeError(f"{config.method} has no teacher")
    teacher: Path = settings.teacher
    size, classes = decided(config.views.size), data.folder.classes
    if is_model(teacher):
        return model_labeler(
            teacher,
            classes.names,
            size=size,
            reading=config.data.reading,
            accelerator=config.machine.accelerator,
        )
    if not teacher.is_dir():
        raise ConfigError(
            f"--teacher {teacher} is neither a finished run nor a folder of masks. Name one of "
            "these."
        )
    pool = Pool(
        root=data.folder.root,
        labeled=data.split.labeled,
        unlabeled=data.unlabeled_files,
        classes=classes,
        reading=config.data.reading,
        short_side=math.ceil(size * config.views.scale[1]),
    )
    return outside_labeler(teacher, pool)
