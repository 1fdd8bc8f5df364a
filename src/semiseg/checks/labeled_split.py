"""The images that a training with some `--labels` would use, and the classes that they lack."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from semiseg.core.errors import DataError
from semiseg.core.text import plural
from semiseg.core.types import Sample
from semiseg.data.classes.class_cover import classes_in
from semiseg.data.dataset import Dataset
from semiseg.data.findings import Finding, Kind, Severity, error_of
from semiseg.data.splits import Split, make_split


def check_split(data: Dataset, labels: str, split_seed: int) -> tuple[Split | None, list[Finding]]:
    """Choose the images as a training would, and find the classes that its masks lack.

    Args:
        data: the folder, as `examine` gives it.
        labels: as for `train`.
        split_seed: as for `train`.

    Returns:
        The images, None if there is no such training; and the findings.

    Raises:
        ConfigError: `labels` has no meaning, or asks for more masks than there are.
    """
    if data.errors():
        return None, []  # a training would not begin, and masks may not have been counted
    try:
        split = make_split(data, labels, split_seed)
    except DataError as error:
        return None, [error_of(error)]
    return split, _findings(data, split)


def _findings(data: Dataset, split: Split) -> list[Finding]:
    """Classes of `train` that the labeled images lack, or the held-out ones."""
    masked = [sample for sample in data.train if sample.mask is not None]
    occurring = classes_in(masked, data.pixels)
    missing = occurring - classes_in(split.labeled, data.pixels)
    findings = []
    if missing:
        held_out = "" if data.val else " or of those held out for validation"
        message = (
            f"Classes that occur in masks of train{held_out}, but in none of the "
            f"{plural(len(split.labeled), 'labeled image')}, so that they cannot be learned"
        )
        remedy = (
            "Ask for more --labels, try another --split-seed, or name images that hold these "
            "classes in a file (--labels FILE)."
        )
        findings.append(_on_classes(data, missing, masked, "hidden-class", message, remedy))
    if not data.val and (unscored := occurring - classes_in(split.val, data.pixels)):
        message = (
            "Classes that occur in no image held out for validation, and are not scored: the mean "
            "IoU leaves them out"
        )
        findings.append(_on_classes(data, unscored, masked, "unscored-class", message))
    return findings


def _on_classes(
    data: Dataset,
    indices: Collection[int],
    masked: Iterable[Sample],
    kind: Kind,
    message: str,
    remedy: str = "",
) -> Finding:
    """A finding on classes, each with the number of masks of train that hold it."""
    ordered = sorted(indices)
    holders = [classes_in([sample], data.pixels) for sample in masked]
    counts = (sum(index in classes for classes in holders) for index in ordered)
    severity: Severity = "warning" if remedy else "note"
    names = tuple(data.classes.names[index] for index in ordered)
    details = tuple(f", in {plural(count, 'mask')} of train" for count in counts)
    return Finding(kind, severity, (), message, remedy, classes=names, details=details)
