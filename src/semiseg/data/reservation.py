"""Which images to reserve for a test, so that nothing like them is trained on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from semiseg.core.errors import ConfigError
from semiseg.core.rng import Key
from semiseg.core.text import plural
from semiseg.core.types import Sample
from semiseg.data.dataset import Dataset
from semiseg.data.groups import Groups
from semiseg.data.hold_out import HoldOut
from semiseg.data.near_duplicates import Thumbnail, find_near_duplicates
from semiseg.data.splits import amount_of
from semiseg.data.tiles.blocks import blocks_of, without_shared_ground


class Reservation(NamedTuple):
    """Images that no training may use.

    Attributes:
        test: those with masks, which score a model.
        others: images without masks of the same groups, of the same ground, or nearly the same.
        clusters: the number of sets of related images that `test` consists of.
    """

    test: tuple[Sample, ...]
    others: tuple[Sample, ...]
    clusters: int

    def __str__(self) -> str:
        """How many there are, as a sentence without its end."""
        sets = "" if self.clusters == len(self.test) else f", in {self.clusters} sets that belong"
        sets = f"{sets} together" if sets else ""
        text = f"{plural(len(self.test), 'image')} with masks are reserved for a test{sets}"
        if self.others:
            text += f"; {plural(len(self.others), 'image')} that resemble or belong to them take "
            text += "no part in a training either"
        return text

    def apply(self, data: Dataset) -> Dataset:
        """The folder without these images in `train` and `unlabeled`; `test` has those of `test`.

        Args:
            data: the folder that they were chosen from.
        """
        reserved = {*self.test, *self.others}
        samples = {
            split: [s for s in part if split not in ("train", "unlabeled") or s not in reserved]
            for split, part in data.samples.items()
        }
        samples["test"] = sorted([*samples["test"], *self.test])
        return replace(data, samples=samples)


def choose_test(
    data: Dataset, amount: str, seed: int, label_list: Sequence[Sample] = ()
) -> Reservation:
    """Choose labeled images at random for a test, with all that belongs to them.

    Images of one group, of one block of a map, and images that are identical or nearly the same
    stay together. The other labeled images keep all classes, where that is possible.

    Args:
        data: the folder.
        amount: a number of labeled images, or their share. Where images belong together, the test
            has about so many.
        seed: the seed of the choice.
        label_list: the images that the user wants to train on. The test has none of them, nor of
            what belongs to them.

    Raises:
        ConfigError: `amount` has no meaning, or leaves too few images; there are too few images
            outside of the list; or the groups cannot be used.
    """
    groups = Groups(data.group, blocks_of(data.train), data.corrected)
    groups.notes((*data.train, *data.val))  # refuses a pattern that fits no name
    masked = [sample for sample in data.train if sample.mask is not None]
    count = amount_of(amount, len(masked), "--test")
    clusters = _clusters(data, groups)
    together = Groups(blocks=clusters if len(set(clusters.values())) < len(clusters) else {})
    units = together.divide(masked)
    share = count / len(masked) if masked else 1.0
    least = 1 if data.val else 2  # one of them is held out for validation
    if len(units) - max(1, round(share * len(units))) < least:
        belong = ""
        if len(units) < len(masked):
            belong = f", which form {plural(len(units), 'set')} of images that belong together"
        raise ConfigError(
            f"--test {amount} leaves too few of {plural(len(masked), 'labeled image')}{belong}. A "
            f"training needs {plural(least, 'of these', 'of these')} at least. Ask for a smaller "
            "--test, or label more images."
        )
    choice = HoldOut(together, data.pixels, Key.of(seed, "split", "test"), share)
    if label_list:
        _require_outside(together, masked, label_list, amount, share)
    test = choice.choose(masked, label_list, ())[1]
    rest = together.without(test, data.train)
    rest_set = set(without_shared_ground(rest, test))
    related = [s for s in data.train if s not in rest_set and s not in set(test)]
    # A list says of an image only that it is reserved, so a mask on the same ground is scored too.
    test = sorted([*test, *(s for s in related if s.mask is not None)])
    others = tuple(s for s in related if s.mask is None)
    return Reservation(tuple(test), others, len(together.divide(test)))


def _require_outside(
    groups: Groups,
    masked: Sequence[Sample],
    label_list: Sequence[Sample],
    amount: str,
    share: float,
) -> None:
    """Refuse a test that needs images of the list.

    Raises:
        ConfigError: fewer images are outside of the list than the test asks for.
    """
    units = groups.divide(masked)
    free = len(units.keys() - {groups.of(sample) for sample in label_list})
    if free < max(1, round(share * len(units))):
        raise ConfigError(
            f"--test {amount} asks for more images than there are outside of the list of --labels: "
            f"{free:,}. The test cannot have images of the list, nor those that resemble or belong "
            "to them. Ask for a smaller --test, or use a shorter list."
        )


def _clusters(data: Dataset, groups: Groups) -> dict[Path, str]:
    """The name of the set of related images by image: that of one of them."""
    parent = {sample.image: sample.image for sample in data.train}

    def root(image: Path) -> Path:
        while parent[image] != image:
            parent[image] = parent[parent[image]]
            image = parent[image]
        return image

    def join(images: Iterable[Path]) -> None:
        first, *rest = sorted(root(image) for image in images)
        for image in rest:
            parent[image] = first

    scans = data.images
    for samples in groups.divide(data.train).values():
        join(sample.image for sample in samples)
    copies: dict[str, list[Path]] = {}
    for image in parent:
        if image in scans:
            copies.setdefault(scans[image].digest, []).append(image)
    for images in copies.values():
        join(images)
    thumbnails = {
        image: Thumbnail(scans[image].thumbnail, scans[image].size)
        for image in parent
        if image in scans and scans[image].thumbnail
    }
    masked = [sample.image for sample in data.train if sample.mask is not None]
    pairs = find_near_duplicates(
        list(parent), masked, thumbnails, lambda a, b: root(a) != root(b), data.reading
    )
    for pair in pairs:
        join((pair.image, pair.other))
    return {image: str(root(image)) for image in parent}
