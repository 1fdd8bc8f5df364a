"""What the reader gives: samples, classes, and findings on what is wrong with a data folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from semiseg.core.errors import DataError
from semiseg.core.reading import AS_STORED, Reading
from semiseg.core.text import plural
from semiseg.core.types import IGNORE_INDEX, Sample
from semiseg.data.band_choice import Band
from semiseg.data.findings import Finding
from semiseg.data.formats.codes import MaskScan
from semiseg.data.formats.masks import Classes
from semiseg.data.formats.orientation import shows_stored_pixels
from semiseg.data.image_scan import ImageScan
from semiseg.data.pools.pool_sample import PoolSample
from semiseg.data.scan import Problem


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data folder that was read.

    Attributes:
        root: the folder.
        samples: the images by split: `train`, `unlabeled`, `val`, `test`.
        images: the images that can be decoded.
        masks: the masks that can be read.
        problems: the other files.
        class_list: the classes and how masks spell them; None if they could not be settled.
        has_named_classes: whether a file or a published data set names the classes.
        recognized: the title of the published data set whose tree was recognized, and whose classes
            therefore count; empty where a person named the data set or the classes.
        inferred: how the classes were found, or why they could not be settled.
        counts: for each mask the pixels of each class index in it, 255 for ignored pixels. Masks
            with unknown codes are left out, and smeared ones unless the classes are named.
        unknown_codes: the codes that belong to no class, by mask.
        outlines: the number of labeled objects of each code, by mask, where annotation files list
            the objects of an image.
        reading: how images are read: as flags, `dataset.yaml` or the images themselves say.
        bands: the bands that are read, where the images have other than one or three.
        corrected: the images that folders of corrected masks added to `train`.
        group: the regular expression that finds the group of an image in its name; None without
            groups.
        pool: the pool of unlabeled images; None without one. The images of its sample are those of
            `unlabeled`.
        background_remedy: what to do with an image that holds only background, so that it does not
            count as unlabeled; a sentence without its end.
        left_out: images without masks that are in no split, since they cannot be read; see
            `leave_out_unreadable`.
        findings: what was noticed; errors make the folder unusable for a training.
    """

    root: Path
    samples: Mapping[str, Sequence[Sample]]
    images: Mapping[Path, ImageScan] = field(default_factory=dict)
    masks: Mapping[Path, MaskScan] = field(default_factory=dict)
    problems: Mapping[Path, Problem] = field(default_factory=dict)
    class_list: Classes | None = None
    has_named_classes: bool = False
    recognized: str = ""
    inferred: str = ""
    counts: Mapping[Path, Mapping[int, int]] = field(default_factory=dict)
    unknown_codes: Mapping[Path, Sequence[int]] = field(default_factory=dict)
    outlines: Mapping[Path, Mapping[int, int]] = field(default_factory=dict)
    reading: Reading = AS_STORED
    bands: tuple[Band, ...] = ()
    corrected: frozenset[Path] = frozenset()
    group: str | None = None
    pool: PoolSample | None = None
    background_remedy: str = ""
    left_out: tuple[Sample, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def classes(self) -> Classes:
        """The classes and how masks spell them.

        Raises:
            DataError: they could not be settled.
        """
        if self.class_list is None:
            raise DataError(self.inferred or f"{self.root} has no masks, and so no classes.")
        return self.class_list

    @cached_property
    def train(self) -> tuple[Sample, ...]:
        """All training images, with their masks where they have one."""
        return (*self.samples["train"], *self.samples["unlabeled"])

    @cached_property
    def val(self) -> tuple[Sample, ...]:
        """The validation images that have masks; empty if the folder has none."""
        return tuple(sample for sample in self.samples["val"] if sample.mask is not None)

    @cached_property
    def test(self) -> tuple[Sample, ...]:
        """The test images that have masks; empty if the folder has none."""
        return tuple(sample for sample in self.samples["test"] if sample.mask is not None)

    @cached_property
    def all_samples(self) -> tuple[Sample, ...]:
        """The samples of all splits."""
        return tuple(sample for samples in self.samples.values() for sample in samples)

    @cached_property
    def pixels(self) -> Mapping[Path, Mapping[int, int]]:
        """For each mask the pixels of each class index in it, without ignored pixels."""
        return {
            mask: {index: count for index, count in counts.items() if index != IGNORE_INDEX}
            for mask, counts in self.counts.items()
        }

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the start of a training: how the classes were found, what is ignored."""
        kinds = ("layout", "tiles")
        notable = [f for f in self.findings if f.severity == "warning" or f.kind in kinds]
        return (self.class_note, *(finding.text for finding in notable))

    @property
    def class_note(self) -> str:
        """How many classes there are, and how they were found."""
        return f"{plural(len(self.classes), 'class', 'classes')}: {self.inferred}"

    def errors(self) -> tuple[Finding, ...]:
        """The findings that make the folder unusable for a training."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    def raise_errors(self) -> None:
        """Refuse a folder that cannot be trained on.

        Raises:
            DataError: there is an error among the findings; the text is that of the first one.
        """
        errors = self.errors()
        if errors:
            more = f" {len(errors) - 1} more with: semiseg check {self.root}" * (len(errors) > 1)
            raise DataError(f"{errors[0].text}{more}")

    def name(self, path: Path) -> str:
        """A file's path below the folder, with `/` between folders.

        A mask that was drawn into the cache goes by the name of its image, and an image of a pool
        by its name there.
        """
        if self.pool is not None and path in self.pool.names:
            return self.pool.names[path]
        return name_below(self.root, self._images_of_drawn.get(path, path))

    @cached_property
    def _images_of_drawn(self) -> Mapping[Path, Path]:
        """The images of the masks outside of the folder."""
        return {
            sample.mask: sample.image
            for sample in self.all_samples
            if sample.mask is not None and not sample.mask.is_relative_to(self.root)
        }

    def labeled(self, *splits: str) -> Iterator[tuple[Sample, Path]]:
        """The samples of the splits that have masks, with their masks."""
        for split in splits:
            for sample in self.samples[split]:
                if sample.mask is not None:
                    yield sample, sample.mask

    def fits(self, sample: Sample) -> bool:
        """Whether the mask of a sample can be laid over its image: it has the same shape.

        Raises:
            KeyError: the mask or the image cannot be read.
        """
        image, mask = self.images[sample.image].header, self.masks[sample.mask or Path()].size
        return shows_stored_pixels(mask, image, is_turned=False) is not None

    def occurring(self, split: str) -> set[int]:
        """The class indices in the masks of a split."""
        return {c for _, mask in self.labeled(split) for c in self.pixels.get(mask, ())}


def name_below(root: Path, path: Path) -> str:
    """A file's path below a folder, with `/` between folders."""
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
