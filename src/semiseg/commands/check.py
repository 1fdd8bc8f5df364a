"""`check`: what a person wants to know of a data folder before training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from semiseg.core.errors import ConfigError, RunError

if TYPE_CHECKING:
    from semiseg.checks.report import Report
    from semiseg.data.cache import ValueRange
    from semiseg.data.dataset import Dataset
    from semiseg.data.findings import Finding


def check(
    data: Path,
    *,
    dataset: str | None = None,
    classes: Path | None = None,
    range: tuple[float, float] | None = None,
    picture: Path | None = None,
) -> Report:
    """Look for what would spoil a training: broken files, wrong masks, leaks, missing classes.

    Args:
        data: the data folder.
        dataset: as for `train`.
        classes: a file instead of `DATA/classes.yaml`, `DATA/labelmap.txt` or `_classes.csv`.
        range: the values that are black and white in images of more than 8 bits, as for `train`.
        picture: an image file to write, up to 12 labeled images with their masks laid over them.

    Returns:
        Counts, sizes, a histogram of the classes, and findings; not `ok` if one is an error.

    Raises:
        DataError: there is no such folder or file of classes.
        ConfigError: the range is empty.
        RunError: the picture cannot be written.
    """
    if range is not None and not range[0] < range[1]:
        raise ConfigError(f"--range {range}: the first value must be the smaller one.")
    from rich.console import Console
    from rich.progress import Progress

    from semiseg.checks.examine import examine, report, sort

    named = None if classes is None else Path(classes)
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("check", total=None)
        contents = examine(
            Path(data), named, range, lambda i, n: bar.update(task, completed=i, total=n), dataset
        )
    more = [] if picture is None else _write_picture(contents, Path(picture), range)
    return report(replace(contents, findings=tuple(sort([*contents.findings, *more]))))


def _write_picture(data: Dataset, picture: Path, value_range: ValueRange) -> list[Finding]:
    """Write the picture of labeled samples, or a note that there are none."""
    from semiseg.data.findings import Finding
    from semiseg.plots.labeled_samples import choose_samples, draw_samples

    samples = choose_samples(data)
    if data.class_list is None or not samples:
        message = f"{picture} was not written: there is no labeled image with a mask that fits"
        return [Finding("no-picture", "note", (), message)]
    try:
        draw_samples(samples, data.class_list, value_range or data.inferred_range).save(picture)
    except (OSError, ValueError) as error:  # ValueError: no format of this suffix
        raise RunError(
            f"{picture} cannot be written ({error}). Name a .png or .jpg file in a folder that "
            "exists."
        ) from error
    return []
