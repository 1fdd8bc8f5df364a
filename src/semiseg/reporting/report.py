"""`report`: a run or a comparison as one HTML file that needs no other file."""

from __future__ import annotations

import logging
from pathlib import Path

from semiseg.comparison.result import COMPARISON
from semiseg.core.errors import RunError
from semiseg.core.files import write_text
from semiseg.core.run_names import REPORT
from semiseg.plots.curves import figure_style
from semiseg.reporting.comparison_page import comparison_page
from semiseg.reporting.live_page import LIVE_MARK
from semiseg.reporting.run_files import read_run
from semiseg.reporting.run_page import run_page
from semiseg.reporting.template import UndefinedError, render

logger = logging.getLogger(__name__)

DAMAGE = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
"""The errors of reading files whose values are missing or have another type."""


def report(
    run: Path, *, out: Path | None = None, data: Path | None = None, accelerator: str = "auto"
) -> Path:
    """Write a run or a comparison as one HTML file that opens in any browser.

    Args:
        run: a run folder, or the folder of a comparison.
        out: the file to write. By default, `report.html` in that folder.
        data: the data folder, if it moved since the training.
        accelerator: `auto`, `cpu`, `gpu` or `mps`. The report segments some validation images.

    Returns:
        The file.

    Raises:
        RunError: there is no finished run, the file cannot be written, or the report would show no
            images because the data are gone, and would replace a report that shows them.
    """
    folder = Path(run)
    target = folder / REPORT if out is None else Path(out)
    no_gallery = ""
    try:
        with figure_style():
            if (folder / COMPARISON).is_file():
                text = render("comparison.html", comparison_page(folder, target))
            else:
                page = run_page(read_run(folder), None if data is None else Path(data), accelerator)
                no_gallery = page.no_gallery
                text = render("run.html", page)
    except (*DAMAGE, UndefinedError) as error:
        raise RunError(
            f"A file of {folder} is damaged ({type(error).__name__}: {error}). Restore it, or "
            "train again."
        ) from error
    if no_gallery and _shows_images(target):
        raise RunError(
            f"{target} is kept, since a new page would show no images. {no_gallery} Or write a "
            "page without images to another --out."
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_text(target, text, shared=(folder / COMPARISON).is_file())
    except OSError as error:
        raise RunError(f"{target} cannot be written ({error}). Choose another --out.") from error
    if no_gallery:
        logger.warning("%s shows no images. %s", target, no_gallery)
    return target


def write_report(folder: Path, data: Path | None = None) -> bool:
    """Write the report at the end of a training. A failure is reported and changes nothing else.

    Args:
        folder: of a run or a comparison.
        data: the data folder of a run; by default, the folder that the run used.

    Returns:
        Whether the report is written.
    """
    try:
        report(folder, data=data)
    except Exception as error:  # hours of training are not lost for a picture
        message = " ".join(str(error).split()) or repr(error)
        logger.warning(
            "The report of %s could not be written; all other files are there: %s", folder, message
        )
        return False
    return True


def _shows_images(page: Path) -> bool:
    """Whether a file is a report with validation images; the page of a training is none."""
    try:
        content = page.read_bytes()
    except OSError:
        return False
    return b'class="scene"' in content and LIVE_MARK.encode() not in content
