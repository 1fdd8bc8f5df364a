"""What to do with the first images: draw masks, add them to the data, and train."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from semiseg.core import shell
from semiseg.data.formats.raster_windows import split_window
from semiseg.suggestion.coverage import FirstImage
from semiseg.suggestion.pool import DataFolder, Pool, is_below


def first_steps(out: Path, pool: Pool, chosen: Sequence[FirstImage]) -> str:
    """Describe what to do with the images.

    The commands never replace a file. If the images lie in a data folder, their masks go there,
    under the names of the images. Images that training would find without their masks, such as
    those below `unlabeled/`, move to the images to train on. If the folder has masks that are named
    in another way, the user puts the new ones beside them. If there is no such folder, the output
    folder becomes one. If there is no `val` or `test`, a line says how to get a `val`.

    Args:
        out: the output folder of `suggest`.
        pool: the images that there were.
        chosen: the images to label.
    """
    copies = out / "train" / "images"
    draw = f"Draw a mask of each image in {copies}"
    folder = pool.folder
    if folder is not None and any(split_window(one.image)[1] is not None for one in chosen):
        return (
            f"{copies} holds the parts of your rasters to label, with their place on earth. Label "
            "these places in your masks or polygons, for example in QGIS. Then train:\n  "
            + shell.join(["semiseg", "train", str(folder.root)])
        )
    commands = None if folder is None else _join_commands(out, folder, chosen)
    if folder is not None and commands is not None:
        save = f"save it in {out / 'train' / 'masks'} under the name of the image"
        lines = [*commands, shell.join(["semiseg", "train", str(folder.root)])]
        text = (
            f"{draw}, and {save}.{_add_val(folder.root, folder.scored)}add the masks to your data "
            "and train:"
        )
    elif folder is not None and folder.labeled:
        first = folder.labeled[0]
        lines = [shell.join(["semiseg", "train", str(folder.root)])]
        text = (
            f"{draw}. Put image and mask where your others lie, and name the mask like them: "
            f"{first.mask} is the mask of {first.image}."
            f"{_add_val(folder.root, folder.scored)}train:"
        )
    else:
        save = f"save it in {out / 'train' / 'masks'} under the name of the image"
        parents = {file.absolute().parent for file in pool.images.values()}
        unlabeled = pool.address or os.path.commonpath(parents)
        lines = [shell.join(["semiseg", "train", str(out), "--unlabeled", unlabeled])]
        text = f"{draw}, and {save}.{_add_val(out)}train; the other images are the unlabeled ones:"
    return "\n".join([text, *(f"  {line}" for line in lines)])


def _add_val(root: Path, scored: Collection[Path] = ()) -> str:
    """The advice to label images for `val`, if there are none yet, and the next sentence's start.

    The chosen images stand for all others, so they are no random sample, and training would hold
    out only a few of them.

    Args:
        root: the folder to train on.
        scored: its images of `val` and `test`.
    """
    if scored:
        return " Then "
    val = root / "val"
    return (
        "\nFor a score that you can trust, label images drawn at random, too (at least 6, better "
        f"10): move them to {val / 'images'}, and save their masks in {val / 'masks'}.\nThen "
    )


def _join_commands(out: Path, folder: DataFolder, chosen: Sequence[FirstImage]) -> list[str] | None:
    """The commands that add the masks to the data folder; None if they would not fit."""
    images, masks = folder.images, folder.masks
    if images is None or masks is None or shell.IS_WINDOWS:
        return None
    elsewhere = [one for one in chosen if not is_below(one.image, images)]
    if any("/" in one.name or (images / one.image.name).exists() for one in elsewhere):
        return None
    commands = [shell.join(["cp", "-rn", f"{out / 'train' / 'masks'}/.", str(masks)])]
    for verb, is_inside in (("mv", True), ("cp", False)):
        files = [
            str(one.image) for one in elsewhere if is_below(one.image, folder.root) == is_inside
        ]
        if files:
            commands.append(shell.join([verb, "-n", *files, str(images)]))
    return commands
