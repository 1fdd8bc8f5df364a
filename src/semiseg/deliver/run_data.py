"""The images that a run was trained and validated on, where its data are still there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from semiseg.errors import SemisegError

if TYPE_CHECKING:
    from semiseg.types import Sample


def data_of(run: Path) -> Path | None:
    """The data folder that a run was trained on; None where it is not told, or gone."""
    from semiseg.data.texts import read_yaml

    try:
        data = Path(read_yaml(run / "config.yaml")["data"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return data if data.is_dir() else None


def samples_of(run: Path) -> tuple[list[Sample], list[Sample]]:
    """The labelled images and those of `val`; none where the run or its data cannot be read."""
    from semiseg.data.folder import find_samples
    from semiseg.data.splits import read_list

    data = data_of(run)
    if data is None:
        return [], []
    try:
        train, val = (find_samples(data, split)[0] for split in ("train", "val"))
        labeled = read_list(run / "split" / "labeled.txt", train)
        held = read_list(run / "split" / "val.txt", [s for s in val if s.mask] or train)
    except (SemisegError, OSError, ValueError):
        return [], []
    return labeled, held
