"""The lists of a data folder: which files list the images of a split, and what their lines say."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from semiseg.core.errors import DataError
from semiseg.core.files import read_text
from semiseg.data.formats.image_formats import IMAGE_SUFFIXES
from semiseg.data.layouts.image_index import split_word
from semiseg.data.tree import Tree

TABLE_SUFFIXES = (".csv", ".tsv")
Column: TypeAlias = Literal["image", "mask", "split"]

_MAX_LINE = 1 << 16  # characters of a header
_IN_ROOT = ("train", "training", "val", "valid", "validation", "test")
_COMMENT = re.compile(r"\s#(\s.*)?$")
_FOLDERS = ("splits", "split", "lists", "list", "imagesets", "image_sets", "sets", "file_lists")
_INNER = ("segmentation", "main")  # folders of VOC's ImageSets, the first of which counts
_TABLES = re.compile(
    r"(images?|masks?|data|dataset|metadata|files?|filelist|lists?|splits?|pairs|index|samples)"
)
_NAMES: dict[Column, tuple[str, ...]] = {
    "image": (
        *("imagepath", "imgpath", "imagefile", "imgfile", "imagefilename", "imagefilepath"),
        *("satimagepath", "image", "images", "img", "imgs", "imagename", "imgname", "input"),
        *("filepath", "filename", "file", "path", "photo", "rgb", "imageid", "imgid", "stem"),
        *("name", "id"),
    ),
    "mask": (
        *("maskpath", "maskfile", "maskfilename", "maskname", "mask", "masks", "labelpath"),
        *("labelfile", "labelimage", "label", "labels", "annotationpath", "annotationfile"),
        *("annotation", "annotations", "segmentationpath", "segmentation", "segpath", "seg"),
        *("gtpath", "gt", "groundtruth", "groundtruthpath", "targetpath", "target", "output"),
    ),
    "split": ("split", "set", "subset", "partition", "phase", "usage", "fold", "dataset"),
}
_ENDS: dict[Column, tuple[str, ...]] = {
    "image": ("imagepath", "imagefile", "imagefilename", "imagename"),
    "mask": ("maskpath", "maskfile", "maskfilename", "maskname", "labelpath", "labelfile"),
    "split": ("split",),
}
_MAX_TRIED = 20  # rows from which the columns are chosen
_RUN_LENGTHS = ("rle", "encodedpixels", "rlemask", "rlemasks", "annotationrle")


class Row(NamedTuple):
    """A line of a list.

    Attributes:
        number: of the line, from 1.
        text: the line.
        image: what it says of the image; None if the reader has to cut the line into columns.
        mask: what it says of the mask; empty if it says nothing.
        split: `train`, `val`, `test`, `unlabeled`, or nothing.
    """

    number: int
    text: str
    image: str | None = None
    mask: str = ""
    split: str = ""


class Table(NamedTuple):
    """A table with a column of images.

    Attributes:
        rows: without the header.
        has_splits: whether a column says the split of each image.
    """

    rows: list[Row]
    has_splits: bool


@dataclass(frozen=True)
class Lists:
    """The lists of a data folder.

    Attributes:
        files: the lists of each split.
        tables: the tables that say the split of each image, or that are those to train on.
        labeled: lists of images to train on with masks, as UniMatch writes them (`labeled.txt`).
        unlabeled: lists of images to train on without masks.
        folder: the folder of the lists, as a path below the data folder; empty for itself.
    """

    files: dict[str, list[Path]]
    tables: list[Path]
    labeled: list[Path]
    unlabeled: list[Path]
    folder: str = ""

    @property
    def paths(self) -> list[Path]:
        """All lists."""
        split_lists = [path for paths in self.files.values() for path in paths]
        return sorted({*split_lists, *self.tables, *self.labeled, *self.unlabeled})

    def __bool__(self) -> bool:
        """Whether there is a list."""
        return bool(self.paths)


def find_lists(tree: Tree) -> Lists:
    """The lists in the data folder, or in a folder such as `splits` or `ImageSets`.

    Those in the data folder come first. Of a table, the header has to name a column of images, and
    one of masks or splits, unless the table is called `train.csv`.
    """
    lists = _lists_in(tree, tree.root)
    if lists:
        return lists
    for folder in tree.subfolders(tree.root):
        if folder.name.lower() in _FOLDERS:
            inner = {below.name.lower(): below for below in tree.subfolders(folder)}
            places = [folder, *(inner[name] for name in _INNER if name in inner)]
            for place in places:
                lists = _lists_in(tree, place)
                if lists:
                    return lists
    return lists


def _lists_in(tree: Tree, folder: Path) -> Lists:
    files: dict[str, list[Path]] = {}
    is_root = folder == tree.root
    for path in tree.files(folder, (".txt", ".lst"), deep=False):
        name = path.stem.lower()
        split = "train" if name == "default" and not is_root else _split_of_list(name)
        if split and (not is_root or name in _IN_ROOT):
            files.setdefault(split, []).append(path)
    texts = tree.files(folder, (".txt",), deep=not is_root)
    labeled = [path for path in texts if path.stem.lower() in ("labeled", "labelled")]
    unlabeled = [path for path in texts if path.stem.lower() in ("unlabeled", "unlabelled")]
    if is_root and not labeled:
        unlabeled = unlabeled if files.get("train") else []
    tables: list[Path] = []
    for path in [] if files else tree.files(folder, TABLE_SUFFIXES, deep=False):
        if _is_table_of_lines(path):
            files.setdefault(split_word(path.stem), []).append(path)
        elif is_list_table(path):
            tables.append(path)
    name = folder.relative_to(tree.root).as_posix()
    return Lists(files, tables, labeled, unlabeled, "" if name == "." else name)


def _split_of_list(stem: str) -> str:
    """The split of a list by its name; `trainval` and `train_extra` are no splits."""
    words = re.findall("[a-z]+", stem.lower())
    return split_word(stem) if len(words) == 1 else ""


def run_length_table(tree: Tree) -> tuple[Path, str] | None:
    """A table of run-length codes, which are masks that semiseg does not read, and its column."""
    tables = tree.files(tree.root, TABLE_SUFFIXES, deep=False)
    for path in sorted(tables, key=lambda path: "submission" in path.stem.lower()):
        head = _first_line(path)
        for cell in _cells(head, _delimiter(head)):
            if _plain(cell) in _RUN_LENGTHS:
                return path, cell
    return None


def _is_table_of_lines(path: Path) -> bool:
    """Whether a table of a split, such as `train.csv`, begins with an image, without a header.

    With other words in its name (`flood_train_data.csv`), it begins with an image and a mask.
    """
    if not split_word(path.stem):
        return False
    head = _first_line(path)
    cells = _cells(head, _delimiter(head))
    images = [cell.lower().endswith(IMAGE_SUFFIXES) for cell in cells[:2]]
    return images[:1] == [True] and (bool(_split_of_list(path.stem)) or images == [True, True])


def _first_line(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            return file.readline(_MAX_LINE)
    except OSError:
        return ""


def is_list_table(path: Path) -> bool:
    """Whether a table lists images, by its name and its header."""
    stem = path.stem.lower()
    is_split = bool(_split_of_list(stem))
    if not is_split and not _TABLES.search(stem):
        return False
    head = _first_line(path)
    columns = _columns_of(_cells(head, _delimiter(head)))
    names = {_plain(cell) for cell in _cells(head, _delimiter(head))}
    if "image" not in columns or names & set(_RUN_LENGTHS):
        return False
    return is_split or "mask" in columns or "split" in columns


def names_image_column(path: Path, head: str) -> bool:
    """Whether a file is a table whose first line names a column of images."""
    is_table = path.suffix.lower() in TABLE_SUFFIXES
    return is_table and "image" in _columns_of(_cells(head, _delimiter(head)))


def read_table(
    path: Path,
    is_image: Callable[[str], bool],
    is_mask: Callable[[str], bool] = lambda text: True,
) -> Table:
    """Read a table that lists images.

    Of several columns that may name the images, the first one counts whose values do.

    Args:
        path: the table.
        is_image: whether a text names an image of the data folder.
        is_mask: whether a text names a file that may be a mask.

    Raises:
        DataError: it is no text, or no column of it names images.
    """
    lines = _text_lines(path)
    head = lines[0] if lines else ""
    delimiter = _delimiter(head)
    columns = _columns_of(_cells(head, delimiter))
    if "image" not in columns:
        raise DataError(f"{path} has no column of images: {head}.", "Call one `image`.")
    numbered = [(n, line, _cells(line, delimiter)) for n, line in enumerate(lines[1:], 2)]
    numbered = [entry for entry in numbered if any(entry[2])]
    first = [cells for _, _, cells in numbered[:_MAX_TRIED]]
    image = _fitting(columns["image"], first, is_image)
    masks = [at for at in columns.get("mask", []) if at != image]
    masks = [
        at for at in masks if any(_is_path(_cell(c, at)) or is_mask(_cell(c, at)) for c in first)
    ]
    mask = _fitting(masks, first, is_mask)
    split = next((at for at in columns.get("split", []) if at != image), None)
    rows = [
        Row(n, line, _cell(cells, image), _cell(cells, mask), _split_of_cell(_cell(cells, split)))
        for n, line, cells in numbered
    ]
    return Table(rows, any(row.split for row in rows))


def _fitting(
    columns: Sequence[int], rows: Sequence[Sequence[str]], fits: Callable[[str], bool]
) -> int | None:
    """The first column in which a value fits, or the first one."""
    for at in columns:
        if any(_cell(cells, at) and fits(_cell(cells, at)) for cells in rows):
            return at
    return columns[0] if columns else None


def _is_path(text: str) -> bool:
    """Whether a text looks like the path of an image, and not like the number of a class."""
    return any(sign in text for sign in "/\\") or text.lower().endswith(IMAGE_SUFFIXES)


def _cell(cells: Sequence[str], at: int | None) -> str:
    return cells[at] if at is not None and at < len(cells) else ""


def read_lines(path: Path) -> Iterator[Row]:
    """The lines of a list that are neither empty nor comments.

    Raises:
        DataError: it is no text.
    """
    for number, line in enumerate(_text_lines(path), 1):
        text = _COMMENT.sub("", line).strip()
        if text and not text.startswith("#"):
            yield Row(number, text)


def _text_lines(path: Path) -> list[str]:
    try:
        return read_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not a text file that can be read ({error}).") from error


def _split_of_cell(text: str) -> str:
    if "unlabel" in text.lower():
        return "unlabeled"
    return split_word(text)


def _delimiter(line: str) -> str:
    return max("\t;,", key=line.count)


def _cells(line: str, delimiter: str) -> list[str]:
    cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    return [cell.strip() for cell in cells]


def _columns_of(cells: Sequence[str]) -> dict[Column, list[int]]:
    """The columns that a header names, of each kind the one with the clearest name first."""
    names = [_plain(cell) for cell in cells]
    columns: dict[Column, list[int]] = {}
    for column, aliases in _NAMES.items():
        at = [names.index(name) for name in aliases if name in names]
        at += [i for i, name in enumerate(names) if name.endswith(_ENDS[column]) and i not in at]
        if at:
            columns[column] = at
    return columns


def _plain(cell: str) -> str:
    return re.sub(r"[\W_]", "", cell.lower())
