"""COCO's JSON of instances, which many annotation tools export."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.errors import ConfigError, DataError
from semiseg.core.files import cache_folder, read_json, short_hash
from semiseg.core.types import IGNORE_INDEX, Sample
from semiseg.data.datasets.base import PublishedDataset
from semiseg.data.formats.masks import MAX_CLASSES, Classes, default_color
from semiseg.data.tree import Tree

_NUMBERS = {
    "images": ("id", "height", "width"),
    "annotations": ("image_id", "category_id"),
    "categories": ("id",),
}
_ROBOFLOW = "_annotations.coco.json"
_PIXELS = 2**28  # as many as no image has that Pillow opens
_SPLITS = {"train": ("train", "default"), "val": ("val", "valid"), "test": ("test",)}


class Coco(PublishedDataset):
    """COCO's layout with instance annotations: the classes are the JSON's categories.

    ```
    DATA/
      annotations/instances_train2017.json   or instances_default.json, as CVAT exports it
      annotations/instances_val2017.json     optional, likewise test
      train2017/  val2017/                   or images/, images/train2017/, ...
    ```

    or, as Roboflow exports it,

    ```
    DATA/
      train/_annotations.coco.json  train/*.jpg
      valid/  test/                 optional
    ```

    Index 0 is the background, then follow the categories by their id; one that only stands above
    others, and has no annotations, is none. Where instances overlap, the smaller one is on top;
    crowds (`iscrowd`) are ignored. An image without annotations is unlabeled in `train`. The masks
    are drawn once, into the cache (`SEMISEG_CACHE`).
    """

    name = "coco"
    title = "COCO instances"
    home = "https://cocodataset.org (or the export of your annotation tool)"
    license = "annotations CC BY 4.0, images under Flickr's terms of use"
    names = ()  # those of the JSON
    colors = ()

    def recognizes(self, tree: Tree) -> bool:
        """By the JSON's name."""
        return bool(_jsons(tree, "train") or _jsons(tree, "val"))

    def samples(self, tree: Tree, split: str) -> list[Sample]:
        """The images of the JSON that exist on disk."""
        root = tree.root
        if split == "train" and not _jsons(tree, split):
            self.require(tree, "annotations/instances_train*.json")
        samples: list[Sample] = []
        for file in _jsons(tree, split):
            content = _read(file)
            labeled = {int(a["image_id"]) for a in content["annotations"]}
            masks = _drawn(root, file, _categories(tree))
            subset = file.stem.removeprefix("instances_")
            for entry in content["images"]:
                name = str(entry["file_name"])
                places = [root / subset, root / "images" / subset, root / "images", root]
                places = [file.parent] if file.name == _ROBOFLOW else places
                image = next((p / name for p in places if tree.is_file(p / name)), None)
                if image is None:
                    searched = " nor in ".join(str(place) for place in places[::2])
                    raise DataError(
                        f"{file} names {name}, which does not lie in {searched}.",
                        f"Get the images from {self.home}.",
                    )
                number = int(entry["id"])
                mask = masks / f"{number}.png" if number in labeled else None
                samples.append(Sample(Path(name).with_suffix("").as_posix(), image, mask))
        return sorted(samples)

    def classes(self, tree: Tree, masks: Sequence[Path]) -> Classes:
        """The background and the categories."""
        names = ("background", *_categories(tree).values())
        if not 2 <= len(names) <= MAX_CLASSES or len(set(names)) < len(names):
            raise DataError(
                f"The categories of {tree.root / 'annotations'} cannot be learned: 1 to "
                f"{MAX_CLASSES - 1} different names are needed ({', '.join(names[1:6])})."
            )
        colors = tuple(default_color(i) for i in range(len(names)))
        return Classes(names, colors, "ids", tuple(range(len(names))))


def _jsons(tree: Tree, split: str) -> list[Path]:
    """The split's files of instances."""
    starts = tuple(f"instances_{word}" for word in _SPLITS[split])
    files = tree.files(tree.root / "annotations", (".json",), deep=False)
    exports = [tree.root / word / _ROBOFLOW for word in _SPLITS[split]]
    return [
        *(path for path in files if path.stem.lower().startswith(starts)),
        *(p for p in exports if tree.is_file(p) and not tree.is_folder(p.with_name("images"))),
    ]


def _read(file: Path) -> dict[str, Any]:
    return _parsed(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=3)  # one a split: COCO's own takes seconds to parse
def _parsed(file: Path, _changed: int) -> dict[str, Any]:
    try:
        content: Any = read_json(file)
        for key, names in _NUMBERS.items():
            for entry in content[key]:
                entry.update({name: int(entry[name]) for name in names})
        for entry in content["categories"]:
            entry["name"] = str(entry["name"])
        for entry in content["images"]:
            name = Path(entry["file_name"])
            if name.is_absolute() or ".." in name.parts:
                raise ValueError(f"{name} lies outside of the folder")
            if (
                not 0
                < min(entry["height"], entry["width"])
                <= _PIXELS // max(entry["height"], entry["width"])
            ):
                raise ValueError(f"{name} has {entry['width']} x {entry['height']} pixels")
        return {key: list(content[key]) for key in _NUMBERS}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise DataError(
            f"{file} cannot be read as COCO's JSON of instances ({type(error).__name__}: {error}). "
            "Export it again."
        ) from error


def _categories(tree: Tree) -> dict[int, str]:
    """Names by id, of all files, in the order of the ids; without groups of other categories."""
    found: dict[int, str] = {}
    above: set[str] = set()
    used: set[int] = set()
    for split in _SPLITS:
        for file in _jsons(tree, split):
            content = _read(file)
            used.update(annotation["category_id"] for annotation in content["annotations"])
            for category in content["categories"]:
                found[category["id"]] = category["name"]
                group = category.get("supercategory")
                if isinstance(group, str) and group != category["name"]:  # as COCO's person has it
                    above.add(group)
    groups = {number for number, name in found.items() if name in above} - used
    return {number: found[number] for number in sorted(found.keys() - groups)}


def _drawn(root: Path, file: Path, categories: Mapping[int, str]) -> Path:
    """The folder of the file's masks in the cache; drawn anew where the file has changed.

    Raises:
        DataError: they cannot be drawn or written.
    """
    cache = cache_folder(root)
    if cache is None:
        raise DataError(
            f"{file}: there is no place for the masks that are drawn from it. Name a folder "
            f"outside of {root} in the environment variable SEMISEG_CACHE."
        )
    status = file.stat()
    state = f"{file.resolve()} {status.st_size} {status.st_mtime_ns} {list(categories)}"
    folder = cache / f"coco-{short_hash(state, size=8)}"
    if folder.is_dir():
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as fresh:
            whole = Path(fresh) / "masks"
            whole.mkdir()
            _draw_all(file, whole, {category: i for i, category in enumerate(categories, 1)})
            with suppress(OSError):  # another process was faster
                whole.rename(folder)
    except OSError as error:
        raise DataError(f"Masks of {file} cannot be drawn into {cache} ({error}).") from error
    return folder


def _draw_all(file: Path, folder: Path, index: Mapping[int, int]) -> None:
    content = _read(file)
    shapes: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in content["annotations"]:
        shapes[int(annotation["image_id"])].append(annotation)
    for entry in content["images"]:
        number = int(entry["id"])
        if number in shapes:
            mask = _draw(file, entry, shapes[number], index)
            Image.fromarray(mask).save(folder / f"{number}.png")


def _draw(
    file: Path, entry: Mapping[str, Any], shapes: Sequence[dict[str, Any]], index: Mapping[int, int]
) -> NDArray[np.uint8]:
    """`(H, W)` class indices of one image."""
    height, width = int(entry["height"]), int(entry["width"])
    drawn: list[tuple[bool, int, int, NDArray[np.bool_], int]] = []
    for shape in shapes:
        if not shape.get("segmentation"):
            raise DataError(
                f"{file}: annotation {shape.get('id')} of image {entry['file_name']} has no "
                "outline, maybe a box alone. Draw one, or delete it, and export again."
            )
        try:
            inside = _inside(shape["segmentation"], height, width)
            value = IGNORE_INDEX if shape.get("iscrowd") else index[int(shape["category_id"])]
        except ImportError as error:
            raise ConfigError(
                f"{file}: COCO's polygons are drawn by pycocotools, which is not installed: "
                "pip install 'semiseg[coco]'."
            ) from error
        except Exception as error:  # what its C code raises for broken shapes
            raise DataError(
                f"{file}: annotation {shape.get('id')} of image {entry['file_name']} cannot be "
                f"drawn ({type(error).__name__}: {error})."
            ) from error
        drawn.append((value != IGNORE_INDEX, -int(inside.sum()), len(drawn), inside, value))
    mask = np.zeros((height, width), dtype=np.uint8)
    for *_, inside, value in sorted(drawn, key=lambda d: d[:3]):  # crowds lowest, then the largest
        mask[inside] = value
    return mask


def _inside(outline: Any, height: int, width: int) -> NDArray[np.bool_]:  # noqa: ANN401 - JSON
    """`(H, W)`: the pixels of polygons or of a run-length code."""
    from pycocotools import mask as rle

    if isinstance(outline, list):
        outline = rle.merge(rle.frPyObjects(outline, height, width))
    elif isinstance(outline["counts"], list):
        outline = rle.frPyObjects(outline, height, width)
    return np.asarray(rle.decode(outline), dtype=np.bool_)
