"""Splits: the labeled images, the unlabeled ones with their hidden masks, the validation images."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from semiseg.config.label_list import label_list
from semiseg.core.errors import ConfigError, DataError
from semiseg.core.files import file_sha256, text_sha256
from semiseg.core.rng import Key
from semiseg.core.text import plural
from semiseg.core.types import Sample
from semiseg.data.classes.class_cover import classes_in, cover_classes
from semiseg.data.dataset import Dataset
from semiseg.data.groups import Groups
from semiseg.data.hold_out import HoldOut
from semiseg.data.image_lists import foreign_masks, list_hash, read_list
from semiseg.data.pools.pool_sample import PoolSample
from semiseg.data.tiles.blocks import blocks_of, without_shared_ground


@dataclass(frozen=True)
class Split:
    """The images of one training.

    Attributes:
        labeled: the labeled images.
        unlabeled: all other training images, without their masks; not those of a pool.
        val: the validation images.
        notes: sentences about held-out images, hidden masks and missing classes.
        hidden: the unlabeled images that do have a mask, with it. Only the diagnostics use these
            masks; no training does.
        source: if a file listed the labeled images, its `file` and the first 16 hex digits of its
            `sha256`; else empty.
        pool: the pool of further unlabeled images; None without one.
        left_out: the images without masks that cannot be read.
    """

    labeled: tuple[Sample, ...]
    unlabeled: tuple[Sample, ...]
    val: tuple[Sample, ...]
    notes: tuple[str, ...]
    hidden: tuple[Sample, ...] = ()
    source: Mapping[str, str] = field(default_factory=dict)
    pool: PoolSample | None = None
    left_out: tuple[Sample, ...] = ()

    @property
    def unlabeled_files(self) -> tuple[Sample, ...]:
        """The unlabeled images that lie on this disk; of a pool, those of its sample."""
        return self.unlabeled if self.pool is None else (*self.unlabeled, *self.pool.samples)

    def lists(self) -> dict[str, tuple[Sample, ...]]:
        """The three lists of images, by name."""
        return {"labeled": self.labeled, "unlabeled": self.unlabeled, "val": self.val}

    def counts(self) -> dict[str, int]:
        """The number of images of the three lists; with those of a pool."""
        counts = {name: len(samples) for name, samples in self.lists().items()}
        if self.pool is not None:
            counts["unlabeled"] += len(self.pool.pool)
        return counts

    def hashes(self) -> dict[str, str]:
        """What identifies the images of the three lists, 16 hex digits each."""
        hashes = {name: list_hash(samples) for name, samples in self.lists().items()}
        if self.pool is not None:
            both = f"{hashes['unlabeled']} {self.pool.pool.fingerprint}"
            hashes["unlabeled"] = text_sha256(both)[:16]
        return hashes


def make_split(
    data: Dataset, labels: str, split_seed: int, held_out: Collection[str] = ()
) -> Split:
    """Choose the labeled images, hide the other masks, and hold out validation images if needed.

    Args:
        data: the folder.
        labels: `all`, a number, a share (`0.1`, `10%`, `1/8`), or a file with one name per line.
        split_seed: the seed of the choice, independent of the seed of the training.
        held_out: the names of images that an earlier run held out. If there is no `val`, they are
            held out again: that run's model was not trained on them.

    Raises:
        ConfigError: `labels` has no meaning, or asks for no mask or for more masks than there are;
            or the groups of the images cannot be used.
        DataError: a listed name is not among the labeled images, or belongs to `val`.
    """
    masked = [sample for sample in data.train if sample.mask is not None]
    key = Key.of(split_seed, "split")
    notes: list[str] = []
    list_file = label_list(labels)
    list_samples = None if list_file is None else read_labeled(list_file, data)
    val = data.val
    groups = Groups(data.group, blocks_of(data.train), data.corrected)
    notes += groups.notes((*data.train, *val))
    corrected = [sample for sample in masked if sample.image in data.corrected]
    masked = [sample for sample in masked if sample.image not in data.corrected]
    if not val:
        labeled_count = len(masked)
        choice = HoldOut(groups, data.pixels, key.child("val"))
        masked, val_samples = choice.choose(masked, list_samples or [], held_out)
        val = tuple(val_samples)
        masked = without_shared_ground(masked, val) or masked
        notes.append(
            f"{data.root} has no masks in val/, so {len(val)} of {labeled_count} labeled "
            f"images are held out for validation{groups.count(val)}; split/val.txt of the run "
            "lists them"
        )
    if list_samples is not None:
        labeled = [sample for sample in list_samples if sample not in val]
        notes.append(
            f"{labels} lists {len(list_samples)} labeled images, hash {list_hash(list_samples)}"
        )
        if folder := foreign_masks(Path(labels), list_samples):
            read = {s.mask.parent.name for s in list_samples if s.mask is not None}
            notes.append(
                f"{labels} names masks in {folder}, but semiseg reads those in "
                f"{', '.join(sorted(read))}, which may spell the classes in another way. To read "
                "the others, add --images and --masks"
            )
    else:
        count = amount_of(labels, len(masked), "--labels")
        labeled = cover_classes(masked, count, data.pixels, key.child("labels"))
    if not data.val and groups.keep_together:
        corrected = groups.without(val, corrected)
    if corrected:
        labeled = sorted({*labeled, *corrected})
        masked = sorted({*masked, *corrected})
    if not labeled:
        raise ConfigError("--labels leaves no labeled image; at least one is needed.")
    excluded = {sample.image for sample in (*labeled, *val)}
    others = [sample for sample in data.train if sample.image not in excluded]
    if groups.keep_together and not data.val:
        apart = without_shared_ground(groups.without(val, others), val)
        if len(apart) < len(others):
            images = plural(len(others) - len(apart), "image")
            noun = groups.noun
            notes.append(f"{images} of the {noun}s that are held out take no part in the training")
        others = apart
    in_pool: Collection[Path] = () if data.pool is None else data.pool.files
    unlabeled = tuple(s._replace(mask=None) for s in others if s.image not in in_pool)
    hidden = tuple(sample for sample in others if sample.mask is not None)
    _require_two_classes(data, labeled, labels)
    train_classes, val_classes = (classes_in(samples, data.pixels) for samples in (labeled, val))
    absent_classes = classes_in(masked, data.pixels) - train_classes
    if absent_classes:
        names = ", ".join(data.classes.names[c] for c in sorted(absent_classes))
        notes.append(f"the labeled images hold no pixel of: {names}")
    if train_classes - val_classes:
        names = ", ".join(data.classes.names[c] for c in sorted(train_classes - val_classes))
        notes.append(
            f"the validation images hold no pixel of: {names}; the mean IoU leaves this out"
        )
    if len(labeled) < len(masked):
        notes.append(f"{len(masked) - len(labeled)} masks are hidden; their images are unlabeled")
    source = (
        {} if list_samples is None else {"file": labels, "sha256": file_sha256(Path(labels))[:16]}
    )
    return Split(
        tuple(labeled), unlabeled, val, tuple(notes), hidden, source, data.pool, data.left_out
    )


def _require_two_classes(data: Dataset, labeled: Sequence[Sample], labels: str) -> None:
    """Refuse labeled images of a single class: a model of it would reach any score.

    Raises:
        DataError: the masks hold fewer than two classes.
    """
    indices = classes_in(labeled, data.pixels)
    if len(indices) < 2:
        names = ", ".join(data.classes.names[c] for c in indices) or "every pixel is ignored"
        raise DataError(
            f"The masks of the {plural(len(labeled), 'labeled image')} hold fewer than two "
            f"classes ({names}).",
            "Label more images."
            if labels == "all"
            else f"Ask for more than --labels {labels}, or list images with other classes.",
        )


def read_labeled(path: Path, data: Dataset) -> list[Sample]:
    """Read a list of labeled images.

    Args:
        path: the list, with one name on each line.
        data: the folder.

    Raises:
        ConfigError: there is no such file.
        DataError: the list cannot be read or is empty, or a line names no training image with a
            mask: an image of `val`, of `test`, a reserved one, or one without a mask.
    """
    masked = [sample for sample in data.train if sample.mask is not None]
    maskless = [sample for sample in data.train if sample.mask is None]
    refused = {
        "is an image of val, and validation images must not train. Remove the line": data.val,
        "is an image without a mask here. Add the mask, name the --dataset to which the list "
        "belongs, or remove the line": maskless,
        "is an image of test, which no training uses. Remove the line. If the list of --reserved "
        "names the image, you can remove it there instead": data.samples["test"],
    }
    return read_list(path, masked, refused)


def amount_of(text: str, available: int, flag: str) -> int:
    """The number of labeled images for `all`, a number or a share.

    Args:
        text: what a user wrote.
        available: the number of masks that there are.
        flag: where it was written, for messages.

    Raises:
        ConfigError: the text has no meaning, or asks for no mask or for more than there are.
    """
    if text == "all":
        return available
    try:
        if text.isdigit():
            count = int(text)
        else:
            top, _, bottom = text.removesuffix("%").partition("/")
            share = float(top) / float(bottom or 1) / (100 if text.endswith("%") else 1)
            if not 0 < share <= 1:
                raise ValueError(text)
            count = max(1, math.floor(share * available + 0.5))
    except (ValueError, ZeroDivisionError) as error:
        others = ", nor a file, nor 'all'" if flag == "--labels" else ""
        raise ConfigError(
            f"{flag} {text} is neither a number of masks, nor a share between 0 and 1 "
            f"(0.1, 10%, 1/8){others}."
        ) from error
    if count < 1:
        raise ConfigError(f"{flag} {text} asks for no mask; ask for at least 1.")
    if count > available:
        raise ConfigError(
            f"{flag} {text} asks for more masks than there are to train on: {available}."
        )
    return count
