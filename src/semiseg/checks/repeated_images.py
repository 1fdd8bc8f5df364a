"""Rules on images that occur twice: in two splits, as copies of a photograph, or with two masks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from semiseg.data.dataset import Dataset
from semiseg.data.defects import on_paths
from semiseg.data.findings import Finding, Severity
from semiseg.data.formats.codes import read_codes
from semiseg.data.formats.mask_rule import AS_STORED
from semiseg.data.tree import SPLITS

_MAX_DISPUTED = 0.1  # two people's masks of one image may differ along the edges, but not this much


def identical_images(data: Dataset) -> Iterator[Finding]:
    """Images with the same pixels, in different splits or in one."""
    leaks: dict[Path, str] = {}
    repeated: dict[Path, str] = {}
    for group in _same_pixels(data):
        first, *others = sorted(group, key=lambda path: group[path][1] is None)
        for path in others:
            apart = group[path][0] != group[first][0]
            crosses = apart and bool({group[path][0], group[first][0]} & {"val", "test"})
            (leaks if crosses else repeated)[path] = f" = {data.name(first)}"
    message = "Identical images in different splits, so that scores are too good"
    yield from on_paths(data, "leak", "warning", leaks, message, "Keep each image in one split.")
    # Without val, one of two identical images may be trained on and the other scored.
    severity: Severity = "note" if data.val else "warning"
    message = "Images that are identical to another one, which is named behind them"
    remedy = "One of each is enough; those named first may be deleted."
    yield from on_paths(data, "repeated-image", severity, repeated, message, remedy)


def augmented_copies(data: Dataset) -> Iterable[Finding]:
    """Roboflow's names, NAME.rf.HASH, show which images were made from one photograph."""
    splits: defaultdict[str, set[str]] = defaultdict(set)
    copies: defaultdict[str, list[Path]] = defaultdict(list)
    for split in SPLITS:
        for sample in data.samples[split]:
            origin, mark, _ = sample.image.stem.rpartition(".rf.")
            if mark and (split == "train" or sample.mask):
                splits[origin].add(split)
                copies[origin].append(sample.image)
    holds_out = not data.val  # copies of one photograph may then be trained on and held out
    origins = [
        origin
        for origin, files in copies.items()
        if "train" in splits[origin] and (len(splits[origin]) > 1 or (holds_out and len(files) > 1))
    ]
    details = {copies[origin][0]: f" and {len(copies[origin]) - 1} more" for origin in origins}
    scored = "may be held out to be scored" if holds_out else "are scored"
    message = f"Photographs of which some copies are trained on and others {scored}: scores are "
    message += "too good"
    remedy = "Export without augmentation, or with a valid/ of other photographs."
    return on_paths(data, "leak", "warning", details, message, remedy)


def contradicting_masks(data: Dataset) -> Iterator[Finding]:
    """Identical images whose masks differ."""
    slight: dict[Path, str] = {}
    grave: dict[Path, str] = {}
    for group in _same_pixels(data):
        masked = {path: mask for path, (_, mask) in group.items() if mask in data.masks and mask}
        for path in list(masked)[1:]:
            first = next(iter(masked))
            share = _disputed(data, masked[first], masked[path])
            detail = f" = {data.name(first)}, but {100 * share:.1f} % of the mask differ"
            if share > 0:
                (grave if share > _MAX_DISPUTED else slight)[path] = detail
    message, remedy = "Identical images with different masks", "Keep the right mask of each."
    yield from on_paths(data, "contradicting-masks", "error", grave, message, remedy)
    yield from on_paths(data, "contradicting-masks", "warning", slight, message, remedy)


def _same_pixels(data: Dataset) -> Iterator[dict[Path, tuple[str, Path | None]]]:
    """Groups of identical images, each with its split and its mask."""
    groups: defaultdict[str, dict[Path, tuple[str, Path | None]]] = defaultdict(dict)
    for split, samples in data.samples.items():
        for sample in samples:
            if sample.image in data.images:
                group = groups[data.images[sample.image].digest]
                group.setdefault(sample.image, (split, sample.mask))
    return (group for group in groups.values() if len(group) > 1)


def _disputed(data: Dataset, one: Path, other: Path) -> float:
    """The share of pixels in which two masks differ."""
    if data.masks[one].size != data.masks[other].size:
        return 1.0
    classes = data.class_list
    rule, encoding = (AS_STORED, None) if classes is None else (classes.rule, classes.encoding)
    first, second = (read_codes(path, rule, encoding).values for path in (one, other))
    return float(np.mean(first != second))
