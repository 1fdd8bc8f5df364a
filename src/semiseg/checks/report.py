"""The report of `semiseg check`: counts, sizes, a histogram of the classes, and the findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from semiseg.core.text import columns, plural, printable, table, wrap
from semiseg.data.findings import SEVERITIES, Finding, Severity

Size = tuple[int, int]


class SplitCount(NamedTuple):
    """The images of one split.

    Attributes:
        labeled: how many have a mask.
        unlabeled: how many have none.
    """

    labeled: int
    unlabeled: int


class Sizes(NamedTuple):
    """Sizes of images, width and height; ordered by the number of pixels."""

    smallest: Size
    median: Size
    largest: Size
    distinct: int


class ClassCount(NamedTuple):
    """One class in the masks of one split.

    Attributes:
        pixels: how many pixels it has.
        share: of all pixels that are not ignored, from 0 to 1.
        images: how many images hold it.
    """

    pixels: int
    share: float
    images: int


class Histogram(NamedTuple):
    """The classes in the masks of one split.

    Attributes:
        classes: by name, in the order of the class indices.
        ignored: the pixels that are ignored in training and scoring, and their share of all pixels.
    """

    classes: Mapping[str, ClassCount]
    ignored: ClassCount


class BandRow(NamedTuple):
    """One band of images with other than one or three.

    Attributes:
        number: in the files, from 1 on.
        name: as the files call it; empty without a name.
        type: of its numbers, such as `uint16`.
        range: the values that become 0 and 255.
        color: `red`, `green` or `blue`, if a person or the files call it so; else empty.
    """

    number: int
    name: str
    type: str
    range: tuple[float, float] | None
    color: str


class PoolSummary(NamedTuple):
    """The pool of the unlabeled images.

    Attributes:
        address: where it lies, without a password.
        fingerprint: the hash by which it is recognized.
        images: how many it has.
        shards: in how many tar files.
        sampled: the images of it that were looked at.
    """

    address: str
    fingerprint: str
    images: int
    shards: int
    sampled: int


class SplitSummary(NamedTuple):
    """The images that a training would use.

    Attributes:
        labels: as `--labels` asks for them.
        seed: the seed of the split.
        labeled: how many images the training learns from with their masks.
        unlabeled: how many without, those of a pool included.
        val: how many score it.
    """

    labels: str
    seed: int
    labeled: int
    unlabeled: int
    val: int

    def text(self) -> str:
        """The same as a sentence."""
        return (
            f"With --labels {printable(self.labels)} --split-seed {self.seed}, a training has "
            f"{plural(self.labeled, 'labeled image')}, {self.unlabeled:,} unlabeled and "
            f"{self.val:,} for validation."
        )


@dataclass(frozen=True)
class Report:
    """What `semiseg check` found.

    Attributes:
        root: the data folder.
        counts: images by split: `train`, `unlabeled`, `val`, `test`.
        sizes: of the images that can be read; None if there are none.
        classes: names of the classes; empty if they could not be settled.
        inferred: a phrase that says how the classes were found.
        histogram: of `train` and `val`, if they have masks and the classes are settled; also of the
            `labeled` images of `split`, and its `val` if that is held out.
        findings: errors first, then warnings, then notes.
        bands: the bands that are read; empty for gray images and RGB.
        pool: the pool of the unlabeled images, of which only a sample was looked at; None without
            one.
        split: the images of the training that was asked for; None if none was, or if it could not
            begin.
    """

    root: Path
    counts: Mapping[str, SplitCount]
    sizes: Sizes | None
    classes: tuple[str, ...]
    inferred: str
    histogram: Mapping[str, Histogram]
    findings: tuple[Finding, ...]
    bands: tuple[BandRow, ...] = ()
    pool: PoolSummary | None = None
    split: SplitSummary | None = None

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not self.of("error")

    @property
    def status(self) -> int:
        """The exit status of the command line: 1 if there is an error."""
        return 0 if self.ok else 1

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings of one severity."""
        return tuple(f for f in self.findings if f.severity == severity)

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON; docs/check.md describes the keys."""
        return {
            "root": printable(str(self.root)),
            "ok": self.ok,
            "counts": {split: count._asdict() for split, count in self.counts.items()},
            "pool": None if self.pool is None else self.pool._asdict(),
            "split": None if self.split is None else self.split._asdict(),
            "sizes": None if self.sizes is None else self.sizes._asdict(),
            "bands": [{**band._asdict(), "name": printable(band.name)} for band in self.bands],
            "classes": list(self.classes),
            "inferred": printable(self.inferred),
            "histogram": {
                split: {
                    "classes": {name: c._asdict() for name, c in h.classes.items()},
                    "ignored": h.ignored._asdict(),
                }
                for split, h in self.histogram.items()
            },
            "findings": [finding.to_dict() for finding in self.findings],
        }

    def text(self) -> str:
        """Tables and sentences for the terminal."""
        findings = "\n".join(wrap(f.text, f"{f.severity:<9}") for f in self.findings)
        totals = ", ".join(plural(len(self.of(s)), s) for s in SEVERITIES if self.of(s))
        split = "" if self.split is None else wrap(self.split.text())
        parts = [self._counts(), split, self._sizes(), self._bands(), self._classes(), findings]
        return "\n\n".join([p for p in parts if p] + [f"{totals or 'No problems found'}."])

    def _counts(self) -> str:
        rows = [[s, f"{n.labeled:,}", f"{n.unlabeled:,}"] for s, n in self.counts.items()]
        return table(["images", "with mask", "without"], rows)

    def _sizes(self) -> str:
        if self.sizes is None:
            return ""
        smallest, median, largest = (f"{w} x {h}" for w, h in self.sizes[:3])
        if self.sizes.distinct == 1:
            return f"All images are {median} pixels."
        return (
            f"Images have {self.sizes.distinct} sizes: from {smallest} to {largest} pixels, "
            f"median {median}."
        )

    def _bands(self) -> str:
        """A table of the bands; empty for gray images and RGB."""
        if not self.bands:
            return ""
        rows = [
            [
                str(band.number),
                printable(band.name),
                band.type,
                "" if band.range is None else "{:.6g} to {:.6g}".format(*band.range),
                band.color,
            ]
            for band in self.bands
        ]
        return columns(["band", "name", "type", "range", "color"], rows)

    def _classes(self) -> str:
        if not self.classes:
            return ""
        count = plural(len(self.classes), "class", "classes")
        summary = printable(f"{count}: {self.inferred}.")
        head = ["class", *(f"{s} {t}" for s in self.histogram for t in ("pixels", "%", "images"))]
        rows = [
            [
                printable(name),
                *(c for h in self.histogram.values() for c in _cells(h.classes[name])),
            ]
            for name in self.classes
        ]
        rows.append(["(ignored)", *(c for h in self.histogram.values() for c in _cells(h.ignored))])
        return f"{wrap(summary)}\n\n{table(head, rows)}" if self.histogram else wrap(summary)


def _cells(count: ClassCount) -> list[str]:
    percent = 100 * count.share
    rare = 0 < percent < 0.01
    return [f"{count.pixels:,}", "<0.01" if rare else f"{percent:.2f}", f"{count.images:,}"]
