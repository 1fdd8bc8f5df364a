"""The stored labels of a run: they are made before the first step, in its folder `labels`."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from semiseg.config.methods import DistillSettings
from semiseg.config.settings import decided
from semiseg.config.train import TrainConfig
from semiseg.core.errors import ConfigError, RunError
from semiseg.core.text import plural
from semiseg.inference.load import is_model
from semiseg.training.data import TrainingData
from semiseg.training.labeling.model import model_labeler
from semiseg.training.labeling.outside import Pool, outside_labeler
from semiseg.training.labeling.store import Labeler, LabelStore, Source, label_pool
from semiseg.training.labels_in_use import measure_labels, write_in_use

LABELS = "labels"
"""The folder of the store in the run folder."""

OpenTeacher: TypeAlias = Callable[[], tuple[Labeler, Source]]
"""Gives what labels images."""

logger = logging.getLogger(__name__)


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
            write_in_use(store.folder, in_use)
            logger.info("%s", in_use.describe())
            for warning in in_use.warnings(config):
                logger.warning("%s", warning)
        return store.verify()

    return make


def _already_open(teacher: tuple[Labeler, Source]) -> OpenTeacher:
    return lambda: teacher


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
