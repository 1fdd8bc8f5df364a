"""COCO's JSON of instances, which many annotation tools export."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.errors import ConfigError, DataError
from semiseg.core.files import read_json
from semiseg.core.types import IGNORE_INDEX, Sample
from semiseg.data.datasets.base import PublishedDataset
from semiseg.data.drawn import draw_masks
from semiseg.data.formats.masks import MAX_CLASSES, Classes, default_color
from semiseg.data.tree import Tree

_ROBOFLOW = "_annotations.coco.json"
_MAX_PIXELS = 2**28  # more than any image has that Pillow opens
_SPLITS = {"train": ("train", "default"), "val": ("val", "valid"), "test": ("test",)}


class _Image(NamedTuple):
    """An image of the JSON; `name` is its path below the folder of images."""

    id: int
    name: str
    height: int
    width: int


class _Annotation(NamedTuple):
    """An instance; `outline` holds polygons or a run-length code, or nothing for a box."""

    id: object
    image: int
    category: int
    is_crowd: bool
    outline: object


class _Category(NamedTuple):
    """A category; `group` is the name of the category above it, if there is one."""

    id: int
    name: str
    group: object


class _Instances(NamedTuple):
    """The content of a JSON of instances."""

    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


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
            labeled = {annotation.image for annotation in content.annotations}
            masks = _drawn(root, file, _categories(tree))
            subset = file.stem.removeprefix("instances_")
            for entry in content.images:
                name = entry.name
                places = [root / subset, root / "images" / subset, root / "images", root]
                places = [file.parent] if file.name == _ROBOFLOW else places
                image = next((p / name for p in places if tree.is_file(p / name)), None)
                if image is None:
                    searched = " nor in ".join(str(place) for place in places[::2])
                    raise DataError(
                        f"{file} names {name}, which does not lie in {searched}.",
                        f"Get the images from {self.home}.",
                    )
                mask = masks / f"{entry.id}.png" if entry.id in labeled else None
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


def _read(file: Path) -> _Instances:
    return _parsed(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=3)  # one for each split: COCO's own takes seconds to parse
def _parsed(file: Path, _changed: int) -> _Instances:
    try:
        content: Any = read_json(file)  # of any form; what does not fit raises one of these errors
        return _Instances(
            [_image(entry) for entry in content["images"]],
            [
                _Annotation(
                    entry.get("id"),
                    int(entry["image_id"]),
                    int(entry["category_id"]),
                    bool(entry.get("iscrowd")),
                    entry.get("segmentation"),
                )
                for entry in content["annotations"]
            ],
            [
                _Category(int(entry["id"]), str(entry["name"]), entry.get("supercategory"))
                for entry in content["categories"]
            ],
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise DataError(
            f"{file} cannot be read as COCO's JSON of instances ({type(error).__name__}: {error}).",
            "Export it again.",
        ) from error


def _image(entry: Any) -> _Image:  # noqa: ANN401 - JSON
    name, height, width = str(entry["file_name"]), int(entry["height"]), int(entry["width"])
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"{name} lies outside of the folder")
    if min(height, width) <= 0 or height * width > _MAX_PIXELS:
        raise ValueError(f"{name} has {width} x {height} pixels")
    return _Image(int(entry["id"]), name, height, width)


def _categories(tree: Tree) -> dict[int, str]:
    """Names by id, of all files, in the order of the ids; without groups of other categories."""
    names: dict[int, str] = {}
    groups: set[str] = set()
    codes: set[int] = set()
    for split in _SPLITS:
        for file in _jsons(tree, split):
            content = _read(file)
            codes.update(annotation.category for annotation in content.annotations)
            for category in content.categories:
                names[category.id] = category.name
                group = category.group
                if isinstance(group, str) and group != category.name:  # as COCO's person has it
                    groups.add(group)
    unused = {number for number, name in names.items() if name in groups} - codes
    return {number: names[number] for number in sorted(names.keys() - unused)}


def _drawn(root: Path, file: Path, categories: Mapping[int, str]) -> Path:
    """The folder of the file's masks in the cache; drawn anew where the file has changed.

    Raises:
        DataError: they cannot be drawn or written.
    """
    index = {category: i for i, category in enumerate(categories, 1)}
    return draw_masks(
        root, [file], "coco", lambda folder: _draw_all(file, folder, index), str(list(categories))
    )


def _draw_all(file: Path, folder: Path, index: Mapping[int, int]) -> None:
    content = _read(file)
    instances: defaultdict[int, list[_Annotation]] = defaultdict(list)
    for annotation in content.annotations:
        instances[annotation.image].append(annotation)
    for image in content.images:
        if image.id in instances:
            mask = _draw(file, image, instances[image.id], index)
            Image.fromarray(mask).save(folder / f"{image.id}.png")


class _Region(NamedTuple):
    """The pixels of an instance, `(H, W)`, and their value in the mask."""

    pixels: NDArray[np.bool_]
    value: int


def _draw(
    file: Path, image: _Image, instances: Sequence[_Annotation], index: Mapping[int, int]
) -> NDArray[np.uint8]:
    """Class indices `(H, W)` of one image."""
    regions: list[_Region] = []
    for instance in instances:
        where = f"{file}: annotation {instance.id} of image {image.name}"
        if not instance.outline:
            raise DataError(
                f"{where} has no outline, maybe a box alone.",
                "Draw one, or delete it, and export again.",
            )
        try:
            pixels = _inside(instance.outline, image.height, image.width)
            value = IGNORE_INDEX if instance.is_crowd else index[instance.category]
        except ImportError as error:
            raise ConfigError(
                f"{file}: COCO's polygons are drawn by pycocotools, which is not installed: "
                "pip install 'semiseg[coco]'."
            ) from error
        except Exception as error:  # what its C code raises for broken shapes
            raise DataError(
                f"{where} cannot be drawn ({type(error).__name__}: {error})."
            ) from error
        regions.append(_Region(pixels, value))
    mask = np.zeros((image.height, image.width), dtype=np.uint8)
    # Crowds are lowest, then the largest instance.
    for region in sorted(regions, key=lambda r: (r.value != IGNORE_INDEX, -int(r.pixels.sum()))):
        mask[region.pixels] = region.value
    return mask


def _inside(outline: Any, height: int, width: int) -> NDArray[np.bool_]:  # noqa: ANN401 - JSON
    """The pixels `(H, W)` of polygons or of a run-length code."""
    from pycocotools import mask as rle  # an optional package

    if isinstance(outline, list):
        outline = rle.merge(rle.frPyObjects(outline, height, width))
    elif isinstance(outline["counts"], list):
        outline = rle.frPyObjects(outline, height, width)
    return np.asarray(rle.decode(outline), dtype=np.bool_)
