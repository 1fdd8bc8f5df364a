"""The images of a training: read and checked once, described for the plan, loaded in batches."""

from __future__ import annotations

from collections.abc import Collection
from statistics import median
from typing import NamedTuple

from torch.utils.data import DataLoader

from semiseg.checks.examine import examine
from semiseg.config.facts import Facts
from semiseg.config.settings import AUTO, decided
from semiseg.config.train import DataConfig, TrainConfig
from semiseg.core.console import progress
from semiseg.core.rng import Key
from semiseg.core.text import plural
from semiseg.core.types import Batch, Sample
from semiseg.data.dataset import Dataset
from semiseg.data.likeness import likeness
from semiseg.data.splits import Split, make_split
from semiseg.inference.scenes import Scene, Scenes
from semiseg.training.batches import StepSampler, TrainingBatches, TrainingImages, Views
from semiseg.training.checkpoint import ignore_signals
from semiseg.training.class_balance import count_pixels, make_focus
from semiseg.training.devices import Place
from semiseg.training.diagnostics import choose_sample


class TrainingData(NamedTuple):
    """The images of one training.

    Attributes:
        folder: the data folder.
        split: the labeled, unlabeled and validation images.
        unlabeled: the unlabeled images that the method uses.
        pixels: the pixels of each class in the labeled images.
        warnings: what `check` warns about, as sentences.
        notes: what was inferred, as sentences.
    """

    folder: Dataset
    split: Split
    unlabeled: tuple[Sample, ...]
    pixels: tuple[int, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def read_folder(data: DataConfig) -> Dataset:
    """Check and read a data folder.

    Raises:
        DataError: `check` finds an error; the sentence names the files.
    """
    dataset = None if data.dataset == AUTO else data.dataset
    with progress("reading the images and masks") as bar:
        folder = examine(data.data, data.classes, data.fixed_range, bar.update, dataset)
    folder.raise_errors()
    return folder


def read_data(config: TrainConfig, held_out: Collection[str] = ()) -> TrainingData:
    """Check and read the data folder of a training, and choose its images.

    Args:
        config: the settings.
        held_out: names of images that an earlier run held out for validation.

    Raises:
        SemisegError: the data cannot be used.
    """
    folder = read_folder(config.data)
    split = make_split(folder, config.data.labels, config.data.split_seed, held_out)
    unlabeled = split.unlabeled if config.settings.uses_unlabeled else ()
    images = f"{plural(len(split.labeled), 'image')} with masks"
    if config.settings.uses_unlabeled:
        images += f" and {len(split.unlabeled)} without"
    summary = f"{config.method} learns from {images}; {len(split.val)} of val score it"
    layout = (f.text for f in folder.findings if f.kind == "layout" and f.severity == "note")
    pixels = count_pixels(split.labeled, folder.pixels, len(folder.classes.names))
    return TrainingData(
        folder,
        split,
        unlabeled,
        tuple(pixels),
        tuple(f.text for f in folder.findings if f.severity == "warning"),
        (folder.inferred, *layout, *split.notes, summary),
    )


def gather_facts(config: TrainConfig, data: TrainingData, place: Place, resume: bool) -> Facts:
    """The facts that the plan starts from.

    Args:
        config: the settings.
        data: the images.
        place: the device.
        resume: the training continues, so that what only warns is not computed again.
    """
    split = data.split
    key = Key.of(config.schedule.seed, "plan")
    value_range = inferred = config.data.fixed_range
    if value_range is None and not resume:
        # From all images, so that it does not depend on how many masks are used.
        value_range = inferred = data.folder.inferred_range
    watched = config.validation.diagnostics and data.unlabeled
    sample = choose_sample(split, key) if watched else ()
    return Facts(
        # Hidden masks count too, so that a comparison of label numbers trains at one size.
        side=median(min(data.folder.images[s.image].size) for s in (*split.labeled, *split.hidden)),
        labeled=len(split.labeled),
        unlabeled=len(data.unlabeled),
        validation_images=len(split.val) + len(sample),
        pixels=dict(zip(data.folder.classes.names, data.pixels, strict=True)),
        likeness=None if resume else likeness(split.labeled, data.unlabeled, key, value_range),
        device=place.kind,
        world=place.world,
        value_range=None if config.data.fixed_range is not None else inferred,
        val=len(split.val),
    )


def training_loader(
    config: TrainConfig, data: TrainingData, place: Place, start: int = 0
) -> DataLoader[Batch]:
    """The loader of this process's micro batches, in their order.

    Args:
        config: the settings, as planned.
        data: the images.
        place: the rank of this process.
        start: the step that the training continues from.
    """
    views, schedule = config.views, config.schedule
    batches = TrainingBatches(
        TrainingImages(
            data.split.labeled, data.unlabeled, data.folder.classes, config.data.fixed_range
        ),
        Views(
            decided(views.size),
            decided(views.crop),
            views.scale,
            views.photometry,
            make_focus(config.balance.rare_crops, data.pixels),
        ),
        decided(schedule.batch),
        Key.of(schedule.seed, "data"),
        place.rank,
        place.world,
    )
    total = decided(schedule.steps) * schedule.accumulate
    return DataLoader(
        batches,
        batch_size=None,
        sampler=StepSampler(start * schedule.accumulate, total),
        num_workers=decided(config.machine.workers),
        worker_init_fn=ignore_signals,
    )


def validation_loader(
    config: TrainConfig, data: TrainingData, place: Place, count: int | None = None
) -> DataLoader[Scene]:
    """The loader of this process's validation images, one at a time.

    Args:
        config: the settings, as planned.
        data: the images.
        place: the rank of this process.
        count: use only so many images; all of them by default.
    """
    scenes = Scenes(
        data.split.val[:count][place.rank :: place.world],
        data.folder.classes,
        decided(config.views.size),
        config.data.fixed_range,
    )
    return DataLoader(
        scenes,
        batch_size=None,
        num_workers=decided(config.machine.workers),
        worker_init_fn=ignore_signals,
    )
