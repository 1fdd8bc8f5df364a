"""The commands that train on corrected masks and the data of a run, from its model."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import get_args

from semiseg.config.bands import READING_SETTINGS
from semiseg.config.command_line import continue_command, settings_command
from semiseg.config.tool_formats import ToolFormat
from semiseg.core import shell
from semiseg.core.errors import DataError
from semiseg.data.formats.labelme import LABELME_SUFFIX
from semiseg.data.layout_registry import find_layout
from semiseg.data.pairing.pairs import Folders
from semiseg.data.tree import Tree
from semiseg.suggestion.mask_kinds import written_kinds
from semiseg.suggestion.tool_steps import tool_steps
from semiseg.training.run_data import arrangement_of, config_of, data_of, dataset_of


def next_steps(run: Path, out: Path, data: Path | None = None) -> str:
    """Describe what to do with the masks that `suggest` wrote.

    Files of a labeling tool are corrected in that tool. If the data of the run have masks of
    pixels, `convert` then turns them into such masks.

    Args:
        run: the run folder.
        out: the output folder of `suggest`.
        data: the data folder, if it moved since the training.
    """
    kinds = written_kinds(out)
    tool = next((form for form in get_args(ToolFormat) if form in kinds), None)
    masks = out / "train" / ("masks" if tool is None else "images")
    if tool is None:
        return _join(run, out, data, f"Correct the masks in {masks}. Then")
    folders = _folders(run, data)
    has_shapes = folders is not None and bool(_are_labelme(folders) - {False})
    if tool == "labelme" and has_shapes:
        return _join(run, out, data, f"{tool_steps(tool, out)[0]}\nThen")
    steps = [f"{i}. {step}" for i, step in enumerate(tool_steps(tool, out), 1)]
    if folders is None:
        return "\n".join((*steps, _join(run, out, data, "Then")))
    corrected = f"{out}-corrected"  # a name with `masks` would make it a folder of masks
    command = shell.join(["semiseg", "convert", str(out), "--like", str(run), "--out", corrected])
    advice = "Then write them as masks like those of the run; semiseg shows how to add these:"
    return "\n".join((*steps, advice, f"  {command}"))


def steps_of_corrected(run: Path, out: Path) -> str:
    """Describe what to do with corrected masks that `convert` wrote.

    Args:
        run: the run folder.
        out: the output folder of `convert`.
    """
    return _join(run, out, None, "")


def _join(run: Path, out: Path, data: Path | None, start: str) -> str:
    """Describe how to train on the masks and the data of the run, and the command for it.

    If the data are gone, the masks are trained on alone.

    Args:
        run: the run folder.
        out: the folder with the masks in `train`.
        data: the data folder, if it moved since the training.
        start: the first words.
    """
    config = config_of(run)
    if data is None and data_of(run) is None:
        advice = f"{start} train on them alone, since the data of {run} are gone:".strip()
        command = settings_command(run, out, config, (*READING_SETTINGS, "exif", "size"))
    else:
        advice = f"{start} train on them and your data, from what the model has learned:".strip()
        place = data_of(run) if data is None and config is None else data
        command = continue_command(run, config, (out,), place)
    return f"{advice[0].upper()}{advice[1:]}\n  {command}"


def _folders(run: Path, data: Path | None) -> Folders | None:
    """The folders of the images and masks that a run learned from; None if there are none."""
    root = data_of(run) if data is None else data.absolute()
    if root is None:
        return None
    with suppress(DataError):  # the data changed after the training
        layout = find_layout(Tree(root), dataset_of(run), arrangement_of(run, root))
        return layout.folders("train")
    return None


def _are_labelme(folders: Folders) -> set[bool]:
    """Whether masks are LabelMe's shapes: one or both values, or none without masks."""
    return {mask.suffix.lower() == LABELME_SUFFIX for mask in folders.files.masks}
