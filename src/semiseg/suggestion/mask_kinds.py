"""What the masks that `suggest` writes are: images of pixels, or the files of a labeling tool."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from semiseg.config.settings import AUTO, Auto
from semiseg.config.tool_formats import ToolFormat
from semiseg.core.errors import RunError
from semiseg.data.formats.labelme import LABELME_SUFFIX
from semiseg.data.formats.masks import Classes

MaskKind: TypeAlias = Literal["masks"] | ToolFormat
KIND_NAMES: dict[MaskKind, str] = {
    "masks": "masks of pixels",
    "labelme": "LabelMe's shapes",
    "coco": "COCO's annotations",
    "cvat": "CVAT's annotations",
    "label-studio": "Label Studio's tasks",
}
"""What the kinds are called in a sentence."""
TOOL_FILES: dict[MaskKind, str] = {
    "coco": "annotations.json",
    "cvat": "annotations.xml",
    "label-studio": "tasks.json",
}
"""The name of the file in `train` that holds the annotations of all images."""


def kind_of(file_format: ToolFormat | Auto, classes: Classes) -> MaskKind:
    """What to write: what the masks of the run are, if no format is chosen."""
    if file_format == AUTO:
        return "labelme" if classes.encoding == "labels" else "masks"
    return file_format


def written_kinds(out: Path) -> set[MaskKind]:
    """What an output folder holds, which may have been corrected."""
    train = out / "train"
    kinds = {kind for kind, file in TOOL_FILES.items() if (train / file).exists()}
    if (train / "masks").is_dir():
        kinds.add("masks")
    if next((train / "images").rglob(f"*{LABELME_SUFFIX}"), None) is not None:
        kinds.add("labelme")
    return kinds


def refuse_other_kind(out: Path, kind: MaskKind) -> None:
    """Refuse a folder whose masks are of another kind.

    Raises:
        RunError: an earlier call wrote masks of another kind.
    """
    for other in sorted(written_kinds(out) - {kind}):
        raise RunError(
            f"{out} holds {KIND_NAMES[other]}, and this call would add {KIND_NAMES[kind]}. "
            "Choose another --out."
        )
