"""The images to segment: a file, a folder, a pattern or a list; and the names of the results."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Set
from pathlib import Path

from PIL import Image

from semiseg.core.errors import DataError
from semiseg.core.files import is_file, read_text
from semiseg.core.reading import Reading
from semiseg.data.beside import PHOTOGRAPHS, masks_beside
from semiseg.data.formats.image_formats import IMAGE_SUFFIXES
from semiseg.data.formats.labelme import LABELME_SUFFIX
from semiseg.data.tree import Tree
from semiseg.inference.large import read_picture


def find_images(images: Path, out: Path) -> tuple[dict[str, Path], list[str]]:
    """The images by the name of their results below `out`, without a suffix.

    The name is the path below the folder, below the fixed part of the pattern, or below the folder
    that all images of a list share. Two images that differ only in their suffix keep it.

    The search ignores runs, the output of `suggest`, and the masks of a data folder: files in
    `masks` beside `images` or below an image of its name, files in VOC's folders of masks, and
    `07_mask.png` beside `07.jpg` where masks have no folder of their own.

    Args:
        images: an image, a folder (the search includes its subfolders), a pattern such as
            `photos/*.jpg`, or a text file with one path on each line. Such a path is relative to
            the folder of the text file or to the current folder.
        out: the folder of the results. The search ignores its files.

    Returns:
        The images, and notes on the ignored files.

    Raises:
        DataError: there are no images, or two results would have the same name.
    """
    notes = []
    if images.is_dir():
        root, tree = images, Tree(images)
        every = tree.images(root)
        candidates = tree.without_results(every, root)
        if results := len(every) - len(candidates):
            notes.append(f"{results} pictures of runs and of suggest are ignored")
        stems = {f.with_suffix("").absolute() for f in candidates}
        top = images.absolute()
        in_mask_folders = {f for f in candidates if _is_mask(f.absolute(), top, stems)}
        rest = [
            f
            for f in candidates
            if f not in in_mask_folders and not _has_mask_folder(f.absolute(), top)
        ]
        beside = masks_beside(rest, tree.files(root, (LABELME_SUFFIX,)))
        beside = [f for f in beside if f.suffix.lower() not in PHOTOGRAPHS]
        masks = sorted({*in_mask_folders, *beside})
        files = sorted(set(candidates) - set(masks))
        if masks:
            notes.append(f"{len(masks)} masks are ignored (the first one is {masks[0]})")
    elif images.suffix.lower() == ".txt" and images.is_file():
        files = _listed(images)
        root = _shared(files)
    elif images.is_file():
        root, files = images.parent, [images]
    elif glob.has_magic(str(images)):
        root, files = _matching(images, IMAGE_SUFFIXES)
    else:
        problem = "is neither a file nor a folder" if images.exists() else "does not exist"
        raise DataError(f"{images} {problem}. Name an image, a folder, a pattern or a list.")
    if out.resolve() != root.resolve():  # the results of an earlier call are no images
        inside = out.resolve()
        files = [f for f in files if not f.resolve().is_relative_to(inside)]
    if not files:
        raise DataError(
            f"{images} holds no images. semiseg reads the suffixes {', '.join(IMAGE_SUFFIXES)}."
        )
    return _by_name(files, root), notes


def _is_mask(file: Path, root: Path, stems: Set[Path]) -> bool:
    """Whether a file lies where data folders have their masks.

    Args:
        file: below `root`.
        root: a folder.
        stems: all images below it, without their suffixes.
    """
    for folder in file.parents:
        if folder == root:
            break
        siblings = folder.parent / "images", folder.parent / "JPEGImages"
        is_mask_folder = folder.name == "masks" or folder.name.startswith("Segmentation")
        if is_mask_folder and any(sibling.is_dir() for sibling in siblings):
            return True
    masks = file.parent
    return masks.name == "masks" and masks.parent / file.stem in stems


def _has_mask_folder(file: Path, root: Path) -> bool:
    """Whether the masks of an image would lie in a folder of their own."""
    for folder in file.parents:
        siblings = folder.parent / "masks", folder.parent / "SegmentationClass"
        is_image_folder = folder.name in ("images", "JPEGImages")
        if is_image_folder and any(sibling.is_dir() for sibling in siblings):
            return True
        if folder == root:
            break
    return False


def _by_name(files: Iterable[Path], root: Path) -> dict[str, Path]:
    """The files by the name of their results."""
    paths = {f: f.relative_to(root) for f in dict.fromkeys(files)}
    counts = Counter(path.with_suffix("") for path in paths.values())
    by_name: dict[str, Path] = {}
    for file, path in paths.items():
        stem = path.with_suffix("")
        name = (stem if counts[stem] == 1 else path).as_posix()
        if name in by_name:
            raise DataError(
                f"The results of {by_name[name]} and {file} would have the same name. Rename one "
                "of the images."
            )
        by_name[name] = file
    return by_name


def _matching(pattern: Path, suffixes: tuple[str, ...]) -> tuple[Path, list[Path]]:
    """The folder before the first part with a wildcard, and the images that match."""
    parts = pattern.parts
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    root = Path(*parts[:fixed])
    if ".." in parts[fixed:]:  # results would leave the output folder
        raise DataError(f"The pattern {pattern} has '..' behind a wildcard. Write the folder out.")
    matches = sorted(root.glob("/".join(parts[fixed:])))
    files = [p for p in matches if p.suffix.lower() in suffixes and p.is_file()]
    if not files:
        raise DataError(f"The pattern {pattern} matches no image.")
    return root, files


def _listed(path: Path) -> list[Path]:
    """The images of a text file, absolute and without `..`, so that names stay below a folder."""
    try:
        lines = read_text(path).split("\n")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a text file ({error}).") from error
    files = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        candidates = [folder / text for folder in (path.parent, Path())]
        file = next((p for p in candidates if is_file(p)), None)
        if file is None:
            raise DataError(
                f"{path}, line {number}: there is no file {text}, neither in {path.parent} nor in "
                "the current folder. Correct the line. Each line holds one path."
            )
        files.append(Path(os.path.normpath(file.absolute())))
    if not files:
        raise DataError(f"{path} names no image. Write the path of one image on each line.")
    return files


def _shared(files: list[Path]) -> Path:
    return Path(os.path.commonpath([f.parent for f in files]))


def read_or_error(file: Path, reading: Reading) -> Image.Image | DataError:
    """The image, or the error of a file that cannot be read: one broken file stops no others.

    Args:
        file: the image file.
        reading: how images are read, see `read_image`.
    """
    try:
        return read_picture(file, reading)
    except DataError as error:
        return error
