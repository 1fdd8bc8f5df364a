"""Which images a person means: a file, a folder, a pattern or a list; and where results go."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Set
from pathlib import Path

from semiseg.core.errors import DataError
from semiseg.core.files import is_file, read_text


def find_images(images: Path, out: Path) -> tuple[dict[str, Path], list[str]]:
    """The images, by the name that their results get below `out`, without a suffix.

    The name is the path below the folder, below the fixed part of the pattern, or below the folder
    that all images of a list share; where two images differ in their suffix alone it is kept.

    Args:
        images: an image, a folder that is searched with its subfolders, a pattern such as
            `photos/*.jpg`, or a text file with a path a line, relative to its folder or to here.
            Runs and what `suggest` wrote are passed over. Of a data folder, what lies in `masks`
            beside `images` or below an image of its name is no image to segment, nor what lies in
            VOC's folders of masks, nor `07_mask.png` beside `07.jpg` where masks have no folder of
            their own.
        out: the folder of the results; neither is what is in it.

    Returns:
        The images, and notes on what is passed over.

    Raises:
        DataError: there are no such images, or two results would have the same name.
    """
    from semiseg.data.formats.images import IMAGE_SUFFIXES
    from semiseg.data.formats.labelme import LABELME_SUFFIX
    from semiseg.data.pairs import PHOTOGRAPHS, masks_beside
    from semiseg.data.tree import Tree

    notes = []
    if images.is_dir():
        root, tree = images, Tree(images)
        there = tree.images(root)
        found = tree.without_results(there, root)
        if len(found) < len(there):
            notes.append(f"{len(there) - len(found)} pictures of runs and suggest are passed over")
        named = {f.with_suffix("").absolute() for f in found}
        whole = images.absolute()
        apart = {f for f in found if _is_mask(f.absolute(), whole, named)}
        rest = [f for f in found if f not in apart and not _has_masks_apart(f.absolute(), whole)]
        beside = masks_beside(rest, tree.files(root, (LABELME_SUFFIX,)))
        masks = sorted({*apart, *(f for f in beside if f.suffix.lower() not in PHOTOGRAPHS)})
        files = sorted(set(found) - set(masks))
        if masks:
            notes.append(f"{len(masks)} masks are passed over (first: {masks[0]})")
    elif images.suffix.lower() == ".txt" and images.is_file():
        files = _listed(images)
        root = _shared(files)
    elif images.is_file():
        root, files = images.parent, [images]
    elif glob.has_magic(str(images)):
        root, files = _matching(images, IMAGE_SUFFIXES)
    else:
        strange = "is neither a file nor a folder" if images.exists() else "does not exist"
        raise DataError(f"{images} {strange}. Name an image, a folder, a pattern or a list.")
    if out.resolve() != root.resolve():  # results of an earlier call are no images to segment
        inside = out.resolve()
        files = [f for f in files if not f.resolve().is_relative_to(inside)]
    if not files:
        raise DataError(
            f"{images} holds no images; the suffixes {', '.join(IMAGE_SUFFIXES)} are read."
        )
    return _named(files, root), notes


def _is_mask(file: Path, root: Path, named: Set[Path]) -> bool:
    """Whether a file lies where data folders have their masks, as its place alone shows.

    Args:
        file: below `root`.
        root: a folder.
        named: all images below it, without their suffixes.
    """
    for folder in file.parents:
        if folder == root:
            break
        beside = folder.parent / "images", folder.parent / "JPEGImages"
        called = folder.name == "masks" or folder.name.startswith("Segmentation")
        if called and any(images.is_dir() for images in beside):
            return True
    masks = file.parent
    return masks.name == "masks" and masks.parent / file.stem in named


def _has_masks_apart(file: Path, root: Path) -> bool:
    """Whether the masks of an image would lie in a folder of their own, as its place shows."""
    for folder in file.parents:
        there = folder.parent / "masks", folder.parent / "SegmentationClass"
        if folder.name in ("images", "JPEGImages") and any(masks.is_dir() for masks in there):
            return True
        if folder == root:
            break
    return False


def _named(files: Iterable[Path], root: Path) -> dict[str, Path]:
    places = {f: f.relative_to(root) for f in dict.fromkeys(files)}
    alike = Counter(place.with_suffix("") for place in places.values())
    named: dict[str, Path] = {}
    for file, place in places.items():
        short = place.with_suffix("")
        name = (short if alike[short] == 1 else place).as_posix()
        if name in named:
            raise DataError(
                f"The results of {named[name]} and {file} would have the same name. Rename one."
            )
        named[name] = file
    return named


def _matching(pattern: Path, suffixes: tuple[str, ...]) -> tuple[Path, list[Path]]:
    """The folder before the first part with a wildcard, and the images that match."""
    parts = pattern.parts
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    root = Path(*parts[:fixed])
    if ".." in parts[fixed:]:  # results would leave the output folder
        raise DataError(f"The pattern {pattern} goes back by '..' behind a wildcard. Write it out.")
    found = sorted(root.glob("/".join(parts[fixed:])))
    files = [p for p in found if p.suffix.lower() in suffixes and p.is_file()]
    if not files:
        raise DataError(f"The pattern {pattern} matches no image.")
    return root, files


def _listed(path: Path) -> list[Path]:
    """The images of a text file, absolute and without `..`, so that names stay below a folder."""
    try:
        lines = read_text(path).split("\n")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not a text file that can be read ({error}).") from error
    files = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        places = [folder / text for folder in (path.parent, Path())]
        file = next((p for p in places if is_file(p)), None)
        if file is None:
            raise DataError(
                f"{path}, line {number}: there is no file {text}, neither below {path.parent} nor "
                "from here. Correct the line; it holds one path alone."
            )
        files.append(Path(os.path.normpath(file.absolute())))
    if not files:
        raise DataError(f"{path} names no image. Write the path of an image a line.")
    return files


def _shared(files: list[Path]) -> Path:
    return Path(os.path.commonpath([f.parent for f in files]))
