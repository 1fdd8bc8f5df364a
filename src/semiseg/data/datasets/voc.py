"""Pascal VOC 2012, in the two settings that papers on few labels use."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path
from types import MappingProxyType

from semiseg.core.types import Sample
from semiseg.data.datasets.base import PublishedDataset, bit_colors, read_names
from semiseg.data.layouts.layout import Listing
from semiseg.data.tree import Tree

_STEM = re.compile(r"20\d\d_\d{6}")  # year and number: what no one calls images of their own
_LISTS = "ImageSets/Segmentation"
_FINE, _ROUGH = "SegmentationClass", "SegmentationClassAug"


class Voc(PublishedDataset):
    """Pascal VOC 2012, "classic": masks of the 1464 images of its own `train` list.

    The unlabeled images are the others of the 10,582 that `SegmentationClassAug` has masks for;
    without that folder, all of `JPEGImages` that are not in `val`.

    ```
    VOC2012/                      or the folder above, with VOCdevkit/VOC2012 in it
      JPEGImages/2007_000032.jpg
      SegmentationClass/2007_000032.png
      SegmentationClassAug/       optional, of the SBD annotations
      ImageSets/Segmentation/     train.txt, val.txt
    ```

    The masks are palette images: 0 is the background, 1 to 20 the things, 255 their outlines.
    """

    name = "voc"
    title = "Pascal VOC 2012 (classic)"
    lists_mean = MappingProxyType({_FINE: "voc-blender"})
    home = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/ (VOCtrainval_11-May-2012.tar)"
    license = "images under Flickr's terms of use"
    names = (
        *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat"),
        *("chair", "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant"),
        *("sheep", "sofa", "train", "tvmonitor"),
    )
    colors = bit_colors(21)

    def recognizes(self, tree: Tree) -> bool:
        """By masks beside VOC's list of its own names; CVAT's exports name the classes."""
        tree = _inner(tree)
        lists = [tree.root / _LISTS / f"{split}.txt" for split in ("train", "val")]
        listed = next((path for path in lists if tree.is_file(path)), None)
        if listed is None or tree.is_file(tree.root / "labelmap.txt"):
            return False
        with listed.open(encoding="utf-8", errors="replace") as lines:
            first = [line.strip() for line in islice(lines, 3)]
        return bool(first) and all(_STEM.fullmatch(line) for line in first)

    def samples(self, tree: Tree, split: str) -> list[Sample]:
        """The images of the list; beside those of `train` the unlabeled ones."""
        tree = _inner(tree)
        if split == "test":
            return []
        self.require(tree, "JPEGImages", _FINE, f"{_LISTS}/train.txt", f"{_LISTS}/val.txt")
        images, masks = self.files(tree, "JPEGImages"), self.files(tree, _FINE)
        listed = {s: read_names(tree.root / _LISTS / f"{s}.txt") for s in ("train", "val")}
        self.require(tree, *(f"{_FINE}/{n}.png" for n in listed[split] if n not in masks))
        own = {name: masks[name] for name in listed[split]}
        pool = set(self.files(tree, _ROUGH) or images) - set(listed["val"])
        names = {*listed[split], *(pool if split == "train" else ())}
        return self.paired(tree, images, own, names)

    def listing(self, tree: Tree, split: str) -> Listing:
        """The samples; the masks of the other setting are accounted for, too."""
        masks = [
            path for folder in (_FINE, _ROUGH) for path in self.files(_inner(tree), folder).values()
        ]
        return Listing(self.samples(tree, split), sources=masks)

    def download(self, folder: Path) -> Path | None:
        """Fetch it by torchvision."""
        from torchvision.datasets import VOCSegmentation

        VOCSegmentation(folder, year="2012", image_set="train", download=True)
        return folder / "VOCdevkit" / "VOC2012"


class VocBlender(Voc):
    """Pascal VOC 2012, "blender": masks of all 10,582 images of `SegmentationClassAug`.

    ```
    VOC2012/
      JPEGImages/2007_000032.jpg
      SegmentationClass/2007_000033.png     those of val
      SegmentationClassAug/2007_000032.png  those of train, drawn roughly for 9,118 of them
      ImageSets/Segmentation/val.txt
    ```

    `SegmentationClassAug` are the annotations of SBD as palette or gray images of ids, under VOC's
    names, as many programs pass them on. The tree is that of `voc` too: ask for `--dataset
    voc-blender`.
    """

    name = "voc-blender"
    title = "Pascal VOC 2012 (blender)"
    # In UniMatch's download, SegmentationClass holds all masks.
    mask_aliases = MappingProxyType({_FINE: _ROUGH})
    lists_mean = MappingProxyType({})
    home = "http://home.bharathh.info/pubs/codes/SBD/ (SBD; SegmentationClassAug holds it as PNG)"

    def recognizes(self, tree: Tree) -> bool:
        """Never: what holds these masks is also the classic set."""
        return False

    def samples(self, tree: Tree, split: str) -> list[Sample]:
        """All with rough masks but those of `val`; `val` as in the classic set."""
        tree = _inner(tree)
        if split == "test":
            return []
        self.require(tree, "JPEGImages", _FINE, _ROUGH, f"{_LISTS}/val.txt")
        val = read_names(tree.root / _LISTS / "val.txt")
        masks = self.files(tree, _ROUGH if split == "train" else _FINE)
        names = set(masks) - set(val) if split == "train" else set(val)
        self.require(tree, *(f"{_FINE}/{n}.png" for n in sorted(names - set(masks))))
        return self.paired(tree, self.files(tree, "JPEGImages"), masks, names)

    def download(self, folder: Path) -> None:
        """By hand: torchvision's SBD has masks in another form."""
        return


def _inner(tree: Tree) -> Tree:
    """The folder VOC2012 of the archive, or the folder itself."""
    inner = tree.root / "VOCdevkit" / "VOC2012"
    return tree.at(inner) if tree.is_folder(inner) else tree
