"""Unreadable images without masks: a training leaves them out instead of stopping."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from semiseg.core.types import Sample
from semiseg.data.dataset import Dataset
from semiseg.data.findings import Finding, Severity


def leave_out_unreadable(data: Dataset, names: Collection[str] = ()) -> Dataset:
    """A folder without the images that have no mask and cannot be read.

    The reader has decoded every file by then, so nothing is opened here. The error that names the
    images becomes a warning. It stays an error for images with masks, and for masks.

    Args:
        data: the folder, as `semiseg check` sees it.
        names: the names of further images without masks to leave out: those that could not be
            read when a run began, which must not join it when it goes on.

    Returns:
        The folder; `left_out` holds the images that are missing from its samples.
    """
    unlabeled = [sample for sample in data.all_samples if sample.mask is None]
    broken = [s for s in unlabeled if s.image in data.problems]
    left_out = {s for s in unlabeled if s.image in data.problems or s.name in names}
    if not left_out:
        return data
    files = {data.name(sample.image) for sample in broken}
    samples = {
        split: tuple(s for s in whole if s not in left_out) for split, whole in data.samples.items()
    }
    findings = [part for finding in data.findings for part in _divided(finding, files)]
    return replace(
        data, samples=samples, findings=tuple(findings), left_out=tuple(sorted(left_out))
    )


def readable(data: Dataset) -> tuple[Sample, ...]:
    """The images that are left out although they can be read now."""
    return tuple(sample for sample in data.left_out if sample.image in data.images)


def _divided(finding: Finding, files: Collection[str]) -> list[Finding]:
    """A finding on unreadable images, as a warning on these files and an error on the others."""
    if finding.kind != "unreadable-image" or finding.severity != "error":
        return [finding]
    details = finding.details or ("",) * len(finding.files)
    pairs = list(zip(finding.files, details, strict=True))
    without = [pair for pair in pairs if pair[0] in files]
    others = [pair for pair in pairs if pair[0] not in files]
    reason = finding.message.removeprefix("Unreadable images")
    message = f"Unreadable images without masks{reason}, which a training leaves out"
    parts: list[tuple[list[tuple[str, str]], str, str, Severity]] = [
        (others, finding.message, finding.remedy, finding.severity),
        (without, message, "Replace the files to use them.", "warning"),
    ]
    return [
        finding._replace(
            severity=severity,
            files=tuple(file for file, _ in part),
            message=message,
            remedy=remedy,
            details=tuple(detail for _, detail in part) if finding.details else (),
        )
        for part, message, remedy, severity in parts
        if part
    ]
