"""The commands that add corrected masks to the data of a run and continue its training."""

from __future__ import annotations

from contextlib import suppress
from filecmp import cmp
from itertools import count
from pathlib import Path
from typing import get_args

from semiseg.config.bands import READING_SETTINGS
from semiseg.config.command_line import continue_command
from semiseg.config.tool_formats import ToolFormat
from semiseg.core import shell
from semiseg.core.errors import DataError
from semiseg.data.formats.image_formats import IMAGE_SUFFIXES
from semiseg.data.formats.labelme import LABELME_SUFFIX
from semiseg.data.layout_registry import find_layout
from semiseg.data.pairing.beside import PHOTOGRAPHS
from semiseg.data.pairing.pairs import Folders, pair
from semiseg.data.tree import Tree, list_files
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
        return _join(run, out, data, f"Correct the masks in {masks}. Then")
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
    """Describe how masks join the data of the run, and the commands for it.

    The commands never replace a file. The masks get their own folder in the data folder or, if
    training does not read subfolders, lie beside the other masks. There is no such command if the
    data are gone, if lists of names decide what is trained on, or if LabelMe's shapes and masks of
    pixels would be mixed.

    Args:
        run: the run folder.
        out: the folder with the masks in `train`.
        data: the data folder, if it moved since the training.
        start: the first words.
    """
    config = config_of(run)
    root = data_of(run) if data is None else data.absolute()
    folders = _folders(run, data)
    copies: list[str] = []
    if folders is not None:
        with suppress(DataError):  # the data changed after the training
            copies = _copy_commands(out, folders, "labelme" in written_kinds(out))
    if root is None or not copies:
        advice = (
            f"{start} copy them and their images into your data, under unused names, or train on "
            "them alone:"
        ).strip()
        alone = continue_command(run, out, config, (*READING_SETTINGS, "exif", "size"))
        return f"{advice[0].upper()}{advice[1:]}\n  {alone}"
    advice = f"{start} add them to your data and continue the training:".strip()
    return "\n".join(
        (
            f"{advice[0].upper()}{advice[1:]}",
            *(f"  {copy}" for copy in copies),
            f"  {continue_command(run, root, config)}",
            "Repeat the other settings of the first run, such as --steps.",
        )
    )


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


def _copy_commands(out: Path, folders: Folders, shapes: bool) -> list[str]:
    """The commands that add the masks to a data folder; none if they would not fit."""
    if shell.IS_WINDOWS:
        return []
    masks = folders.files.masks
    are_labelme = _are_labelme(folders)
    if are_labelme - {shapes} or (shapes and not are_labelme):
        return []
    if not folders.deep:  # training does not read subfolders
        return _flat_copy_commands(out, folders)
    if not shapes and not any(mask.is_relative_to(folders.masks) for mask in masks):
        return []  # the masks lie beside the images
    base = out.resolve().name.lstrip(".") or "suggested"  # training ignores hidden folders
    names = (f"{base}-{i}" if i else base for i in count())
    targets = folders.images, folders.masks
    name = next(n for n in names if not any((folder / n).exists() for folder in targets))
    kinds = list(zip(("images", "masks"), targets, strict=True))[: 2 - shapes]
    return [
        shell.join(("cp", "-r", f"{out}/train/{kind}/.", str(folder / name)))
        for kind, folder in kinds
    ]


def _flat_copy_commands(out: Path, folders: Folders) -> list[str]:
    """The commands for folders without subfolders. A mask gets the ending of the other masks.

    Images that the data folder holds already are not copied. There is no command if it holds a
    different image of the same name, or a mask of that name.
    """
    out = Path.cwd() / out if str(out).startswith("-") else out  # or it would be an option
    images, target = out / "train" / "images", folders.images
    labeled = next((sample for sample in pair(folders).samples if sample.mask), None)
    if labeled is None or labeled.mask is None:
        return []
    mask = labeled.mask
    shapes = mask.suffix.lower() == LABELME_SUFFIX
    source = images if shapes else out / "train" / "masks"
    mask_target = target if shapes or mask.parent == target else folders.masks
    ending = "" if mask_target != target else mask.stem.removeprefix(labeled.image.stem)
    new_images = Tree(images).images(images)
    new_masks = list_files(source, (LABELME_SUFFIX,) if shapes else IMAGE_SUFFIXES)
    if not new_masks or any(p.parent not in (images, source) for p in (*new_images, *new_masks)):
        return []  # there are none, or they lie in subfolders
    existing = {path.stem: path for path in list_files(target, IMAGE_SUFFIXES, deep=False)}
    present = [path for path in new_images if path.stem in existing]
    if any(not cmp(existing[path.stem], path, shallow=False) for path in present):
        return []
    if any((mask_target / f"{path.stem}{ending}{path.suffix}").exists() for path in new_masks):
        return []
    # A PNG mask beside a PNG image would have the name of the image.
    same_names = mask_target == target and not (shapes or ending)
    if same_names and any(path.suffix.lower() not in PHOTOGRAPHS for path in new_images):
        return []
    quote = shell.quote
    commands = []
    if len(present) < len(new_images):
        commands.append(f"cp -n {quote(f'{images}/')}* {quote(str(target))}")
    if ending:
        name = f'{quote(str(mask_target))}/"$(basename -- "$mask" .png){ending}.png"'
        commands.append(f'for mask in {quote(f"{source}/")}*.png; do cp -n "$mask" {name}; done')
    elif not shapes or not commands:
        pattern = f"{quote(f'{source}/')}*{new_masks[0].suffix}"
        commands.append(f"cp -n {pattern} {quote(str(mask_target))}")
    return commands
