"""The images of a training: read and checked once, and described for the plan.

Nothing here imports torch, so that `semiseg plan` answers soon; `loaders.py` makes the batches.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from semiseg.checks.examine import examine
from semiseg.config.data import DataConfig
from semiseg.config.facts import AS_GIVEN, EncoderChoice, Facts, MethodChoice
from semiseg.config.method_choice import choose_method
from semiseg.config.methods import MethodSettings
from semiseg.config.settings import AUTO
from semiseg.config.train import TrainConfig
from semiseg.core.console import progress
from semiseg.core.rng import Key
from semiseg.core.text import plural
from semiseg.core.types import Sample
from semiseg.data.cache import ScanCache
from semiseg.data.dataset import Dataset
from semiseg.data.datasets import other_classes
from semiseg.data.left_out import readable
from semiseg.data.likeness import likeness
from semiseg.data.pools.pool_sample import sample_pool
from semiseg.data.scan import scan_files
from semiseg.data.splits import Split, make_split
from semiseg.data.tree import SPLITS
from semiseg.training.labeling.store import Labels, NoLabels
from semiseg.training.place import Place
from semiseg.training.pool_images import PoolImages

MAX_LABELED_OF_POOL = 10_000
"""The images of a pool that a method uses if it labels them before its first step."""
_MAX_WATCHED, _MIN_WATCHED = 32, 4
_WATCHED_PART = 5  # one image for so many of `val`: a tenth of all forward passes


class TrainingData(NamedTuple):
    """The images of one training.

    Attributes:
        folder: the data folder.
        split: the labeled, unlabeled and validation images.
        unlabeled: the unlabeled images that the method uses: all of a folder, or a pool. A method
            that labels them before its first step uses a sample of a pool.
        pixels: the pixels of each class in the labeled images.
        warnings: what `check` warns about, as sentences.
        notes: what was inferred, as sentences.
        labels: the stored labels of the unlabeled images; none have a label until the training
            stores them. None if the method uses none, or before `used_by`.
    """

    folder: Dataset
    split: Split
    unlabeled: tuple[Sample, ...] | PoolImages
    pixels: tuple[int, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    labels: Labels | None = None

    @property
    def unlabeled_files(self) -> tuple[Sample, ...]:
        """The unlabeled images of a method that labels them before its first step.

        Raises:
            TypeError: these are the images of a pool, of which no list exists.
        """
        if isinstance(self.unlabeled, PoolImages):
            raise TypeError("the images of a pool are not listed")
        return self.unlabeled

    def used_by(self, settings: MethodSettings) -> TrainingData:
        """The images without those that a method does not use, and with labels if it has any."""
        if not settings.uses_unlabeled:
            return self.labeled_only()
        return self._replace(labels=NoLabels() if settings.uses_stored_labels else None)

    def labeled_only(self) -> TrainingData:
        """The images without the unlabeled ones."""
        return self._replace(unlabeled=(), labels=None)

    def summary(self, method: str) -> str:
        """What a method learns from, as a sentence."""
        images = f"{plural(len(self.split.labeled), 'image')} with masks"
        if self.unlabeled:
            images += f" and {len(self.unlabeled):,} without"
        scored = plural(len(self.split.val), "image of val scores", "images of val score")
        return f"{method} learns from {images}; {scored} it"


def read_folder(data: DataConfig, left_out: Collection[str] = ()) -> Dataset:
    """Check and read a data folder, without its unreadable images without masks.

    Args:
        data: the settings.
        left_out: names of images that an earlier call left out; they stay out.

    Raises:
        DataError: `check` finds an error; the sentence names the files.
    """
    dataset = None if data.dataset == AUTO else data.dataset
    with progress("reading the images and masks") as bar:
        folder = examine(
            data.data, data.classes, data.reading, bar.update, dataset, data.arrangement, left_out
        )
    folder.raise_errors()
    return folder


def read_data(
    config: TrainConfig, held_out: Collection[str] = (), left_out: Collection[str] = ()
) -> TrainingData:
    """Check and read the data folder of a training, and choose its images.

    Args:
        config: the settings.
        held_out: names of images that an earlier run held out for validation.
        left_out: names of the images that could not be read when this run began.

    Raises:
        SemisegError: the data cannot be used.
    """
    folder = read_folder(config.data, left_out)
    split = make_split(folder, config.data.labels, config.data.split_seed, held_out)
    unlabeled, about_pool = _unlabeled_images(config.settings, folder, split)
    kinds = ("layout", "pool")
    layout = (f.text for f in folder.findings if f.kind in kinds and f.severity == "note")
    pixels = count_pixels(split.labeled, folder.pixels, len(folder.classes.names))
    return TrainingData(
        folder,
        split,
        unlabeled,
        tuple(pixels),
        tuple(f.text for f in folder.findings if f.severity == "warning"),
        (folder.class_note, *layout, *about_pool, *split.notes, *_about_left_out(folder)),
    )


def _about_left_out(folder: Dataset) -> tuple[str, ...]:
    """That images stay out of a resumed run which a new run would use."""
    repaired = readable(folder)
    if not repaired:
        return ()
    images = plural(len(repaired), "image")
    return (
        f"{images} that could not be read when the run began will stay out of it, so that it goes "
        "on as it began; a new run uses them",
    )


def _unlabeled_images(
    settings: MethodSettings, folder: Dataset, split: Split
) -> tuple[tuple[Sample, ...] | PoolImages, tuple[str, ...]]:
    """The unlabeled images that a method uses, and what a person should know about them.

    Raises:
        DataError: the pool cannot be read.
    """
    if not settings.uses_unlabeled:
        return (), ()
    if folder.pool is None:
        return split.unlabeled, ()
    pool = folder.pool.pool
    if not settings.uses_stored_labels:
        return PoolImages(split.unlabeled, pool), ()
    sample = sample_pool(pool, MAX_LABELED_OF_POOL)
    with progress("reading the sample of the pool") as bar:
        cache = ScanCache(folder.root, folder.reading)
        problems = scan_files(cache, sample.samples, bar.update).problems
    sample = sample.without({path: problem.reason for path, problem in problems.items()})
    if len(sample.samples) == len(pool):
        return (*split.unlabeled, *sample.samples), ()
    note = (
        f"the method labels images before it learns from them, so it uses {len(sample.samples):,} "
        f"of the {len(pool):,} images of the pool, chosen by chance"
    )
    return (*split.unlabeled, *sample.samples), (note,)


def gather_facts(
    config: TrainConfig,
    data: TrainingData,
    place: Place,
    encoder: EncoderChoice,
    resume: bool,
) -> Facts:
    """The facts that the plan starts from, with the method that suits them.

    Args:
        config: the settings.
        data: the images.
        place: the device.
        encoder: the encoder, see `choose_encoder`.
        resume: the training continues, so that what only warns is not computed again.
    """
    split = data.split
    key = Key.of(config.schedule.seed, "plan")
    # From all images, so that it does not depend on how many masks are used.
    reading = config.data.reading if resume else data.folder.reading
    watched = config.validation.diagnostics and data.unlabeled
    sample = choose_sample(split, key) if watched else ()
    unlabeled = split.unlabeled_files if data.unlabeled else ()
    names = data.folder.classes.names
    occurring = {names[i] for part in SPLITS for i in data.folder.occurring(part)}
    facts = Facts(
        # Hidden masks count too, so that a comparison of label numbers trains at one size.
        side=median(min(data.folder.images[s.image].size) for s in (*split.labeled, *split.hidden)),
        labeled=len(split.labeled),
        unlabeled=len(data.unlabeled),
        validation_images=len(split.val) + len(sample),
        pixels=dict(zip(names, data.pixels, strict=True)),
        likeness=None if resume else likeness(split.labeled, unlabeled, key, reading),
        device=place.kind,
        world=place.world,
        reading=reading,
        val=len(split.val),
        encoder=encoder,
        method=MethodChoice(config.method, AS_GIVEN),
        bf16=place.bf16,
        is_pool=data.folder.pool is not None,
        other_classes=other_classes(config.data.dataset, names, occurring),
    )
    return choose_method(config, facts)


def count_pixels(
    labeled: Sequence[Sample], pixels: Mapping[Path, Mapping[int, int]], classes: int
) -> list[int]:
    """Count the pixels of each class in the labeled images."""
    masks = [s.mask for s in labeled if s.mask is not None]
    return [sum(pixels[mask].get(c, 0) for mask in masks) for c in range(classes)]


def sample_size(split: Split) -> int:
    """The number of unlabeled images to measure, if there are enough."""
    count = max(_MIN_WATCHED, len(split.val) // _WATCHED_PART)
    return min(_MAX_WATCHED, count, len(split.unlabeled_files))


def choose_sample(
    split: Split, key: Key, among: Collection[Path] | None = None
) -> tuple[Sample, ...]:
    """Choose the unlabeled images to measure: those with a hidden mask first, then others.

    Args:
        split: the images.
        key: the key of the choice.
        among: the images that may be chosen; None for all unlabeled ones.
    """
    size = sample_size(split)
    hidden, others = list(split.hidden), list(split.unlabeled_files)
    if among is not None:
        hidden, others = ([s for s in part if s.image in among] for part in (hidden, others))
    masked = {sample.image for sample in hidden}
    others = [sample for sample in others if sample.image not in masked]
    result: list[Sample] = []
    for name, samples in (("hidden", hidden), ("others", others)):
        order = key.child(name).numpy().permutation(len(samples))
        result += [samples[i] for i in order[: size - len(result)]]
    return tuple(result)
