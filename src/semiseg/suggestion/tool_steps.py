"""What to do with the files of a labeling tool: import, correct, export."""

from __future__ import annotations

from pathlib import Path

from semiseg.config.tool_formats import ToolFormat
from semiseg.core import shell
from semiseg.suggestion.mask_kinds import TOOL_FILES

_STEPS: dict[ToolFormat, tuple[str, ...]] = {
    "labelme": (
        "Correct the shapes in LabelMe: labelme {images} --labels {out}/labels.txt",
        "LabelMe saves them where they are.",
    ),
    "coco": (
        "Import {file} and the images of {images} into your tool, and correct the masks.",
        "Export COCO, and save the file as {file}.",
    ),
    "cvat": (
        "Create a task of CVAT with the images of {images}{zip}. Paste {out}/labels.json as its "
        "labels (Raw).",
        "In its menu Actions, choose Upload annotations, CVAT 1.1, and {file}. Correct the masks.",
        "Choose Export task dataset, CVAT for images 1.1. Save its annotations.xml as {file}.",
    ),
    "label-studio": (
        "Start Label Studio: LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true "
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={root} label-studio",
        "Create a project. In Settings, paste {out}/labels.xml as the code of the labeling "
        "interface, and add {root}/train as a source storage of local files; do not sync it.",
        "Import {file}. Correct the prediction of each task and submit it.",
        "Export JSON, and save it as {file}.",
    ),
}


def tool_steps(kind: ToolFormat, out: Path) -> list[str]:
    """The steps from the files in the output folder to the corrected ones, in their order.

    Args:
        kind: the tool.
        out: the output folder of `suggest`.
    """
    images = out / "train" / "images"
    is_deep = any(path.is_dir() for path in images.iterdir())
    places = {
        "out": _quote(out),
        "root": _quote(out.resolve()),
        "images": _quote(images),
        "file": _quote(out / "train" / TOOL_FILES[kind]) if kind in TOOL_FILES else "",
        "zip": " as a ZIP archive, which keeps their subfolders" if is_deep else "",
    }
    return [step.format(**places) for step in _STEPS[kind]]


def _quote(path: Path) -> str:
    return shell.quote(str(path))
