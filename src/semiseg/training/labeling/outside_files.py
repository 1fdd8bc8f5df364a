"""The files of a folder of masks or scores from outside: which belong to which image, and reading.

A mask is named like its image: `NAME.png`, where `NAME` is the path of the image below the data
folder, as `semiseg predict DATA` names it, or its name below the folder of its split. Scores are
`NAME.npz` or `probabilities/NAME.npz`, as `semiseg predict --probabilities` writes them.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple, TypeAlias
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.errors import DataError
from semiseg.core.files import file_sha256, text_sha256
from semiseg.core.reading import Reading
from semiseg.core.types import Sample
from semiseg.data.classes.labels import read_labels
from semiseg.data.dataset import name_below
from semiseg.data.formats.image_formats import IMAGE_SUFFIXES
from semiseg.data.formats.images import image_size
from semiseg.data.formats.labelme import LABELME_SUFFIX
from semiseg.data.formats.mask_rule import AS_STORED
from semiseg.data.formats.masks import Classes
from semiseg.data.formats.matlab import MATLAB_SUFFIX
from semiseg.data.formats.orientation import have_same_shape
from semiseg.data.formats.stems import stem
from semiseg.data.tree import Tree

Kind: TypeAlias = Literal["masks", "scores"]

_SUFFIXES: dict[Kind, tuple[str, ...]] = {
    "masks": (*IMAGE_SUFFIXES, LABELME_SUFFIX, MATLAB_SUFFIX),
    "scores": (".npz",),
}
_SCORES_FOLDER = "probabilities/"


class OutsideFiles(NamedTuple):
    """The masks or the scores of some images.

    Attributes:
        kind: `masks`, or `scores` if there are any.
        files: the file of each image that has one.
        others: the number of files of this kind that belong to none of the images.
        sha256: a hash over the names and the contents of the files.
    """

    kind: Kind
    files: Mapping[Path, Path]
    others: int
    sha256: str


def find_files(folder: Path, root: Path, samples: Sequence[Sample]) -> OutsideFiles:
    """Find the masks or the scores of images.

    Args:
        folder: where the masks or scores lie.
        root: the data folder.
        samples: the images.

    Raises:
        DataError: two files may belong to one image, or one file to two images.
    """
    tree = Tree(folder)
    for kind in ("scores", "masks"):
        files = _match(tree, _SUFFIXES[kind], root, samples)
        if files or kind == "masks":
            break
    count = len(tree.files(folder, _SUFFIXES[kind]))
    lines = [f"{name_below(folder, file)} {file_sha256(file)}" for file in sorted(files.values())]
    return OutsideFiles(kind, files, count - len(files), text_sha256("\n".join(lines)))


def _match(
    tree: Tree, suffixes: tuple[str, ...], root: Path, samples: Sequence[Sample]
) -> dict[Path, Path]:
    by_name: dict[str, list[Path]] = {}
    for file in tree.files(tree.root, suffixes):
        name = _plain(name_below(tree.root, file))
        by_name.setdefault(name.removeprefix(_SCORES_FOLDER), []).append(file)
    names = Counter(unicodedata.normalize("NFC", sample.name) for sample in samples)
    files: dict[Path, Path] = {}
    for sample in samples:
        path = _plain(name_below(root, sample.image))
        short = unicodedata.normalize("NFC", sample.name)
        candidates = by_name.get(path) or by_name.get(short) or []
        if len(candidates) > 1:
            raise DataError(
                f"{candidates[0]} and {candidates[1]} may both belong to {sample.image}.",
                "Remove one of them.",
            )
        if candidates and path not in by_name and names[short] > 1:
            other = next(
                s.image for s in samples if s.name == sample.name and s.image != sample.image
            )
            raise DataError(
                f"{candidates[0]} may belong to {sample.image} or to {other}.",
                f"Name it by the path below the data folder: {tree.root / path}"
                f"{candidates[0].suffix}.",
            )
        if candidates:
            files[sample.image] = candidates[0]
    return files


def _plain(name: str) -> str:
    """A path with `/`, without its suffix and in one Unicode form."""
    path = PurePosixPath(unicodedata.normalize("NFC", name))
    return path.with_name(stem(Path(path.name))).as_posix()


def read_outside_mask(
    file: Path, sample: Sample, classes: Classes, reading: Reading
) -> Image.Image:
    """The mask of an image, at the size of the image; see `read_labels`.

    Where the masks of the data set are LabelMe files, a picture holds class indices, as `semiseg
    predict` writes them.

    Raises:
        DataError: the file cannot be read, holds a code of no class, or differs from the image in
            shape.
    """
    if classes.encoding == "labels" and file.suffix.lower() != LABELME_SUFFIX:
        indices = tuple(range(len(classes)))
        classes = replace(classes, encoding="ids", codes=indices, merged=(), rule=AS_STORED)
    return read_labels(sample._replace(mask=file), classes, reading)


class Scores(NamedTuple):
    """The scores of an image.

    Attributes:
        values: `(C, H, W)` in 0..1.
        names: the class of each.
    """

    values: NDArray[np.float16]
    names: tuple[str, ...]


def read_scores(file: Path, image: Path, reading: Reading) -> Scores:
    """Read the scores of an image.

    Args:
        file: an `.npz` file with `probabilities` and `classes`.
        image: the image.
        reading: how the image is read.

    Raises:
        DataError: the file cannot be read, or does not hold scores of this image.
    """
    try:
        with np.load(file, allow_pickle=False) as arrays:
            values, names = arrays["probabilities"], arrays["classes"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise DataError(
            f"{file} cannot be read as scores ({error}).",
            "It must hold `probabilities` (C, H, W) and `classes`, as `semiseg predict "
            "--probabilities` writes them.",
        ) from error
    classes = tuple(str(name) for name in names.ravel())
    if values.ndim != 3 or values.dtype.kind != "f" or len(values) != len(set(classes)):
        raise DataError(
            f"{file} holds `probabilities` of shape {values.shape} and type {values.dtype} for "
            f"{len(classes)} classes.",
            "It must hold floating-point numbers (C, H, W), and the names of the C classes.",
        )
    height, width = values.shape[1:]
    size = image_size(image, reading)
    if not have_same_shape((width, height), size):
        raise DataError(
            f"{file} is {width} x {height}, and its image {image} {size[0]} x {size[1]}.",
            "Export the scores at the size of the image.",
        )
    if not bool(((values >= 0) & (values <= 1)).all()):  # NaN is neither
        raise DataError(f"{file} holds scores that are not from 0 to 1.", "Export probabilities.")
    return Scores(values.astype(np.float16) + np.float16(0), classes)  # no negative zero
