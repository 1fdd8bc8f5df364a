"""Annotations of a labeling tool become masks like those of a run, which can join its data."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semiseg.core.errors import DataError, RunError
from semiseg.core.text import plural
from semiseg.core.types import IGNORE_INDEX, Sample
from semiseg.data.classes.labels import read_labels
from semiseg.data.classes.tool_labels import background_of, with_indices
from semiseg.data.dataset import Dataset
from semiseg.data.formats.labelme import LABELME_SUFFIX
from semiseg.data.formats.masks import Classes
from semiseg.data.formats.raster_windows import split_window
from semiseg.data.reader import load_dataset
from semiseg.data.tree import SPLITS
from semiseg.model.release import load_release
from semiseg.suggestion.data_writer import Folder, write_classes
from semiseg.suggestion.mask_kinds import KIND_NAMES, TOOL_FILES, written_kinds
from semiseg.suggestion.tool_files import TOOL_FILE_TYPES
from semiseg.training.run_data import config_of

logger = logging.getLogger(__name__)


def convert(root: Path, out: Path, run: Path | None = None, overwrite: bool = False) -> int:
    """Write the labeled images of a data folder with masks of pixels.

    Args:
        root: the data folder, whatever its annotations are.
        out: the folder to write: `train`, `val` and `test` with `images` and `masks`, and
            `classes.yaml`.
        run: a run folder whose classes the masks get, matched by their names: its ids or colors, or
            shapes of LabelMe. Without it, the masks hold ids.
        overwrite: replace the files of an earlier call. Masks of other names stay, with a warning.

    Returns:
        The number of images.

    Raises:
        DataError: the data cannot be read, hold no masks or a class that the run does not know, or
            an image is a part of a file.
        RunError: the run cannot be read, or the folder exists or cannot be written.
    """
    existing = [out / split for split in SPLITS if (out / split).exists()]
    if out.resolve() == root.resolve():
        raise RunError(f"--out {out} is the data folder itself. Choose another folder.")
    if existing and not overwrite:
        raise RunError(
            f"{existing[0]} exists. Choose another --out, or replace its files (--overwrite)."
        )
    target = None if run is None else load_release(run).metadata.classes
    try:
        data = load_dataset(root)
    except DataError as error:
        if (missing := _missing_export(root)) is not None:
            raise missing from error
        raise
    classes = _with_ignored_color(_with_ids(data.classes) if target is None else target)
    table = _match(data, classes, f"the run {run}")
    count = ignored = outside = pixels = 0
    written: set[Path] = set()
    try:
        for split in SPLITS:
            folder = Folder(out, split)
            for sample, _ in data.labeled(split):
                labels = np.asarray(read_labels(sample, data.classes, data.reading))
                mask = table[labels]
                written.add(_write(sample, mask, classes, folder))
                count += 1
                pixels += mask.size
                ignored += int((mask == IGNORE_INDEX).sum())
                outside += int(((mask == IGNORE_INDEX) & (labels != IGNORE_INDEX)).sum())
        if not count:
            raise DataError(f"{root} holds no image with a mask.", "Annotate some of its images.")
        write_classes(classes, out)
    except OSError as error:
        raise RunError(f"{out} cannot be written ({error}). Choose another --out.") from error
    if others := sorted(_masks_in(out, classes) - written):
        logger.warning(
            "%s of an earlier call %s in %s (the first is %s). Remove what does not belong to %s",
            plural(len(others), "mask"),
            "stays" if len(others) == 1 else "stay",
            out,
            others[0].relative_to(out),
            root,
        )
    bare = [s.image for split in SPLITS for s in data.samples[split] if s.mask is None]
    if bare:
        logger.warning(
            "%s left out (the first is %s). If an image holds only background, %s",
            plural(len(bare), "unlabeled image is", "unlabeled images are"),
            data.name(bare[0]),
            data.background_remedy,
        )
    if target is not None and classes != target and ignored:
        logger.warning(
            'Ignored pixels have the color #%06x. Add it to %s: ignore: ["#%06x"]',
            classes.ignored[0],
            _file_of_classes(run),
            classes.ignored[0],
        )
    if outside:
        logger.warning(
            "%.1f %% of the pixels lie outside of all shapes and are ignored, since the classes "
            "have no background",
            100 * outside / pixels,
        )
    return count


def _with_ids(classes: Classes) -> Classes:
    """The classes with ids as their codes; those of shapes become numbers from 0."""
    if classes.encoding != "labels":
        return replace(classes, merged=())
    return with_indices(classes)


def _with_ignored_color(classes: Classes) -> Classes:
    """The classes with a color for ignored pixels, where the masks hold colors and have none."""
    if classes.encoding != "colors" or classes.ignored:
        return classes
    codes = set(classes.indices)
    return replace(classes, ignored=(next(c for c in range(0xFFFFFF, 0, -1) if c not in codes),))


def _missing_export(root: Path) -> DataError | None:
    """The error of a folder that holds the labels of a tool, but not the file of its annotations.

    None if the folder is another one.
    """
    tools = [tool for tool in TOOL_FILE_TYPES.values() if (root / tool.labels_file).is_file()]
    if not tools or written_kinds(root):
        return None
    places = [f"{KIND_NAMES[t.kind]} as {root / 'train' / TOOL_FILES[t.kind]}" for t in tools]
    labels = root / tools[0].labels_file
    return DataError(
        f"{root} holds the labels of a tool ({labels}), but not its annotations.",
        f"Export them from the tool: save {' or '.join(places)}.",
    )


def _file_of_classes(run: Path | None) -> str:
    """The file that tells a training on the data of a run their classes."""
    config = None if run is None else config_of(run)
    if config is None or config.data.classes is None:
        return "the classes.yaml of your data"
    return str(config.data.classes)


def _match(data: Dataset, classes: Classes, owner: str) -> NDArray[np.uint8]:
    """The index of each class of the data among other classes, by the names.

    The background of annotations has another name than that of the other classes, or none.

    Raises:
        DataError: the masks hold a class that has no such name.
    """
    indices = {name: index for index, name in enumerate(classes.names)}
    background = background_of(classes)
    indices |= {
        name: IGNORE_INDEX if background is None else background
        for index, name in enumerate(data.classes.names)
        if index == background_of(data.classes) and name not in indices
    }
    occurring = set().union(*(data.occurring(split) for split in SPLITS))
    names = {index: name for index, name in enumerate(data.classes.names) if index in occurring}
    unknown = [name for name in names.values() if name not in indices]
    if unknown:
        raise DataError(
            f"{data.root} holds {plural(len(unknown), 'class', 'classes')} that {owner} does not "
            f"know: {', '.join(unknown)}. Known: {', '.join(classes.names)}.",
            "Rename it in the labeling tool and export again, or leave out --like.",
        )
    table = np.full(IGNORE_INDEX + 1, IGNORE_INDEX, dtype=np.uint8)
    for index, name in names.items():
        table[index] = indices[name]
    return table


def _masks_in(out: Path, classes: Classes) -> set[Path]:
    """The files of masks in an output folder."""
    has_shapes = classes.encoding == "labels"
    kind, suffix = ("images", LABELME_SUFFIX) if has_shapes else ("masks", ".png")
    return {file for split in SPLITS for file in (out / split / kind).rglob(f"*{suffix}")}


def _write(sample: Sample, mask: NDArray[np.uint8], classes: Classes, folder: Folder) -> Path:
    """Copy an image and write its mask.

    Returns:
        The file of the mask.

    Raises:
        DataError: the image is a part of a file, which cannot be copied.
    """
    file, window = split_window(sample.image)
    if window is not None:
        raise DataError(
            f"{file} is read in tiles, and convert copies whole images.",
            "Save the tiles as images of their own, or train on the folder as it is.",
        )
    image = folder.copy_image(file, sample.name)
    return folder.write_mask(mask, classes, image, sample.name)
