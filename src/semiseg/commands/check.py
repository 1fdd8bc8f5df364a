"""`check`: what would spoil a training on a data folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from semiseg.checks.examine import examine, report, sort
from semiseg.checks.report import Report
from semiseg.checks.touching_objects import touching_objects
from semiseg.commands._public import command
from semiseg.commands.settings.folders import CheckSettings
from semiseg.config.label_list import label_list
from semiseg.config.settings import AUTO
from semiseg.core.console import progress
from semiseg.core.errors import RunError
from semiseg.data.dataset import Dataset
from semiseg.data.findings import Finding
from semiseg.plots.labeled_samples import choose_samples, draw_samples


@command(CheckSettings)
def check(settings: CheckSettings) -> Report:
    """Find what would spoil a training: broken files, wrong masks, leaks, missing classes.

    Returns:
        The counts, the sizes, a histogram of the classes, and the findings. The report is not `ok`
        if one of them is an error.

    Raises:
        DataError: the folder or the file of classes does not exist.
        ConfigError: `labels` cannot be understood, or asks for more masks than exist.
        RunError: the picture cannot be written.
    """
    dataset = None if settings.dataset == AUTO else settings.dataset
    with progress("check") as bar:
        contents = examine(
            settings.data,
            settings.classes,
            settings.reading,
            bar.update,
            dataset,
            settings.arrangement._replace(
                label_list=label_list(settings.labels or "all"), reserved=settings.reserved
            ),
        )
    notes = [*touching_objects(contents)]  # reads masks again: a training need not wait for it
    if settings.picture is not None:
        notes += _write_picture(contents, settings.picture)
    contents = replace(contents, findings=tuple(sort([*contents.findings, *notes])))
    return report(contents, settings.labels or "", settings.split_seed)


def _write_picture(data: Dataset, picture: Path) -> list[Finding]:
    """Write the picture of labeled images, or a note that there are none."""
    samples = choose_samples(data)
    if data.class_list is None or not samples:
        message = f"{picture} was not written: there is no labeled image with a mask that fits"
        return [Finding("no-picture", "note", (), message)]
    try:
        draw_samples(samples, data.class_list, data.reading).save(picture)
    except (OSError, ValueError) as error:  # ValueError: no format of this suffix
        raise RunError(
            f"{picture} cannot be written ({error}). Name a .png or .jpg file in a folder that "
            "exists."
        ) from error
    return []
