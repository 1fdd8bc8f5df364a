"""What is wrong with the files of a data folder, apart from their names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from semiseg.core.text import plural
from semiseg.data.dataset import Dataset
from semiseg.data.findings import Finding, Kind, Severity, on_files
from semiseg.data.formats.codes import spell
from semiseg.data.formats.image_formats import remedy_of_suffix
from semiseg.data.masks.soft_masks import describe_levels
from semiseg.data.tree import SPLITS

_MAX_CODES = 5  # unknown values of a mask that are named


def find_defects(data: Dataset, classes: Finding | None, mask_remedy: str) -> list[Finding]:
    """The errors that make a folder unusable for a training, and files that are ignored.

    Args:
        data: the folder; its findings are those on names and folders.
        classes: says why the classes could not be settled; None if they were.
        mask_remedy: what to do if no image has a mask; empty for the general advice.
    """
    return [
        *_unreadable(data),
        *_needs_extra(data),
        *_smeared(data),
        *_other_size(data),
        *_unknown_values(data),
        *_skipped_shapes(data),
        *([] if classes is None else [classes]),
        *_no_masks(data, mask_remedy),
        *_shared_images(data),
        *_missing_masks(data),
    ]


def on_paths(
    data: Dataset,
    kind: Kind,
    severity: Severity,
    details: Mapping[Path, str] | Iterable[Path],
    message: str,
    remedy: str = "",
) -> list[Finding]:
    """`on_files`, by the paths of the files.

    Args:
        data: the folder.
        kind: as in `Finding`.
        severity: as in `Finding`.
        details: the paths, and what the text says after each name, or nothing.
        message: as in `Finding`.
        remedy: as in `Finding`.
    """
    by_path = details if isinstance(details, Mapping) else dict.fromkeys(details, "")
    detail_of = {data.name(path): detail for path, detail in by_path.items()}
    return on_files(kind, severity, detail_of, message, remedy)


def _unreadable(data: Dataset) -> list[Finding]:
    images = {sample.image for sample in data.all_samples}
    files = {file for sample in data.all_samples for file in (sample.image, sample.mask)}
    broken = {
        path: f": {problem.reason}"
        for path, problem in data.problems.items()
        if problem.values is None and not (problem.needs_extra and path not in files)
    }
    of_images = {path: detail for path, detail in broken.items() if path in images}
    of_masks = {path: detail for path, detail in broken.items() if path not in images}
    return [
        *_broken(data, "unreadable-image", of_images, "Unreadable images"),
        *_broken(data, "unreadable-mask", of_masks, "Unreadable masks"),
    ]


def _broken(data: Dataset, kind: Kind, details: Mapping[Path, str], message: str) -> list[Finding]:
    """The finding on files that cannot be read; a reason that all of them share is said once."""
    reasons = set(details.values())
    if len(details) > 1 and len(reasons) == 1:
        return on_paths(data, kind, "error", [*details], f"{message} ({reasons.pop()[2:]})")
    return on_paths(data, kind, "error", details, message, "Replace or remove the files.")


def _needs_extra(data: Dataset) -> list[Finding]:
    """Photographs without masks that no installed package reads; the training does without them."""
    images = {sample.image for sample in data.all_samples}
    by_suffix: defaultdict[str, list[Path]] = defaultdict(list)
    for path, problem in data.problems.items():
        if problem.needs_extra and path not in images:
            by_suffix[path.suffix.lower()].append(path)
    findings = []
    for suffix, paths in by_suffix.items():
        message = f"Images {suffix} without masks that semiseg cannot read here and does not use"
        remedy = remedy_of_suffix(suffix)
        findings += on_paths(data, "needs-extra", "warning", paths, message, remedy)
    return findings


def _smeared(data: Dataset) -> list[Finding]:
    remedy = (
        "Save the original masks as PNG, and resize masks without interpolation (nearest). If "
        "these are photographs, name the right folder of masks, or give them other names."
    )
    soft = {
        mask: f" ({'over ' * scan.coarse}{len(scan.counts)} values)"
        for mask, scan in data.masks.items()
        if scan.is_soft
    }
    photographs = {
        path: f" holds {problem.values} different values"
        for path, problem in data.problems.items()
        if problem.values is not None
    }
    lossy = photographs | {m: d for m, d in soft.items() if data.masks[m].lossy}
    doubtful = {mask: detail for mask, detail in soft.items() if mask not in lossy}
    # If a file names the classes and the mask holds nothing else, a person meant it so.
    has_names = data.has_named_classes
    fits = {mask for mask in doubtful if has_names and mask not in data.unknown_codes}
    intended = {mask: values for mask, values in doubtful.items() if mask in fits}
    others = {mask: values for mask, values in doubtful.items() if mask not in fits}
    levels = describe_levels([data.masks[mask] for mask in (*others, *lossy) if mask in data.masks])
    remedy = f"{levels} {remedy}".lstrip()
    certain = "Masks that were smeared by JPEG or by resizing with interpolation"
    likely = "Masks that look smeared by JPEG or by resizing with interpolation"
    advice = (
        remedy if has_names else f"{remedy} If these values are classes, name them in classes.yaml."
    )
    return [
        *on_paths(data, "smeared-mask", "error", lossy, certain, remedy),
        *on_paths(data, "smeared-mask", "error", others, likely, advice),
        *on_paths(data, "smeared-mask", "warning", intended, likely, advice),
    ]


def _other_size(data: Dataset) -> list[Finding]:
    others, resized = dict[Path, str](), dict[Path, str]()
    for sample, mask in data.labeled(*SPLITS):
        if sample.image in data.images and mask in data.masks:
            image, size = data.images[sample.image].header, data.masks[mask].size
            if size not in (image.size, image.stored_size):
                detail = f" is {size[0]} x {size[1]}, its image {image.size[0]} x {image.size[1]}"
                (resized if data.fits(sample) else others)[mask] = detail
    message = "Masks of another size than their image"
    remedy = "Export the masks at the images' sizes."
    scaled = f"{message}, but of the same shape: semiseg resizes them without interpolation"
    return [
        *on_paths(data, "size", "error", others, message, remedy),
        *on_paths(data, "size", "warning", resized, scaled, f"{remedy} Then the edges are exact."),
    ]


def _unknown_values(data: Dataset) -> list[Finding]:
    if data.class_list is None:
        return []
    details = {}
    for mask, codes in data.unknown_codes.items():
        if not data.masks[mask].is_soft:
            encoding, labels = data.class_list.encoding, data.masks[mask].labels
            values = [spell(code, encoding, labels) for code in sorted(codes)[:_MAX_CODES]]
            details[mask] = f" ({', '.join(values)}{', ...' if len(codes) > _MAX_CODES else ''})"
    message = "Masks with values that belong to no class"
    remedy = "Correct the masks, or name the values in classes.yaml, as classes or under `ignore:`."
    return on_paths(data, "unknown-value", "error", details, message, remedy)


def _skipped_shapes(data: Dataset) -> list[Finding]:
    details = {
        mask: f" ({', '.join(plural(count, kind) for kind, count in scan.skipped.items())})"
        for mask, scan in data.masks.items()
        if scan.skipped
    }
    message = "LabelMe's files with shapes that cover no area and are skipped"
    remedy = "Draw polygons instead if these are objects of a class."
    return on_paths(data, "skipped-shape", "warning", details, message, remedy)


def _no_masks(data: Dataset, remedy: str) -> list[Finding]:
    if data.errors() or not data.samples["train"] or any(data.labeled("train")):
        return []  # where names are ambiguous, more masks may belong to images than are matched
    general = "Put masks into train/masks; a mask has its image's name."
    message = "No image of train has a mask"
    return [Finding("no-masks", "error", (), message, remedy or general)]


def _shared_images(data: Dataset) -> list[Finding]:
    details: dict[Path, str] = {}
    first: dict[Path, str] = {}
    for split, samples in data.samples.items():
        for sample in samples:
            if first.setdefault(sample.image, split) != split:
                details[sample.image] = f" in {first[sample.image]} and {split}"
    message = "Images that are listed in two splits: what was trained on cannot be scored"
    remedy = "Remove them from one of the lists."
    return on_paths(data, "shared-image", "error", details, message, remedy)


def _missing_masks(data: Dataset) -> list[Finding]:
    splits = [data.samples[split] for split in ("val", "test")]
    images = [sample.image for samples in splits for sample in samples if sample.mask is None]
    message = "Images of val or test that have no mask and are ignored"
    remedy = "Add the masks, or move the images to train or unlabeled."
    return on_paths(data, "missing-mask", "warning", images, message, remedy)
