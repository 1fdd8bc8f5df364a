"""The images to segment: a file, a folder, a pattern or a list; and the names of the results."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from semiseg.core.errors import DataError
from semiseg.core.files import is_file, read_text, resolved
from semiseg.core.reading import Reading
from semiseg.core.text import plural
from semiseg.data.formats.band_image import AnyImage
from semiseg.data.formats.image_formats import IMAGE_SUFFIXES, format_of, remedy_of_suffix
from semiseg.data.formats.labelme import LABELME_SUFFIX
from semiseg.data.formats.stems import stem
from semiseg.data.layouts.accounting import FILE_KINDS, account, places
from semiseg.data.pairing.beside import PHOTOGRAPHS, masks_beside
from semiseg.data.pairing.mask_folders import MaskFolders
from semiseg.data.tree import Tree
from semiseg.inference.large import read_picture


class NamedImages(Protocol):
    """Images that a list may name in another way than by their paths."""

    def find(self, name: str) -> Path | None:
        """The file of an image; None if there is none of this name."""

    def describe(self) -> str:
        """What was looked at in vain, as a sentence; may be empty."""


class Sources(NamedTuple):
    """The images to segment.

    Attributes:
        images: the files by the name of their results below `out`, without a suffix.
        notes: sentences on the files that are ignored.
        warnings: sentences on the files that may be images but are not read.
    """

    images: dict[str, Path]
    notes: list[str]
    warnings: list[str]


def find_images(images: Path, out: Path | None, named: NamedImages | None = None) -> Sources:
    """Find the images.

    The name is the path below the folder, below the fixed part of the pattern, or below the folder
    that all images of a list share. Two images that differ only in their suffix keep it.

    The search follows links to folders. It ignores runs, the output of `suggest`, and the masks of
    a data folder: files in folders with a name for masks beside folders of images or below an image
    of the file's name, and `07_mask.png` beside `07.jpg` where masks have no folder of their own.

    Args:
        images: an image, a folder (the search includes its subfolders), a pattern such as
            `photos/*.jpg`, or a text file with one path on each line. Such a path is relative to
            the folder of the text file or to the current folder.
        out: the folder of the results, whose files the search ignores; None for none.
        named: images that a line of the text file may mean if there is no such path.

    Raises:
        DataError: there are no images, or two results would have the same name.
    """
    notes: list[str] = []
    warnings: list[str] = []
    if images.is_dir():
        root = images
        files, notes, warnings = _in_folder(images, out)
    elif images.suffix.lower() == ".txt" and images.is_file():
        files = _listed(images, named)
        root = _shared(files)
    elif images.is_file():
        root, files = images.parent, [images]
        if remedy := _remedy_of(images):
            raise DataError(f"{images} is not an image that semiseg reads.", remedy)
    elif glob.has_magic(str(images)):
        root, matches = _matching(images)
        files = [f for f in matches if format_of(f)]
        warnings = _unread(sorted(set(matches) - set(files)), root)
        if not files:
            raise DataError(" ".join([f"The pattern {images} matches no image.", *warnings]))
    else:
        problem = "is neither a file nor a folder" if images.exists() else "does not exist"
        raise DataError(f"{images} {problem}. Name an image, a folder, a pattern or a list.")
    # The results of an earlier call are no images.
    if out is not None and out.resolve() != root.resolve():
        inside = out.resolve()
        pairs = zip(files, resolved(files), strict=True)
        files = [file for file, real in pairs if not real.is_relative_to(inside)]
    if images.is_dir() or glob.has_magic(str(images)):
        files, without = _readable(files, root)
        warnings += without
    if not files:
        text = " ".join(warnings) or f"semiseg reads the suffixes {', '.join(IMAGE_SUFFIXES)}."
        raise DataError(f"{images} holds no images. {text}")
    return Sources(name_results(files, root), notes, warnings)


def _in_folder(root: Path, out: Path | None) -> tuple[list[Path], list[str], list[str]]:
    """The images below a folder, the notes and the warnings."""
    tree = Tree(root)
    notes = []
    every = tree.images(root)
    candidates = tree.without_results(every, root)
    if results := len(every) - len(candidates):
        notes.append(f"{results} pictures of runs and of suggest are ignored")
    stems = {f.with_suffix("").absolute() for f in candidates}
    folders = MaskFolders(root.absolute())
    in_mask_folders = {f for f in candidates if folders.holds(f.absolute(), stems)}
    rest = [
        f for f in candidates if f not in in_mask_folders and not folders.has_one_for(f.absolute())
    ]
    beside = masks_beside(rest, tree.files(root, (LABELME_SUFFIX,)))
    beside = [f for f in beside if f.suffix.lower() not in PHOTOGRAPHS]
    masks = sorted({*in_mask_folders, *beside})
    if masks:
        count = plural(len(masks), "mask is", "masks are")
        notes.append(f"{count} ignored (the first one is {masks[0]})")
    ours = None if out is None or out.resolve() == root.resolve() else out.resolve()
    output_files = [
        place / name
        for place in tree.walk(root)
        if ours is not None and place.resolve().is_relative_to(ours)
        for name in tree.entries(place)
    ]
    findings = account(tree, [*every, *output_files], with_texts=False)
    warnings = [f.text for f in findings if f.severity != "note"]
    notes += [f.text for f in findings if f.severity == "note"]
    return sorted(set(candidates) - set(masks)), notes, warnings


def _readable(files: Sequence[Path], root: Path) -> tuple[list[Path], list[str]]:
    """The images that can be read here, and a warning on those that need an extra."""
    lacking = [f for f in files if (form := format_of(f)) and not form.is_readable]
    return [f for f in files if f not in set(lacking)], _unread(lacking, root)


def _unread(files: Sequence[Path], root: Path) -> list[str]:
    """Sentences that count files which are not read by their suffix, with what to do."""
    by_remedy: dict[str, list[Path]] = {}
    for file in files:
        by_remedy.setdefault(_remedy_of(file), []).append(file)
    return [
        f"{plural(len(some), 'file is', 'files are')} not read "
        f"({places(Tree(root), some)}). {remedy}".rstrip()
        for remedy, some in by_remedy.items()
    ]


def _remedy_of(file: Path) -> str:
    """What to do with a file that is not read; empty for other files."""
    form = format_of(file)
    if form is not None:
        return "" if form.is_readable else remedy_of_suffix(form.suffixes[0])
    name = file.name.lower()
    kind = next((kind for kind in FILE_KINDS if name.endswith(kind.suffixes)), None)
    return "" if kind is None else kind.remedy.format(unlabeled=file.parent)


def name_results(files: Iterable[Path], root: Path) -> dict[str, Path]:
    """The files by the name of their results: the path below a folder, without suffix.

    Args:
        files: below the folder. Two that differ only in their suffix keep it.
        root: the folder.

    Raises:
        DataError: two results would have the same name.
    """
    paths = {f: f.relative_to(root) for f in dict.fromkeys(files)}
    counts = Counter(path.with_name(stem(path)) for path in paths.values())
    by_name: dict[str, Path] = {}
    for file, path in paths.items():
        short = path.with_name(stem(path))
        name = (short if counts[short] == 1 else path).as_posix()
        if name in by_name:
            raise DataError(
                f"The results of {by_name[name]} and {file} would have the same name. Rename one "
                "of the images."
            )
        by_name[name] = file
    return by_name


def _matching(pattern: Path) -> tuple[Path, list[Path]]:
    """The folder before the first part with a wildcard, and the files that match."""
    parts = pattern.parts
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    root = Path(*parts[:fixed])
    if ".." in parts[fixed:]:  # results would leave the output folder
        raise DataError(f"The pattern {pattern} has '..' behind a wildcard. Write the folder out.")
    matches = sorted(root.glob("/".join(parts[fixed:])))
    return root, [path for path in matches if path.is_file() and path.name[0] != "."]


def list_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a text file that name something, with their numbers.

    Raises:
        DataError: it cannot be read, or names nothing.
    """
    try:
        lines = read_text(path).split("\n")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a text file ({error}).") from error
    stripped = ((number, line.strip()) for number, line in enumerate(lines, 1))
    named = [(number, text) for number, text in stripped if text and not text.startswith("#")]
    if not named:
        raise DataError(f"{path} names no image. Write the path of one image on each line.")
    return named


def _listed(path: Path, named: NamedImages | None) -> list[Path]:
    """The images of a text file, absolute and without `..`, so that names stay below a folder."""
    files = []
    for number, text in list_lines(path):
        forms = dict.fromkeys((text, text.replace("\\", "/")))  # lists of Windows
        candidates = [folder / form for form in forms for folder in (path.parent, Path())]
        file = next((p for p in candidates if is_file(p)), None)
        if file is None and named is not None:
            file = named.find(text)
        if file is None:
            sentences = (
                f"{path}, line {number}: there is no file {text}, neither in {path.parent} nor in "
                "the current folder.",
                "" if named is None else named.describe(),
                "Correct the line. Each line holds one path.",
            )
            raise DataError(" ".join(filter(None, sentences)))
        files.append(Path(os.path.normpath(file.absolute())))
    return files


def _shared(files: list[Path]) -> Path:
    return Path(os.path.commonpath([f.parent for f in files]))


def read_or_error(file: Path, reading: Reading) -> AnyImage | DataError:
    """The image, or the error of a file that cannot be read: one broken file stops no others.

    Args:
        file: the image file.
        reading: how images are read, see `read_image`.
    """
    try:
        return read_picture(file, reading)
    except DataError as error:
        return error
