"""The labeling tools whose files `suggest` writes."""

from __future__ import annotations

from typing import Literal, TypeAlias

ToolFormat: TypeAlias = Literal["labelme", "coco", "cvat", "label-studio"]
"""What `--format` calls the files of a labeling tool."""
