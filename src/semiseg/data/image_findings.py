"""What a person should know about image files that can be read."""

from __future__ import annotations

from pathlib import Path

from semiseg.core.reading import RGB_CHANNELS
from semiseg.core.text import percent
from semiseg.data.dataset import Dataset
from semiseg.data.defects import on_paths
from semiseg.data.findings import Finding, Kind, Severity
from semiseg.data.formats.decoded import Remark

_REMARKS: dict[Remark, tuple[Kind, Severity, str, str]] = {
    "animated": (
        "animation",
        "note",
        "Animations, of which only the first frame is read",
        "To use all frames, save them as separate images.",
    ),
    "transparent": (
        "transparency",
        "note",
        "Images with transparent areas: semiseg reads the colors beneath them",
        "If an area holds no data, draw 255 there in the mask, so that it is ignored.",
    ),
    "fourth-band": (
        "fourth-band",
        "warning",
        "Images whose fourth channel is called transparency but varies like a band, such as "
        "infrared: semiseg reads the other three",
        "--bands 1,2,3,4 reads all four. It needs pip install 'semiseg[geo]', with which semiseg "
        "reads them by itself, if most images are like these.",
    ),
}


def describe_images(data: Dataset) -> list[Finding]:
    """Animations, transparency, and pixels without data."""
    findings = []
    for remark, (kind, severity, message, remedy) in _REMARKS.items():
        paths = [path for path, scan in data.images.items() if remark in scan.details.remarks]
        findings += on_paths(data, kind, severity, paths, message, remedy)
    return [*findings, *_axes(data), *_no_data(data)]


def _axes(data: Dataset) -> list[Finding]:
    """What the axes of stacks are, and who says so."""
    stacks: dict[str, list[Path]] = {}
    for path, scan in data.images.items():
        if scan.details.axes:
            stacks.setdefault(scan.details.axes, []).append(path)
    findings = []
    remedy = "If that is wrong, --axes names other axes."
    if data.reading.bands is None or len(data.reading.bands) == RGB_CHANNELS:
        remedy += (
            " Three channels are red, green and blue in the order of the file; --bands 3,1,2 reads "
            "them in another one."
        )
    for axes, paths in stacks.items():
        message = f"Stacks of pages whose axes are {axes}: each one is an image of several bands"
        findings += on_paths(data, "axes", "note", paths, message, remedy)
    return findings


def _no_data(data: Dataset) -> list[Finding]:
    details: dict[Path, str] = {}
    for path, scan in data.images.items():
        if scan.details.invalid:
            share = 100 * scan.details.invalid / (scan.size[0] * scan.size[1])
            marks = "".join(f", {value:.6g}" for value in scan.details.nodata)
            details[path] = f" ({percent(share)} %{marks})"
    message = (
        "Images with pixels that hold no data (not-a-number, or a value that the file or --nodata "
        "names)"
    )
    remedy = "They are left out of the range, and their labels are ignored."
    return on_paths(data, "no-data", "note", details, message, remedy)
