"""The labels that a stage learns: by the model of the stage before, for the images of the stage."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from semiseg.config.methods import CssStoredSettings, StagedSettings, StPlusPlusSettings
from semiseg.config.settings import decided
from semiseg.config.stages import labeled_images
from semiseg.config.train import TrainConfig
from semiseg.core.files import read_json, text_sha256, write_json
from semiseg.core.records import from_plain
from semiseg.core.rng import Key
from semiseg.core.text import percent, plural
from semiseg.core.types import Sample
from semiseg.model.hub_models import local_run
from semiseg.training.data import TrainingData
from semiseg.training.failures import resumable
from semiseg.training.labeling.frozen import FrozenJudge, agreeing
from semiseg.training.labeling.model import model_labeler
from semiseg.training.labeling.second import SECOND_ENCODER, SecondJudge
from semiseg.training.labeling.store import ImageLabels, Labeler, LabelStore, Source
from semiseg.training.place import Place
from semiseg.training.reliability import (
    choose_reliable,
    measure_reliability,
    read_reliability,
    reliability_file,
)
from semiseg.training.second_stage import has_say
from semiseg.training.stage import STAGES, Stage, stages_of
from semiseg.training.start_weights import confirm_weights
from semiseg.training.stored_labels import LABELS

_SECONDS = "seconds.json"
_POLL = 0.2  # seconds

logger = logging.getLogger(__name__)


def label_for(
    stage: Stage,
    store: LabelStore | None,
    make_labels: Callable[[], str] | None,
    data: TrainingData,
) -> str | None:
    """Label the images of a stage in the first process, and wait for the labels in the others.

    Args:
        stage: the stage that learns the labels.
        store: their store; None for a stage that learns no stored labels.
        make_labels: what labels the images; None in the other processes.
        data: the images of the run.

    Returns:
        The hash of all labels; None in the other processes.

    Raises:
        Interrupted: Ctrl-C was pressed.
    """
    if store is None:
        return None
    where = f" for {stage.title}" * (stage.total > 1)
    work = f"images were labeled{where}; the finished labels are kept"
    with resumable(work, stage.config.data.data, stage.run.out):
        if make_labels is None:
            _wait_until(store.is_complete)
            return None
        count, total = len(store.samples), len(data.unlabeled)
        draws = stage.config.schedule.drawn_images
        if stage.total > 1 and count == labeled_images(draws, total) < total:
            logger.info(
                "%s draws %d unlabeled images, so %d of %d are labeled for it, chosen by chance",
                *(stage.title, draws, count, total),
            )
        with _timed(stage) if stage.total > 1 else nullcontext():
            return make_labels()


def images_of(stage: Stage, data: TrainingData, place: Place) -> TrainingData:
    """The images that a stage learns from.

    Args:
        stage: the stage; those before it are finished.
        data: the images of the run.
        place: the rank of this process. The first process measures what the others read.
    """
    if stage.labeled_only:
        return data.labeled_only()
    if stage.total == 1 or data.labels is None:
        return data
    images = data.unlabeled_files
    if isinstance(stage.run.settings, StPlusPlusSettings) and stage.number < stage.total:
        images = tuple(images[position] for position in _reliable(stage, data, place))
    return data._replace(unlabeled=labeled_for(stage, images))


def labeled_for(stage: Stage, images: Sequence[Sample]) -> tuple[Sample, ...]:
    """Those unlabeled images that are labeled for a stage: no more than its steps make use of.

    They are chosen by chance, and for each stage others, as long as there are any.

    Args:
        stage: the stage.
        images: the images that it may use.

    Returns:
        The images in their order.
    """
    earlier = [one for one in stage.until_now()[:-1] if not one.labeled_only]
    before = sum(labeled_images(one.config.schedule.drawn_images, len(images)) for one in earlier)
    count = labeled_images(stage.config.schedule.drawn_images, len(images))
    key = Key.of(stage.run.schedule.seed, "labeled images")
    order = np.roll(key.numpy().permutation(len(images)), -before)
    return tuple(images[position] for position in sorted(order[:count]))


def open_stage_teacher(stage: Stage, data: TrainingData) -> tuple[Labeler, Source]:
    """The model of the stage before as what labels images.

    In the last of three stages, the images that the second one has used keep their labels.

    Args:
        stage: the stage that learns the labels.
        data: the images of the run.

    Raises:
        RunError: the model or the labels cannot be read.
    """
    config, run = stage.config, stage.before()
    settings = stage.run.settings
    if not isinstance(settings, StagedSettings):
        raise TypeError(f"{stage.run.method} has no stages")
    second = None
    if stage.second_folder is not None and has_say(stage, stage.second_folder, data):
        second = SecondJudge(stage.second_folder, data.folder.root, config.machine.accelerator)
    labeler, source = model_labeler(
        run,
        data.folder.classes.names,
        size=decided(config.views.size),
        reading=config.data.reading,
        accelerator=config.machine.accelerator,
        scales=settings.label_scales,
        second=second,
    )
    if second is not None:
        sha256 = text_sha256(f"{source.sha256} {second.sha256}")
        details = {**source.details, SECOND_ENCODER: second.encoder}
        source = replace(source, sha256=sha256, details=details)
    if isinstance(settings, CssStoredSettings) and settings.agreement != "representation":
        judge = open_judge(config, data)
        sha256 = text_sha256(f"{source.sha256} {judge.sha256}")
        details = {**source.details, "agreement": settings.agreement, **judge.record()}
        source = replace(source, sha256=sha256, details=details)
        return agreeing(labeler, judge, settings.agreement), source
    if not isinstance(settings, StPlusPlusSettings) or stage.number < stage.total:
        return labeler, source
    values = read_reliability(stage.before(2), len(data.unlabeled_files))
    positions = choose_reliable(values, settings.reliable_share)
    reliable = [data.unlabeled_files[position] for position in positions]
    own_labels = LabelStore(run / LABELS, labeled_for(stage.until_now()[-2], reliable))
    source = replace(source, sha256=text_sha256(f"{source.sha256} {own_labels.verify()}"))
    return partial(_labels_of_both, own_labels, labeler), source


def open_judge(config: TrainConfig, data: TrainingData) -> FrozenJudge:
    """The judge on the features of the encoder that a run starts from, at its working size.

    With `--start-from` that is the encoder of the earlier run as it was released.

    Args:
        config: the settings, as planned, of the run or of a stage.
        data: the images; it learns the labeled ones.

    Raises:
        ConfigError: the weights cannot be used, or are not those that the run began with.
        HubError: the hub does not give the weights.
    """
    network, folder = config.network, data.folder
    judge = FrozenJudge(
        network.encoder,
        network.weights if network.start_from is None else str(local_run(network.start_from)),
        data.split.labeled,
        folder.classes,
        config.data.reading,
        decided(config.views.size),
        config.machine.accelerator,
    )
    if network.start_from is None:
        confirm_weights(config, judge.network.weights_record)
    logger.info(
        "class scores on the frozen features are right on %s %% of the labeled pixels, each image "
        "judged without itself",
        percent(judge.right),
    )
    return judge


def _labels_of_both(
    own_labels: LabelStore, labeler: Labeler, samples: Iterable[Sample]
) -> Iterator[ImageLabels]:
    """The labels of a store for the images that it has, and new ones for the others."""
    samples = list(samples)
    labeled = {sample.image for sample in own_labels.samples}
    others = labeler(sample for sample in samples if sample.image not in labeled)
    for sample in samples:
        yield own_labels.read(sample) if sample.image in labeled else next(others)


def _reliable(stage: Stage, data: TrainingData, place: Place) -> list[int]:
    """The positions of the unlabeled images that the second of three stages uses."""
    settings = stage.run.settings
    if not isinstance(settings, StPlusPlusSettings):
        raise TypeError(f"{stage.run.method} chooses no images")
    run, work = stage.before(), "the snapshots of stage 1 were compared"
    with resumable(work, stage.config.data.data, stage.run.out):
        if place.rank == 0:
            with _timed(stage):
                values = measure_reliability(stages_of(stage.run, unlabeled=True)[0].config, data)
        else:
            _wait_until(reliability_file(run).is_file)
            values = read_reliability(run, len(data.unlabeled_files))
    positions = choose_reliable(values, settings.reliable_share)
    lowest = min(values[position] for position in positions)
    logger.info(
        "%s may use the %d of %s on which the snapshots of stage 1 agree most (mIoU %s or more)",
        stage.title,
        len(positions),
        plural(len(values), "unlabeled image"),
        percent(100 * lowest),
    )
    return positions


def labeling_seconds(run: Path) -> float:
    """The seconds that a run has spent between its stages so far; 0 for a run without stages."""
    try:
        return from_plain(float, read_json(run / STAGES / _SECONDS))
    except (OSError, ValueError):
        return 0.0


@contextmanager
def _timed(stage: Stage) -> Iterator[None]:
    """Add the seconds of the block to those of the labeling of the run."""
    started, run = time.monotonic(), stage.run.out
    try:
        yield
    finally:
        seconds = labeling_seconds(run) + time.monotonic() - started
        write_json(run / STAGES / _SECONDS, round(seconds, 3))


def _wait_until(condition: Callable[[], bool]) -> None:
    """Wait for the first process. It ends this one if it fails; see `end_with_parent`."""
    while not condition():
        time.sleep(_POLL)
