"""`examine`: read a data folder and apply all rules; `report` sums it up."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from semiseg.checks.labeled_split import check_split
from semiseg.checks.report import (
    BandRow,
    ClassCount,
    Histogram,
    PoolSummary,
    Report,
    Size,
    Sizes,
    SplitCount,
    SplitSummary,
)
from semiseg.checks.rules import RULES
from semiseg.core.reading import AS_STORED, Reading
from semiseg.core.text import printable
from semiseg.core.types import IGNORE_INDEX, NOTHING_SAID, Arrangement
from semiseg.data.dataset import Dataset
from semiseg.data.findings import SEVERITIES, Finding
from semiseg.data.formats.masks import Classes
from semiseg.data.left_out import leave_out_unreadable
from semiseg.data.reader import no_progress, read_dataset
from semiseg.data.scan import Progress
from semiseg.data.splits import Split


def examine(
    root: Path,
    classes_file: Path | None = None,
    reading: Reading = AS_STORED,
    progress: Progress = no_progress,
    dataset: str | None = None,
    flags: Arrangement = NOTHING_SAID,
    left_out: Collection[str] = (),
) -> Dataset:
    """Read a data folder, with all findings: errors first, then warnings, then notes.

    Unreadable images without masks are a warning and in no split, since a training leaves them out.

    Args:
        root: the folder.
        classes_file: a file that names the classes, instead of the folder's own.
        reading: how images are read, see `read_image`.
        progress: is called after each file with the number of files that are done, and of all.
        dataset: the name of a published data set, `folder` for none, or None to recognize one.
        flags: where images and masks lie and which belong together; it wins over `dataset.yaml`.
        left_out: names of further images without masks that an earlier call left out.

    Raises:
        DataError: there is no such folder, or no such file of classes.
        ConfigError: there is no such published data set, or the groups cannot be used.
    """
    data = read_dataset(
        root,
        classes_file=classes_file,
        reading=reading,
        dataset=dataset,
        flags=flags,
        progress=progress,
    )
    findings = [*data.findings, *(finding for rule in RULES for finding in rule(data))]
    data = leave_out_unreadable(replace(data, findings=tuple(findings)), left_out)
    return replace(data, findings=tuple(sort(data.findings)))


def sort(findings: Iterable[Finding]) -> list[Finding]:
    """Errors first, then warnings, then notes."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def report(data: Dataset, labels: str = "", split_seed: int = 0) -> Report:
    """The counts, sizes and classes of a data folder with its findings.

    Args:
        data: the folder, as `examine` gives it.
        labels: the labeled images of a training, as for `train`, whose images are described, too;
            empty for none.
        split_seed: the seed of their choice.

    Raises:
        ConfigError: `labels` has no meaning, or asks for more masks than there are.
    """
    classes = data.class_list
    split, findings = check_split(data, labels, split_seed) if labels else (None, [])
    return Report(
        root=data.root,
        counts=_counts(data),
        sizes=_sizes([image.size for image in data.images.values()]),
        classes=classes.names if classes else (),
        inferred=data.inferred if classes else "",
        histogram=_histograms(data, classes, split) if classes else {},
        findings=tuple(sort([*data.findings, *findings])),
        bands=_bands(data),
        pool=_pool(data),
        split=None if split is None else SplitSummary(labels, split_seed, **split.counts()),
    )


def _bands(data: Dataset) -> tuple[BandRow, ...]:
    """The bands with their ranges, and the colors that a person or the files name; none of RGB."""
    if not data.bands:
        return ()
    ranges: Sequence[tuple[float, float] | None] = data.reading.ranges or [None] * len(data.bands)
    places = data.reading.color_channels or ()
    colors = dict(zip(places, ("red", "green", "blue"), strict=False))
    return tuple(
        BandRow(*band, ends, colors.get(place, ""))
        for place, (band, ends) in enumerate(zip(data.bands, ranges, strict=True))
    )


def _counts(data: Dataset) -> dict[str, SplitCount]:
    counts = {}
    for split, samples in data.samples.items():
        labeled = sum(sample.mask is not None for sample in samples)
        if samples or split == "train":
            counts[split] = SplitCount(labeled, len(samples) - labeled)
    if data.pool is not None:
        counts["unlabeled"] = SplitCount(0, len(data.pool.pool))
    return counts


def _pool(data: Dataset) -> PoolSummary | None:
    if data.pool is None:
        return None
    pool, sampled = data.pool.pool, len(data.pool.names)
    address = printable(str(pool.address))
    return PoolSummary(address, pool.fingerprint, len(pool), len(pool.counts), sampled)


def _sizes(sizes: list[Size]) -> Sizes | None:
    if not sizes:
        return None
    ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    return Sizes(ordered[0], ordered[len(ordered) // 2], ordered[-1], len(set(sizes)))


def _histograms(data: Dataset, classes: Classes, split: Split | None) -> dict[str, Histogram]:
    samples = {name: data.samples[name] for name in ("train", "val")}
    if split is not None:
        samples = {"train": samples["train"], "labeled": split.labeled, "val": split.val}
    masks = {
        name: [s.mask for s in part if s.mask in data.counts] for name, part in samples.items()
    }
    counts = {name: [data.counts[m] for m in part if m is not None] for name, part in masks.items()}
    return {name: _histogram(part, classes) for name, part in counts.items() if part}


def _histogram(masks: list[Mapping[int, int]], classes: Classes) -> Histogram:
    def count(i: int, total: int) -> ClassCount:
        pixels = sum(mask.get(i, 0) for mask in masks)
        images = sum(mask.get(i, 0) > 0 for mask in masks)
        return ClassCount(pixels, pixels / total if total else 0.0, images)

    total = sum(sum(mask.values()) for mask in masks)
    ignored = count(IGNORE_INDEX, total)
    class_pixels = total - ignored.pixels
    return Histogram(
        {name: count(i, class_pixels) for i, name in enumerate(classes.names)}, ignored
    )
