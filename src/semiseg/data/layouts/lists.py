"""Layouts in which lists say what belongs to a split: `DATA/train.txt`, and VOC's `ImageSets`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from semiseg.core.errors import DataError
from semiseg.core.text import plural
from semiseg.core.types import Sample
from semiseg.data.drawn import draw_masks
from semiseg.data.findings import Finding, note
from semiseg.data.formats.arrays import ARRAY_SUFFIX, read_array
from semiseg.data.formats.image_formats import IMAGE_SUFFIXES
from semiseg.data.layouts.families import find_families, unlabeled_folders
from semiseg.data.layouts.image_index import split_word
from semiseg.data.layouts.layout import Layout, Listing
from semiseg.data.layouts.list_files import (
    Lists,
    Row,
    find_lists,
    is_list_table,
    read_lines,
    read_table,
)
from semiseg.data.layouts.listed_files import ListedFiles
from semiseg.data.pairing.pairs import Folders, index, pair
from semiseg.data.tree import Tree

_MASKS = "SegmentationClass"
_PNG_MASKS = "SegmentationClassPNG"  # older releases of labelme2voc; there _MASKS holds arrays
_IMAGES = ("JPEGImages", "images")
_MAX_TRIED = 20  # rows of a table in which one image has to be there
_FLAGS = ("-1", "0", "1")  # behind names in VOC's lists of one class
_MASK_REMEDY = "Write the mask behind its image in the list, or give it the image's name."
_SUBSETS = {
    "train": ("train", "default"),  # CVAT's name where no subsets were made
    "val": ("val", "validation"),
    "test": ("test",),
}


class ListLayout(Layout):
    """Lists name the images of each split. semiseg reads no other images.

    ```
    DATA/
      train.txt  one image on a line, with or without its mask: day1/07.jpg  annotated/07.png
      val.txt    optional, and so is test.txt
    ```

    If no line of a list has a mask, semiseg finds the masks by their names, as without lists. A
    line may also be a name without its suffix, or a path that begins above DATA. The lists may lie
    in a folder `splits`, `lists` or `ImageSets`; `labeled.txt` and `unlabeled.txt` in such a folder
    name the images to train on. Tables work as lists, too: `train.csv`, or one table with a column
    of splits:

    ```
    DATA/
      images.csv  image,mask,split
                  photos/07.jpg,drawn/07.png,train
    ```
    """

    name = "lists"
    title = "Lists of images and masks"
    is_complete = True

    def __init__(self, tree: Tree) -> None:
        super().__init__(tree)
        self._files = ListedFiles(tree, self.families)
        self.lists = _usable(find_lists(tree), self._files)
        self._contents: dict[tuple[Path, str], Listed] = {}

    @classmethod
    def recognizes(cls, tree: Tree) -> bool:
        """By one of the lists; those of VOC's `ImageSets` belong to another layout."""
        lists = _usable(find_lists(tree), ListedFiles(tree, find_families(tree)))
        is_voc = lists.folder.lower().startswith("imagesets") and tree.is_folder(tree.root / _MASKS)
        return bool(lists) and not is_voc

    def read(self, split: str) -> Listing:
        """The images that the lists of the split name; none if there is no list.

        Raises:
            DataError: a list cannot be read, or names files that do not exist.
        """
        lists = self.lists
        contents = [self._content(path, split) for path in lists.files.get(split, ())]
        contents += [self._content(path, split) for path in lists.tables]
        if split == "train":
            contents += [self._content(path, split) for path in lists.labeled]
            labeled = {image for part in contents for image in part.samples}
            for path in lists.unlabeled:
                part = self._content(path, split)
                rest = {
                    i: s._replace(mask=None) for i, s in part.samples.items() if i not in labeled
                }
                contents.append(part._replace(samples=rest))
        _refuse_contradictions(contents)
        samples = {image: s for part in contents for image, s in part.samples.items()}
        if split == "train" and not samples:
            samples = self._unlisted()
        findings = self._notes(contents) if split == "train" else []
        ordered = sorted(samples.values())
        return Listing(ordered, findings, _MASK_REMEDY, sources=lists.paths)

    def list_of_mask(self, image: Path) -> Path | None:
        """The list in the data folder that names the mask of an image; None if none names it."""
        for part in self._contents.values():
            sample = None if part.is_paired else part.samples.get(image)
            if sample is not None and sample.mask is not None:
                return part.path
        return None

    def unlabeled(self) -> Listing:
        """None: the lists decide which images count."""
        if not self.lists.files.get("train"):
            return Listing()
        files = [sample.image for sample in super().unlabeled().samples]
        train = self.lists.files["train"][0].name
        train_images: set[Path] = set()
        with suppress(DataError):  # reading the list gives the error
            train_images = {sample.image for sample in self.read("train").samples}
        files = [file for file in files if file not in train_images]
        if not files:
            return Listing()
        folder = next(iter(unlabeled_folders(self.tree)), self.tree.root)
        count = plural(len(files), f"image of {folder} is", f"images of {folder} are")
        finding = note(f"{count} used only where {train} lists them")
        return Listing(findings=[finding], sources=files)

    def image_remedy(self) -> str:
        """What to do with images in no list."""
        first = next(iter(self.lists.paths))
        return f"To use them, add them to {first.relative_to(self.tree.root).as_posix()}."

    def _content(self, path: Path, split: str) -> Listed:
        key = path, split
        if key not in self._contents:
            self._contents[key] = read_list_file(self._files, path, split)
        return self._contents[key]

    def _unlisted(self) -> dict[Path, Sample]:
        """The images in no list, where no list is that of `train`; none if none has a mask."""
        images_in_lists = {
            image
            for split in ("val", "test")
            for path in (*self.lists.files.get(split, ()), *self.lists.tables)
            for image in self._content(path, split).samples
        }
        rest = {
            i: _named(self.tree, s)
            for i, s in self._files.samples.items()
            if i not in images_in_lists
        }
        return rest if any(sample.mask for sample in rest.values()) else {}

    def _notes(self, contents: Sequence[Listed]) -> list[Finding]:
        """Which lists are read, where that does not go without saying."""
        lists, root = self.lists, self.tree.root
        names = [path.relative_to(root).as_posix() for path in lists.paths]
        findings = []
        if lists.folder or lists.tables:
            findings.append(note(f"The lists say which images belong together: {', '.join(names)}"))
        if not contents or not any(part.samples for part in contents):
            message = f"No list says what to train on ({', '.join(names)}), so it is all the rest"
            findings.append(note(message, "Write a list of the images to train on, train.txt."))
        if len(lists.labeled) > 1:
            choice = lists.labeled[0]
            message = f"{len(lists.labeled)} lists name labeled images, and all of them are used"
            findings.append(note(message, f"To train on one of them, add --labels {choice}."))
        hidden = [s for part in contents if part.path in lists.unlabeled for s in part.samples]
        if hidden and lists.unlabeled:
            count = plural(len(hidden), "image is", "images are")
            files = ", ".join(p.relative_to(root).as_posix() for p in lists.unlabeled)
            findings.append(note(f"{count} read without masks, because {files} says so"))
        pairs = ((part, s) for part in contents if part.is_paired for s in part.samples.values())
        example = next(((part, s) for part, s in pairs if s.mask is not None), None)
        if example is not None:
            part, sample = example
            file, image = (p.relative_to(root).as_posix() for p in (part.path, sample.image))
            mask = self._files.mask_of(sample.image).relative_to(root).as_posix()
            message = f"{file} names images alone; masks are found by their names"
            findings.append(note(f"{message} ({mask} belongs to {image})"))
        return findings


def _usable(lists: Lists, files: ListedFiles) -> Lists:
    """Without tables of other things.

    No image of their first rows is there; or they say neither masks nor splits, and folders are
    named after splits.
    """

    def is_usable(path: Path) -> bool:
        with suppress(DataError):
            table = read_table(path, files.is_image, files.is_mask)
            rows = table.rows
            is_bare = not table.has_splits and not any(row.mask for row in rows)
            if is_bare and files.has_splits:
                return False
            if split_word(path.stem):
                return True
            return any(row.image and files.is_image(row.image) for row in rows[:_MAX_TRIED])
        return False

    return replace(lists, tables=[path for path in lists.tables if is_usable(path)])


class Listed(NamedTuple):
    """What a list names.

    Attributes:
        path: the list.
        samples: the images with their masks, by the image's file.
        is_paired: whether the list names no mask, so that masks are found by name.
    """

    path: Path
    samples: dict[Path, Sample]
    is_paired: bool


def read_list_file(files: ListedFiles, path: Path, split: str) -> Listed:
    """The images of a split that a list or a table names.

    Image and mask are separated by a tab, a comma, a semicolon or spaces, tried in this order. A
    line that is itself the name of a file is an image without a mask, with spaces or not.

    Args:
        files: the files of the data folder.
        path: the list.
        split: `train`, `val` or `test`; of a table with a column of splits, only its rows count.

    Raises:
        DataError: the list cannot be read or is empty, or a line does not name files below the
            root, or names an image again with another mask.
    """
    rows = _table_rows(files, path, split) if is_list_table(path) else [*_line_rows(files, path)]
    if not rows and not is_list_table(path):
        raise DataError(f"{path} names no image.", "Write an image a line, or remove the file.")
    is_paired = not any(row.mask for row in rows)
    entries: dict[Path, tuple[Sample, int]] = {}
    for row in rows:
        where = f"{path}, line {row.number}"
        image = files.image(row.image or row.text, where)
        mask = files.mask(row.mask, where) if row.mask else None
        sample = _named(files.tree, Sample("", image, mask))
        if is_paired and row.split != "unlabeled" and image in files.samples:
            sample = sample._replace(mask=files.samples[image].mask)
        other, line = entries.setdefault(image, (sample, row.number))
        if other != sample:
            raise DataError(
                f"{where}: {image} is already named in line {line}, with another mask or suffix.",
                "Remove one of the lines.",
            )
    _refuse_twins(path, entries)
    return Listed(path, {image: sample for image, (sample, _) in entries.items()}, is_paired)


def _refuse_contradictions(lists: Sequence[Listed]) -> None:
    """Refuse two lists that name different masks for one image.

    Raises:
        DataError: the first such image.
    """
    masks: dict[Path, tuple[Path, Path]] = {}
    for part in lists:
        for image, sample in part.samples.items():
            if sample.mask is None or part.is_paired:
                continue
            mask, path = masks.setdefault(image, (sample.mask, part.path))
            if mask != sample.mask:
                raise DataError(
                    f"{part.path} names the mask {sample.mask} for {image}, but {path} names "
                    f"{mask}.",
                    "Correct one of the lists, or remove it.",
                )


def _refuse_twins(path: Path, entries: Mapping[Path, tuple[Sample, int]]) -> None:
    """Refuse two images that differ only in their suffix."""
    lines: dict[str, int] = {}
    for sample, number in entries.values():
        line = lines.setdefault(sample.name, number)
        if line != number:
            raise DataError(
                f"{path}, line {number}: {sample.image} is already named in line {line}, with "
                "another mask or suffix.",
                "Remove one of the lines.",
            )


def _named(tree: Tree, sample: Sample) -> Sample:
    name = sample.image.relative_to(tree.root).with_suffix("").as_posix()
    return sample._replace(name=name)


def listed_samples(tree: Tree, list_file: Path) -> list[Sample]:
    """The images that a list names, sorted by name, as `read_list_file` reads it.

    Raises:
        DataError: as there.
    """
    files = ListedFiles(tree, find_families(tree))
    return sorted(read_list_file(files, list_file, "train").samples.values())


def _table_rows(files: ListedFiles, path: Path, split: str) -> list[Row]:
    """The rows of a split; without a column of splits, the table's name says it, or it is train."""
    table = read_table(path, files.is_image, files.is_mask)
    own = split_word(path.stem) or "train"
    if not table.has_splits:
        return [*table.rows] if own == split else []
    wanted = (split, "unlabeled") if split == "train" else (split,)
    return [
        row._replace(mask="" if row.split == "unlabeled" else row.mask)
        for row in table.rows
        if row.split in wanted
    ]


def _line_rows(files: ListedFiles, path: Path) -> Iterator[Row]:
    for row in read_lines(path):
        image, *mask = _columns(files, row.text, f"{path}, line {row.number}")
        yield row._replace(image=image, mask=mask[0] if mask else "")


def _columns(files: ListedFiles, text: str, where: str) -> list[str]:
    if files.is_path(text):
        return [text]
    separator = next((s for s in "\t,;" if s in text), None)
    columns = [column.strip().strip('"') for column in text.split(separator)]
    while len(columns) > 1 and not columns[-1]:  # an image without a mask
        columns.pop()
    if not all(map(files.is_path, columns)) and files.is_image(text):
        return [text]
    if len(columns) == 2 and columns[1] in _FLAGS and not files.is_image(columns[1]):
        columns.pop()
    if len(columns) > 2:
        raise DataError(
            f"{where} has {len(columns)} columns: {text}.",
            "Write an image, or an image and its mask, with a tab between them where names hold "
            "spaces or commas.",
        )
    return columns


class VocLayout(Layout):
    """The layout of VOC. CVAT exports it as "Segmentation mask".

    ```
    DATA/
      JPEGImages/         or images/
      SegmentationClass/  masks with the names of the images
      SegmentationClassPNG/  the masks, where SegmentationClass/ holds LabelMe's NumPy files
      ImageSets/Segmentation/train.txt  optional: the names of each split; else all is train
      labelmap.txt        optional: the classes
    ```
    """

    name = "voc-like"
    title = "VOC's folders, as CVAT exports them"

    @classmethod
    def recognizes(cls, tree: Tree) -> bool:
        """By the folder of the masks, with that of the images or without any image elsewhere."""
        root = tree.root
        if not tree.files(root / _MASKS, (*IMAGE_SUFFIXES, ARRAY_SUFFIX)):
            return False
        if any(tree.images(root / name) for name in _IMAGES):
            return True
        images = (path.relative_to(root).parts[0] for path in tree.images(root))
        return all(folder.startswith("Segmentation") for folder in images)

    def read(self, split: str) -> Listing:
        """The images that the lists of the split name.

        Raises:
            DataError: there are no images, or a list names one that does not exist.
        """
        tree = self.tree
        folder = next((tree.root / x for x in _IMAGES if self._holds(x)), None)
        if folder is None:
            raise DataError(
                f"{tree.root / _MASKS} holds masks, but the images are missing: there is no folder "
                f"{tree.root / 'JPEGImages'}.",
                "Export again from CVAT with 'Save images', or copy the images there.",
            )
        findings: list[Finding] = []
        arrays = self._arrays()
        places = [tree.root / name for name in (_MASKS, _PNG_MASKS)]
        masks = next((place for place in places if tree.images(place)), None)
        if arrays and masks is None:
            samples, sources = self._from_arrays(folder, arrays), arrays
        else:
            folders = Folders(tree, folder, masks or places[0])
            samples, findings, class_names, others = pair(folders)
            self.use_class_names(class_names)
            sources = [*others, *arrays]
        top = tree.root / "ImageSets"
        parts = (top / "Segmentation", top / "Main", top)
        lists = next((x for x in parts if tree.files(x, (".txt",), deep=False)), top)
        texts = tree.files(lists, (".txt",), deep=False)
        sources = [*sources, *texts]
        files = {path.stem.lower(): path for path in texts}
        subsets = {s: [files[x] for x in names if x in files] for s, names in _SUBSETS.items()}
        if not any(subsets.values()):
            return Listing(samples, findings, sources=sources) if split == "train" else Listing()
        by_name = {sample.name: sample for sample in samples}
        stems = {s: {n for f in paths for n in _stems(f, by_name)} for s, paths in subsets.items()}
        unlisted = len(samples) - len(set().union(*stems.values()))
        if unlisted:
            images = plural(unlisted, f"image of {folder} is", f"images of {folder} are")
            remedy = "To learn from images without masks, add their names to train.txt."
            findings.append(note(f"{images} in no list of {lists}", remedy))
        images_in_list = [by_name[name] for name in sorted(stems[split])]
        return Listing(images_in_list, findings if split == "train" else [], sources=sources)

    def _arrays(self) -> list[Path]:
        """The masks that LabelMe's labelme2voc writes as NumPy's files, often beside PNG."""
        folders = (self.tree.root / name for name in (_MASKS, f"{_MASKS}Npy"))
        return [path for x in folders for path in self.tree.files(x, (ARRAY_SUFFIX,))]

    def _from_arrays(self, folder: Path, arrays: Sequence[Path]) -> list[Sample]:
        """The images, with masks that are drawn from NumPy's files of their names.

        Raises:
            DataError: a mask cannot be read, or there is no place for the drawn ones.
        """
        images, _ = index(self.tree.images(folder), folder)
        masks, _ = index(arrays, self.tree.root / arrays[0].relative_to(self.tree.root).parts[0])

        names = sorted(images.keys() & masks.keys())

        def draw(place: Path) -> None:
            for name in names:
                file = place / f"{name}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(read_array(masks[name])).save(file)

        place = draw_masks(self.tree.root, arrays, "arrays", draw, "\n".join(names))
        return [
            Sample(name, image, place / f"{name}.png" if name in masks else None)
            for name, image in images.items()
        ]

    def _holds(self, folder: str) -> bool:
        return self.tree.is_folder(self.tree.root / folder)


def _stems(path: Path, images: Mapping[str, Sample]) -> Iterator[str]:
    """The names in a list of VOC's; each is that of an image."""
    for number, text, *_ in read_lines(path):
        name = text if text in images else text.split()[0].strip('"')
        if name not in images:
            raise DataError(
                f"{path}, line {number}: there is no image {text}.",
                "Correct the line, or add the image.",
            )
        yield name
