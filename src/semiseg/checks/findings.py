"""What a look at a data folder gives: counts, a histogram of the classes, and findings in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from semiseg.core.text import plural, printable, table, wrap

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
Size = tuple[int, int]
_NAMED = 5  # items that a sentence names


class Finding(NamedTuple):
    """Something that a person should know before training.

    Attributes:
        severity: `error` would spoil a training, `warning` may, `note` is good to know.
        kind: a short name for programs, such as `unreadable-image`.
        what: what was found.
        items: the files, below the data folder, or the classes that it was found in.
        details: what follows the name of each item in the text, or empty.
        remedy: what to do.
    """

    severity: Severity
    kind: str
    what: str
    items: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    remedy: str = ""

    @property
    def text(self) -> str:
        """All of it in words, with the count and the first five items.

        Example:
            >>> Finding("note", "x", "Things", tuple("abcdefg"), remedy="Count them.").text
            'Things: 7 (a, b, c, d, e, ...). Count them.'
        """
        named = list(self.items[:_NAMED])
        for i, detail in enumerate(self.details[:_NAMED]):
            named[i] += detail
        more = ["..."] if len(self.items) > _NAMED else []
        joined = ("; " if self.details else ", ").join(named + more)
        found = f": {len(self.items)} ({joined})" if self.items else ""
        return printable(f"{self.what}{found}. {self.remedy}".rstrip())

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "severity": self.severity,
            "kind": self.kind,
            "text": self.text,
            "items": [printable(item) for item in self.items],
        }


class SplitCount(NamedTuple):
    """The images of one split: with masks, without masks."""

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
        ignored: pixels that are neither taught nor scored, and their share of all pixels.
    """

    classes: Mapping[str, ClassCount]
    ignored: ClassCount


@dataclass(frozen=True)
class Report:
    """What `semiseg check` found.

    Attributes:
        root: the data folder.
        counts: images by split: `train`, `unlabeled`, `val`, `test`.
        sizes: of the images that can be read; None if there are none.
        classes: names of the classes; empty if they could not be settled.
        inferred: how the classes were found, in words.
        histogram: of `train` and `val`, where they have masks and the classes are settled.
        findings: errors first, then warnings, then notes.
    """

    root: Path
    counts: Mapping[str, SplitCount]
    sizes: Sizes | None
    classes: tuple[str, ...]
    inferred: str
    histogram: Mapping[str, Histogram]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not self.of("error")

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings of one severity."""
        return tuple(f for f in self.findings if f.severity == severity)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "root": printable(str(self.root)),
            "ok": self.ok,
            "counts": {split: count._asdict() for split, count in self.counts.items()},
            "sizes": None if self.sizes is None else self.sizes._asdict(),
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
        told = "\n".join(wrap(f.text, f"{f.severity:<9}") for f in self.findings)
        found = ", ".join(plural(len(self.of(s)), s) for s in SEVERITIES if self.of(s))
        parts = [self._counts(), self._sizes(), self._classes(), told]
        return "\n\n".join([p for p in parts if p] + [f"{found or 'Nothing to remark on'}."])

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

    def _classes(self) -> str:
        if not self.classes:
            return ""
        classes = plural(len(self.classes), "class", "classes")
        # What was inferred is a sentence, or `classes from FILE`.
        rest = self.inferred.removeprefix("classes")
        said = printable(f"{classes}{rest if rest != self.inferred else f': {rest}'}.")
        head = ["class", *(f"{s} {t}" for s in self.histogram for t in ("pixels", "%", "images"))]
        rows = [
            [
                printable(name),
                *(c for h in self.histogram.values() for c in _cells(h.classes[name])),
            ]
            for name in self.classes
        ]
        rows.append(["(ignored)", *(c for h in self.histogram.values() for c in _cells(h.ignored))])
        return f"{wrap(said)}\n\n{table(head, rows)}" if self.histogram else wrap(said)


def _cells(count: ClassCount) -> list[str]:
    percent = 100 * count.share
    rare = 0 < percent < 0.01
    return [f"{count.pixels:,}", "<0.01" if rare else f"{percent:.2f}", f"{count.images:,}"]
