"""`report`: a run or a comparison as one HTML file that needs nothing beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from semiseg.core.errors import RunError

DAMAGE = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
"""What comes of files in which something is missing, or is of another kind."""


def report(
    run: Path, *, out: Path | None = None, data: Path | None = None, accelerator: str = "auto"
) -> Path:
    """Write a run or a comparison as one HTML file, to be opened in any browser.

    Args:
        run: a run folder, or the folder of a comparison.
        out: the file to write; `report.html` in that folder if not given.
        data: the data folder, if it was moved since the training.
        accelerator: `auto`, `cpu`, `gpu` or `mps`; some images of `val` are segmented again.

    Returns:
        The file.

    Raises:
        RunError: there is no finished run, the file cannot be written, or it would show no images
            since the data are gone, in the place of a page that does.
    """
    # Imported here, so that `semiseg --help` need not wait for torch.
    from jinja2 import UndefinedError

    from semiseg.core.files import write_text
    from semiseg.plots.curves import figure_style
    from semiseg.reporting.comparison_page import COMPARISON, NAME, comparison_page
    from semiseg.reporting.run_page import read_run, run_page
    from semiseg.training.session import say

    folder = Path(run)
    target = folder / NAME if out is None else Path(out)
    missing = ""
    try:
        with figure_style():
            if (folder / COMPARISON).is_file():
                page = _render("comparison.html", comparison_page(folder, target))
            else:
                moved = None if data is None else Path(data)
                values = run_page(read_run(folder), moved, accelerator)
                missing = values["no_gallery"]
                page = _render("run.html", values)
    except (*DAMAGE, UndefinedError) as error:
        raise RunError(
            f"A file of {folder} is damaged ({type(error).__name__}: {error}). Restore it, or "
            "train anew."
        ) from error
    if missing and _shows_images(target):  # which could not be drawn again
        raise RunError(
            f"{target} is kept, since a new page would show no images. {missing} Or write one "
            "without them to another --out."
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_text(target, page)
    except OSError as error:
        raise RunError(f"{target} cannot be written ({error}). Choose another --out.") from error
    if missing:
        say([f"{target} shows no images. {missing}"])
    return target


def _shows_images(page: Path) -> bool:
    """Whether there is a page that shows images of `val`."""
    try:
        return b'class="scene"' in page.read_bytes()
    except OSError:
        return False


def write_report(folder: Path, data: Path | None = None) -> None:
    """Write the report of what has just ended. A failure is told and costs nothing else.

    Args:
        folder: of a run or a comparison.
        data: where a run's data are; where they were if None.
    """
    from semiseg.training.session import say

    try:
        report(folder, data=data)
    except Exception as error:  # hours of training are not lost for a picture
        told = " ".join(str(error).split()) or repr(error)
        say([f"the report of {folder} could not be drawn, all else is there: {told}"])


def _render(template: str, values: dict[str, Any]) -> str:
    """Fill in a template. Names of classes and files are a stranger's, so all is escaped."""
    import hashlib
    from base64 import b64encode

    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    from semiseg.core.text import percent

    here = Path(__file__).parent
    room = Environment(
        loader=FileSystemLoader(here),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    room.filters["percent"] = percent
    script = (here / "script.js").read_text(encoding="utf-8")
    style = (here / "style.css").read_text(encoding="utf-8")
    # Both are our own files, and no words of a stranger are in them.
    room.globals["script"] = Markup(script)  # nosec B704
    room.globals["style"] = Markup(style)  # nosec B704
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    room.globals["script_hash"] = f"sha256-{digest}"
    return room.get_template(template).render(values)
