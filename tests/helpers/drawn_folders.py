"""Draws data folders as people have them: names x nesting x pairing x mask encoding x splits.

`draw_folder` writes one folder and says what a person would read from it. The same seed draws the
same folder on every machine.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WIDTH, HEIGHT = 40, 32
VOID = 255

IMAGE_WORDS = (
    *("images", "imgs", "image", "img", "JPEGImages", "img_dir", "leftImg8bit", "RGB"),
    *("photos", "input", "pictures"),
)
MASK_WORDS = (
    *("masks", "mask", "labels", "label", "annotations", "gt", "GT", "ground_truth", "ann_dir"),
    *("SegmentationClass", "SegmentationClassPNG", "targets", "groundtruth", "segmentation"),
)
SPLIT_WORDS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
UNLABELED_WORDS = ("unlabeled", "unlabelled")
WRAPPERS = ("dataset", "my data", "Export 2024-05", "plants_v2", "archive")
GROUPS = (("cam1", "cam2"), ("2024-05-01", "2024-05-02"), ("plot A", "plot B"))
COLORS = ((0, 0, 0), (0, 160, 0), (200, 30, 30), (40, 40, 220))

STEMS: tuple[Callable[[int], str], ...] = (
    lambda i: f"{i:03d}",
    lambda i: f"{i}",
    lambda i: f"IMG_{1000 + 7 * i}",
    lambda i: f"DJI_20240501_{i:04d}",
    lambda i: f"plot{i % 3}_{i:02d}",
    lambda i: f"{(i + 1) * 2654435761 % 2**32:08x}",
    lambda i: f"tile {i} ({i % 2})",
    lambda i: f"Feld-{i}_größe",
    lambda i: f"a{i}.v2",
)
"""How the images of one folder are called, by their number."""

AFFIXES = (
    ("", "", "", ""),
    ("", "", "", ""),
    ("", "", "", "_mask"),
    ("", "", "", "-mask"),
    ("", "", "", " mask"),
    ("", "", "mask_", ""),
    ("img_", "", "mask_", ""),
    ("image_", "", "label_", ""),
    ("", "_image", "", "_mask"),
    ("", "_sat", "", "_mask"),
    ("", "_rgb", "", "_labels"),
    ("", "", "", "_gt"),
    ("", "", "GT_", ""),
    ("", "", "", "_labelIds"),
    ("", "", "", "_L"),
    ("", "", "", "_seg"),
    ("", "", "", "_1stHO"),
    ("", "", "", "_anno2"),
    ("", "_0000", "", ""),
    ("", "_training", "", "_manual1"),
    ("", "", "", "SUFFIX"),
)
"""Prefix and suffix of an image, and of its mask; SUFFIX is the image's own, as in `7.jpg.png`."""

TEMPLATES = (
    *("role", "split/role", "role/split", "split_role", "role_split", "SplitRole"),
    *("beside", "split/beside", "group/beside", "role/group", "group/role", "split/group/role"),
    *("role/split/group", "split+mask", "role, paths", "role, stems", "role, csv"),
)
"""Where images and masks lie; `split+mask` has images in `train`, masks in `train_masks`.

Where a list stands behind `role`, it names the images of each split: by paths of image and mask, by
stems, or in one table.
"""
ENCODINGS = (
    *("ids", "ids", "void", "binary", "colors", "palette", "gray-rgb", "levels", "bits"),
    *("uint16", "gray-alpha"),
)
NAMES = ("soil", "crop", "weed", "stone")


class Photograph(NamedTuple):
    """A drawn image.

    Attributes:
        path: its place below the folder, with its suffix.
        mask: `(HEIGHT, WIDTH)` the class of each pixel, `VOID` where ignored; None without a mask.
    """

    path: str
    mask: NDArray[np.uint8] | None


@dataclass
class Drawn:
    """A drawn folder, and what a person reads from it.

    Attributes:
        scheme: what was chosen, in words.
        classes: the number of classes.
        names: the names of the classes if a file gives them.
        splits: the images of `train`, `val`, `test` and `unlabeled`.
    """

    scheme: str
    classes: int
    names: tuple[str, ...] = ()
    splits: dict[str, list[Photograph]] = field(default_factory=dict)


def draw_folder(root: Path, seed: int) -> Drawn:
    """Write the folder of a seed below `root`, which is the folder that a user passes."""
    return _Drawing(root, random.Random(seed)).draw()


class _Drawing:
    """One folder: the choices first, then its files."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        self.rng = rng
        wrap = rng.choice((0, 0, 0, 1, 2))
        self.root = root.joinpath(*rng.sample(WRAPPERS, wrap))
        self.top = root
        self.template = rng.choice(TEMPLATES)
        self.stem = rng.choice(STEMS)
        self.affixes = rng.choice(AFFIXES)
        beside = "beside" in self.template
        while beside and not (self.affixes[2] or self.affixes[3]):
            self.affixes = rng.choice(AFFIXES)
        self.encoding = rng.choice(ENCODINGS)
        self.count = 2 if self.encoding in ("binary", "bits") else rng.choice((2, 3, 4))
        if self.encoding == "levels":
            self.count = 3
        self.suffix = rng.choice((".jpg", ".jpg", ".png", ".JPG", ".tif", ".bmp", ".jpeg"))
        kinds = (".png", ".png", ".tif") if self.encoding == "uint16" else (".png", ".png", ".bmp")
        self.mask_suffix = ".png" if self.encoding == "gray-alpha" else rng.choice(kinds)
        self.words = {
            "image": self._cased(rng.choice(IMAGE_WORDS)),
            "mask": self._cased(rng.choice(MASK_WORDS)),
        }
        case = rng.choice((str, str, str.capitalize, str.upper))
        self.split_words = {s: case(rng.choice(w)) for s, w in SPLIT_WORDS.items()}
        self.groups = rng.choice(GROUPS)
        self.separator = rng.choice(("_", "_", "-"))
        self.masks: dict[str, str] = {}
        self.palette = [value for color in COLORS for value in color]

    def _cased(self, word: str) -> str:
        return self.rng.choice((str, str, str.lower, str.capitalize, str.upper))(word)

    def draw(self) -> Drawn:
        """Choose splits and classes, and write all files."""
        rng = self.rng
        has_splits = "split" in self.template.lower() or ", " in self.template
        sizes = {"train": rng.randint(5, 9)}
        if has_splits:
            sizes |= rng.choice(({}, {"val": 3}, {"val": 3}, {"val": 3, "test": 2}))
        elif rng.random() < 0.3:
            sizes["unlabeled"] = 3
        can_lack = not any(word in self.template for word in ("beside", "stems"))
        without = rng.choice((0, 0, 2)) if can_lack else 0
        drawn = Drawn(self._scheme(), self.count)
        number = rng.randrange(20)
        for split, size in sizes.items():
            drawn.splits[split] = []
            for i in range(size):
                masked = split != "unlabeled" and not (split == "train" and i >= size - without)
                drawn.splits[split].append(self._photograph(split, number, masked))
                number += 1
        if "unlabeled" in sizes:
            drawn.scheme += ", unlabeled"
        self._write_lists(drawn)
        drawn.names = self._class_file(drawn)
        for name in rng.sample(("README.md", "LICENSE", ".DS_Store", "Thumbs.db"), 2):
            (self.root / name).write_bytes(b"by-product")
        return drawn

    def _scheme(self) -> str:
        place = self.root.relative_to(self.top).as_posix()
        affixes = "|".join(self.affixes)
        words = "+".join([*self.words.values(), *self.split_words.values()])
        suffixes = f"{self.suffix} {self.mask_suffix}"
        stems = self.stem(7)
        return f"{place}/{self.template} {words} {affixes} {stems} {suffixes} {self.encoding}"

    def _photograph(self, split: str, number: int, masked: bool) -> Photograph:
        group = self.groups[number % 2]
        folders = {role: self.root / self._place(split, role, group) for role in ("image", "mask")}
        before, behind, mask_before, mask_behind = self.affixes
        stem = self.stem(number)
        image = folders["image"] / f"{before}{stem}{behind}{self.suffix}"
        if mask_behind == "SUFFIX":
            mask_behind = self.suffix
        mask = folders["mask"] / f"{mask_before}{stem}{mask_behind}{self.mask_suffix}"
        ids = self._ids(number)
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(self._pixels(ids, number)).save(image)
        if masked:
            mask.parent.mkdir(parents=True, exist_ok=True)
            self._encoded(ids).save(mask)
        path = image.relative_to(self.top).as_posix()
        if masked:
            self.masks[path] = mask.relative_to(self.root).as_posix()
        return Photograph(path, ids if masked else None)

    def _write_lists(self, drawn: Drawn) -> None:
        """Write the lists of the images of each split."""
        kind = self.template.partition(", ")[2]
        table = ["image,mask,split"]
        for split, photographs in drawn.splits.items():
            lines = []
            for photograph in photographs:
                path = (self.top / photograph.path).relative_to(self.root)
                mask = self.masks.get(photograph.path, "")
                table.append(f"{path.as_posix()},{mask},{split}")
                lines.append(path.stem if kind == "stems" else f"{path.as_posix()}\t{mask}".strip())
            if kind in ("paths", "stems"):
                (self.root / f"{split}.txt").write_text("\n".join(lines) + "\n")
        if kind == "csv":
            (self.root / "dataset.csv").write_text("\n".join(table) + "\n")

    def _place(self, split: str, role: str, group: str) -> str:
        """The folder of an image or a mask."""
        if split == "unlabeled":
            return UNLABELED_WORDS[self.count % 2]
        word, part = self.words[role], self.split_words[split]
        if ", " in self.template:
            return word
        joined = f"{part}{self.separator}{word}"
        places: Mapping[str, str] = {
            "role": word,
            "split/role": f"{part}/{word}",
            "role/split": f"{word}/{part}",
            "split_role": joined,
            "role_split": f"{word}{self.separator}{part}",
            "SplitRole": f"{part.capitalize()}{word[0].upper()}{word[1:]}",
            "beside": "",
            "split/beside": part,
            "group/beside": group,
            "role/group": f"{word}/{group}",
            "group/role": f"{group}/{word}",
            "split/group/role": f"{part}/{group}/{word}",
            "role/split/group": f"{word}/{part}/{group}",
            "split+mask": part if role == "image" else joined,
        }
        return places[self.template]

    def _ids(self, number: int) -> NDArray[np.uint8]:
        """A disc for each class on class 0, with an ignored strip where 255 is used."""
        rng = np.random.default_rng(number)
        ids = np.zeros((HEIGHT, WIDTH), np.uint8)
        rows, columns = np.mgrid[:HEIGHT, :WIDTH]
        for c in range(1, self.count):
            x, y = WIDTH * (c - 0.5) / (self.count - 1), rng.uniform(10, HEIGHT - 10)
            ids[(columns - x) ** 2 + (rows - y) ** 2 < rng.uniform(4, 6) ** 2] = c
        if self.encoding == "void":
            ids[:2] = VOID
        return ids

    def _pixels(self, ids: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
        rng = np.random.default_rng(1000 + number)
        base = np.array([*COLORS, (90, 90, 90)])[np.minimum(ids, len(COLORS))]
        noise = rng.normal(0, 20, (HEIGHT, WIDTH, 3))
        slope = np.linspace(0, 60 + 5 * (number % 7), WIDTH)[:, None]
        return (60 + base * 0.5 + slope + noise).clip(0, 255).astype(np.uint8)

    def _encoded(self, ids: NDArray[np.uint8]) -> Image.Image:
        if self.encoding == "binary":
            return Image.fromarray(ids * 255)
        if self.encoding == "bits":
            return Image.fromarray(ids * 255).convert("1")
        if self.encoding == "levels":
            return Image.fromarray(ids * 100)
        if self.encoding == "colors":
            return Image.fromarray(np.array(COLORS, np.uint8)[ids])
        if self.encoding == "gray-rgb":
            return Image.fromarray(np.repeat(ids[..., None], 3, axis=2))
        if self.encoding == "uint16":
            return Image.fromarray(ids.astype(np.uint16))
        if self.encoding == "gray-alpha":
            return Image.fromarray(np.stack([ids, np.full_like(ids, 255)], axis=2))
        image = Image.fromarray(ids)
        if self.encoding == "palette":
            image.putpalette(self.palette)
        return image

    def _class_file(self, drawn: Drawn) -> tuple[str, ...]:
        """Name the classes in a file, in one folder of three."""
        names = NAMES[: self.count]
        kind = self.rng.choice(("", "", "yaml", "txt", "csv"))
        if self.encoding == "colors" and kind:
            rows = [f"{n},{r},{g},{b}" for n, (r, g, b) in zip(names, COLORS, strict=False)]
            text = "\n".join(["name,r,g,b", *rows])
            (self.root / "class_dict.csv").write_text(text)
        elif self.encoding in ("ids", "palette", "gray-rgb", "uint16") and kind == "yaml":
            lines = "\n".join(f"  - {name}" for name in names)
            (self.root / "classes.yaml").write_text(f"classes:\n{lines}\n")
        elif self.encoding in ("ids", "palette", "gray-rgb", "uint16") and kind:
            (self.root / "classes.txt").write_text("\n".join(names) + "\n")
        else:
            return ()
        drawn.scheme += f", names in {kind}"
        return names
