"""COCO-Stuff 10K: things and stuff in photographs of COCO."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from semiseg.core.types import Sample
from semiseg.data.datasets.base import PublishedDataset, bit_colors, read_names
from semiseg.data.formats.masks import Classes
from semiseg.data.formats.matlab import MATLAB_SUFFIX
from semiseg.data.tree import Tree

_IMAGE = re.compile(r"COCO_(train|val)2014_\d{12}")
_CONVERTED = {"train": "train2014", "val": "test2014"}
_LISTS = {"train": "train", "val": "test"}
_UNUSED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)  # ids of COCO that no image shows
_LAST = 182
_ENDING = "_labelTrainIds"
_NAMES = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant,
stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe,
backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball
bat, baseball glove, skateboard, surfboard, tennis racket, bottle, wine glass, cup, fork, knife,
spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair,
couch, potted plant, bed, dining table, toilet, tv, laptop, mouse, remote, keyboard, cell phone,
microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear, hair drier,
toothbrush, banner, blanket, branch, bridge, building-other, bush, cabinet, cage, cardboard, carpet,
ceiling-other, ceiling-tile, cloth, clothes, clouds, counter, cupboard, curtain, desk-stuff, dirt,
door-stuff, fence, floor-marble, floor-other, floor-stone, floor-tile, floor-wood, flower, fog,
food-other, fruit, furniture-other, grass, gravel, ground-other, hill, house, leaves, light, mat,
metal, mirror-stuff, moss, mountain, mud, napkin, net, paper, pavement, pillow, plant-other,
plastic, platform, playingfield, railing, railroad, river, road, rock, roof, rug, salad, sand, sea,
shelf, sky-other, skyscraper, snow, solid-other, stairs, stone, straw, structural-other, table,
tent, textile-other, towel, tree, vegetable, wall-brick, wall-concrete, wall-other, wall-panel,
wall-stone, wall-tile, wall-wood, water-other, waterdrops, window-blind, window-other, wood
"""


class CocoStuff10k(PublishedDataset):
    """COCO-Stuff 10K, version 1.1, 171 classes; its `test` list is our `val`.

    ```
    cocostuff-10k-v1.1/
      images/COCO_train2014_000000000077.jpg
      annotations/COCO_train2014_000000000077.mat   matrix S of ids
      imageLists/{train,test}.txt
    ```

    or as MMSegmentation converts it:

    ```
    coco_stuff10k/
      images/{train2014,test2014}/COCO_train2014_000000000077.jpg
      annotations/{train2014,test2014}/COCO_train2014_000000000077_labelTrainIds.png
    ```

    Id 0 is unlabeled and ignored. Of COCO's ids 1 to 182, 171 occur; in their order they are the
    classes, and the converted masks number them from 1 to 171. The paper counts 181.
    """

    name = "cocostuff10k"
    title = "COCO-Stuff 10K"
    mask_forms = 2
    home = "https://github.com/nightrome/cocostuff10k (cocostuff-10k-v1.1.zip)"
    license = "annotations CC BY 4.0, images under Flickr's terms of use"
    names = tuple(" ".join(name.split()) for name in _NAMES.split(","))
    colors = bit_colors(172)[1:]

    def recognizes(self, tree: Tree) -> bool:
        """By the lists or the converted annotations, and by the images' names."""
        converted = tree.root / "annotations" / _CONVERTED["train"]
        has_annotations = tree.is_folder(tree.root / "imageLists") or tree.is_folder(converted)
        return has_annotations and self.named_as(tree, "images", _IMAGE)

    def samples(self, tree: Tree, split: str) -> list[Sample]:
        """The images of the official list, or of the converted folder."""
        if split not in _CONVERTED:
            return []
        folder = _CONVERTED[split]
        if tree.is_folder(tree.root / "annotations" / folder):
            self.require(tree, f"images/{folder}")
            images = self.files(tree, f"images/{folder}")
            masks = self.files(tree, f"annotations/{folder}", _ENDING)
            return self.paired(tree, images, masks, images)
        listing = f"imageLists/{_LISTS[split]}.txt"
        self.require(tree, "images", "annotations", listing)
        names = read_names(tree.root / listing)
        files = tree.files(tree.root / "annotations", (MATLAB_SUFFIX,))
        return self.paired(
            tree, self.files(tree, "images"), {path.stem: path for path in files}, names
        )

    def classes(self, tree: Tree, masks: Sequence[Path]) -> Classes:
        """By COCO's ids in the official masks, by 1 to 171 in converted ones."""
        if all(mask.stem.endswith(_ENDING) for mask in masks):
            return self.by_codes(range(1, len(self.names) + 1), [0])
        return self.by_codes((i for i in range(1, _LAST + 1) if i not in _UNUSED), [0])
