"""Which labeled images are held out for validation, where a data folder has no `val`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from semiseg.core.errors import ConfigError, DataError
from semiseg.core.rng import Key
from semiseg.core.types import Sample
from semiseg.data.classes.class_cover import PixelCounts, classes_in, cover_classes
from semiseg.data.groups import Groups

HELD_OUT_SHARE = 0.2  # of the labeled images
_DRAWS = 32  # of groups, of which the best counts; one draw is enough for single images


class HoldOut(NamedTuple):
    """How images are held out.

    Attributes:
        groups: the groups that stay together.
        pixels: the pixels of each class by mask.
        key: the key of the choice.
        share: the share of the groups to hold out.
    """

    groups: Groups
    pixels: PixelCounts
    key: Key
    share: float = HELD_OUT_SHARE

    def choose(
        self, masked: Sequence[Sample], label_list: Sequence[Sample], held_out: Collection[str]
    ) -> tuple[list[Sample], list[Sample]]:
        """Divide the labeled images into those for training and those for validation.

        Args:
            masked: the labeled images, two or more.
            label_list: the images that the user wants to train on. They are held out only if
                there are no others.
            held_out: the names that an earlier run held out. If some of these images have masks, no
                other image is held out, except for those of their groups.

        Returns:
            The images for training and those for validation, at least one each.

        Raises:
            DataError: there is only one labeled image.
            ConfigError: all labeled images are of one group.
        """
        if len(masked) < 2:
            raise DataError(
                "There is only one labeled image and no val/: a training needs one image to train "
                "on and another one for validation.",
                "Label one more image.",
            )
        units = self.groups.divide(masked)
        if len(units) < 2:
            raise ConfigError(
                f"All labeled images belong to one group ({next(iter(units))}), as {self.groups} "
                "finds, so none can be held out for validation. Correct the group, or label "
                "images of another group."
            )
        training_groups = {self.groups.of(sample) for sample in label_list}
        val_groups = {self.groups.of(s) for s in masked if s.name in held_out} - training_groups
        if not val_groups or len(val_groups) == len(units):
            free = {name: u for name, u in units.items() if name not in training_groups} or units
            val_groups = self._draw(free, len(units))
        training = [sample for sample in masked if self.groups.of(sample) not in val_groups]
        return training, [sample for sample in masked if self.groups.of(sample) in val_groups]

    def _draw(self, free: Mapping[str, Sequence[Sample]], total: int) -> set[str]:
        """Draw the share of all groups from the free ones; the others hold all classes.

        Args:
            free: the images of each group that may be held out.
            total: the number of all groups.
        """
        count = min(len(free), max(1, round(self.share * total)))
        # One image stands for its group, with the classes of all of them.
        first = {name: min(samples) for name, samples in free.items()}
        pixels = {self._mask(first[name]): self._classes(free[name]) for name in free}
        names = {sample: name for name, sample in first.items()}
        images = sum(len(samples) for samples in free.values())
        draws: list[tuple[tuple[int, float], set[str]]] = []
        for number in range(_DRAWS if self.groups.keep_together else 1):
            key = self.key.child("group", number) if number else self.key
            train = cover_classes(list(names), len(free) - count, pixels, key)
            val_groups = {names[sample] for sample in _with_two_classes(list(names), train, pixels)}
            missing = len(classes_in(names, pixels)) - len(classes_in(train, pixels))
            share = sum(len(free[name]) for name in val_groups) / images
            draws.append(((missing, abs(share - self.share)), val_groups))
        return min(draws, key=lambda draw: draw[0])[1]

    def _classes(self, samples: Iterable[Sample]) -> dict[int, int]:
        """The pixels of each class in the masks of a group."""
        sums: dict[int, int] = {}
        for sample in samples:
            for index, count in self.pixels[self._mask(sample)].items():
                sums[index] = sums.get(index, 0) + count
        return sums

    @staticmethod
    def _mask(sample: Sample) -> Path:
        assert sample.mask is not None  # nosec B101 - only labeled images are held out
        return sample.mask


def _with_two_classes(
    samples: Sequence[Sample], train: Sequence[Sample], pixels: PixelCounts
) -> list[Sample]:
    """The samples to validate on, with one exchanged if they hold a single class.

    The last sample is exchanged for one of those to train on, if these lose no class by it.

    Args:
        samples: all of them.
        train: those to train on.
        pixels: the pixels of each class by mask.
    """
    val = [sample for sample in samples if sample not in train]
    if len(classes_in(val, pixels)) > 1:
        return val
    everything = classes_in(samples, pixels)
    for sample in train:
        other_val = [*val[:-1], sample]
        other_train = [val[-1], *(other for other in train if other is not sample)]
        if len(classes_in(other_val, pixels)) > 1 and classes_in(other_train, pixels) == everything:
            return other_val
    return val
