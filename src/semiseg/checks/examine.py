"""What a person wants to know of a data folder before training: counts, classes, findings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from semiseg.checks.findings import (
    SEVERITIES,
    ClassCount,
    Finding,
    Histogram,
    Report,
    Size,
    Sizes,
    SplitCount,
)
from semiseg.checks.rules import RULES
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.cache import ValueRange
from semiseg.data.formats.masks import Classes
from semiseg.data.survey import Progress, Survey, survey
from semiseg.data.value_range import infer_range


def examine(
    root: Path,
    classes_file: Path | None = None,
    value_range: ValueRange = None,
    progress: Progress = lambda done, total: None,
    dataset: str | None = None,
) -> tuple[Report, Survey]:
    """Read a data folder to its end and say all that is wrong or worth knowing.

    Args:
        root: the folder.
        classes_file: instead of `root/classes.yaml`.
        value_range: the values that are black and white in images, see `read_image`.
        progress: told after each file how many are done, and of how many.
        dataset: the name of the data set that it is, `folder` for none, or None to recognize it.

    Returns:
        The report, and what it was made from.

    Raises:
        DataError: there is no such folder, or no such file of classes.
    """
    found = survey(root, classes_file, value_range, progress, dataset)
    findings = [*found.listing, *(finding for rule in RULES for finding in rule(found))]
    if value_range is None and (extent := extent_of(found)):
        findings.append(_told(*extent))
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    classes = found.classes
    report = Report(
        root=root,
        counts=_counts(found),
        sizes=_sizes([image.size for image in found.images.values()]),
        classes=classes.names if classes else (),
        inferred=found.inferred if classes else "",
        histogram=_histograms(found, classes) if classes else {},
        findings=tuple(findings),
    )
    return report, found


def extent_of(s: Survey) -> tuple[float, float] | None:
    """What a training would take for black and white in images of more than 8 bits."""
    val = [sample for sample in s.samples["val"] if sample.mask is not None]
    return infer_range([x.image for x in (*s.samples["train"], *s.samples["unlabeled"], *val)])


def _told(low: float, high: float) -> Finding:
    what = f"The gray images of more than 8 bits hold values of {low:g} to {high:g}"
    remedy = f"Training takes these for black and white; --range {low:g},{high:g} says otherwise."
    return Finding("note", "value-range", what, remedy=remedy)


def _counts(s: Survey) -> dict[str, SplitCount]:
    counts = {}
    for split, samples in s.samples.items():
        labeled = sum(sample.mask is not None for sample in samples)
        if samples or split == "train":
            counts[split] = SplitCount(labeled, len(samples) - labeled)
    return counts


def _sizes(sizes: list[Size]) -> Sizes | None:
    if not sizes:
        return None
    ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    return Sizes(ordered[0], ordered[len(ordered) // 2], ordered[-1], len(set(sizes)))


def _histograms(s: Survey, classes: Classes) -> dict[str, Histogram]:
    masks = {split: [m for _, m in s.labeled(split) if m in s.pixels] for split in ("train", "val")}
    return {
        split: _histogram([s.pixels[mask] for mask in found], classes)
        for split, found in masks.items()
        if found
    }


def _histogram(masks: list[Mapping[int, int]], classes: Classes) -> Histogram:
    def count(i: int, whole: int) -> ClassCount:
        pixels = sum(mask.get(i, 0) for mask in masks)
        images = sum(mask.get(i, 0) > 0 for mask in masks)
        return ClassCount(pixels, pixels / whole if whole else 0.0, images)

    everything = sum(sum(mask.values()) for mask in masks)
    ignored = count(IGNORE_INDEX, everything)
    taught = everything - ignored.pixels
    return Histogram({name: count(i, taught) for i, name in enumerate(classes.names)}, ignored)
