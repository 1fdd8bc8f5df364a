"""ADE20K in the form of the scene parsing benchmark."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from semiseg.core.types import Sample
from semiseg.data.datasets.base import PublishedDataset
from semiseg.data.formats.masks import Classes
from semiseg.data.tree import Tree

_IMAGE = re.compile(r"ADE_(train|val)_\d{8}")
_FOLDERS = {"train": "training", "val": "validation"}
_NAMES = """
wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk, person,
earth, door, table, mountain, plant, curtain, chair, car, water, painting, sofa, shelf, house, sea,
mirror, rug, field, armchair, seat, fence, desk, rock, wardrobe, lamp, bathtub, railing, cushion,
base, box, column, signboard, chest of drawers, counter, sand, sink, skyscraper, fireplace,
refrigerator, grandstand, path, stairs, runway, case, pool table, pillow, screen door, stairway,
river, bridge, bookcase, blind, coffee table, toilet, flower, book, hill, bench, countertop, stove,
palm, kitchen island, computer, swivel chair, boat, bar, arcade machine, hovel, bus, towel, light,
truck, tower, chandelier, awning, streetlight, booth, television receiver, airplane, dirt track,
apparel, pole, land, bannister, escalator, ottoman, bottle, buffet, poster, stage, van, ship,
fountain, conveyer belt, canopy, washer, plaything, swimming pool, stool, barrel, basket, waterfall,
tent, bag, minibike, cradle, oven, ball, food, step, tank, trade name, microwave, pot, animal,
bicycle, lake, dishwasher, screen, blanket, sculpture, hood, sconce, vase, traffic light, tray,
ashcan, fan, pier, crt screen, plate, monitor, bulletin board, shower, radiator, glass, clock, flag
"""
_COLORS = """
787878 b47878 06e6e6 503232 04c803 787850 8c8c8c cc05ff e6e6e6 04fa07 e005ff ebff07 96053d 787846
08ff33 ff0652 8fff8c ccff04 ff3307 cc4603 0066c8 3de6fa ff0633 0b66ff ff0747 ff09e0 0907e6 dcdcdc
ff095c 7009ff 08ffd6 07ffe0 ffb806 0aff47 ff290a 07ffff e0ff08 6608ff ff3d06 ffc207 ff7a08 00ff14
ff0829 ff0599 0633ff eb0cff a09614 00a3ff 8c8c8c fa0a0f 14ff00 1fff00 ff1f00 ffe000 99ff00 0000ff
ff4700 00ebff 00adff 1f00ff 0bc8c8 ff5200 00fff5 003dff 00ff70 00ff85 ff0000 ffa300 ff6600 c2ff00
008fff 33ff00 0052ff 00ff29 00ffad 0a00ff adff00 00ff99 ff5c00 ff00ff ff00f5 ff0066 ffad00 ff0014
ffb8b8 001fff 00ff3d 0047ff ff00cc 00ffc2 00ff52 000aff 0070ff 3300ff 00c2ff 007aff 00ffa3 ff9900
00ff0a ff7000 8fff00 5200ff a3ff00 ffeb00 08b8aa 8500ff 00ff5c b800ff ff001f 00b8ff 00d6ff ff0070
5cff00 00e0ff 70e0ff 46b8a0 a300ff 9900ff 47ff00 ff00a3 ffcc00 ff008f 00ffeb 85ff00 ff00eb f500ff
ff007a fff500 0abed4 d6ff00 00ccff 1400ff ffff00 0099ff 0029ff 00ffcc 2900ff 29ff00 ad00ff 00f5ff
4700ff 7a00ff 00ffb8 005cff b8ff00 0085ff ffd600 19c2c2 66ff00 5c00ff
"""


class Ade20k(PublishedDataset):
    """ADE20K SceneParsing, 150 classes.

    ```
    ADEChallengeData2016/
      images/{training,validation}/ADE_train_00000001.jpg
      annotations/{training,validation}/ADE_train_00000001.png
    ```

    The masks hold ids: 0 is everything else, which is ignored, 1 to 150 are the classes.
    """

    name = "ade20k"
    title = "ADE20K SceneParsing"
    home = "http://sceneparsing.csail.mit.edu (ADEChallengeData2016.zip)"
    license = "annotations BSD-3-Clause, images for non-commercial research"
    names = tuple(" ".join(name.split()) for name in _NAMES.split(","))
    colors = tuple((int(h[:2], 16), int(h[2:4], 16), int(h[4:], 16)) for h in _COLORS.split())

    def recognizes(self, tree: Tree) -> bool:
        """By the folders of images and annotations, and by the images' names."""
        folders = [f"images/{folder}" for folder in _FOLDERS.values()]
        folders = [folder for folder in folders if tree.images(tree.root / folder)]
        masks = tree.is_folder(tree.root / "annotations")
        return masks and bool(folders) and self.named_as(tree, folders[0], _IMAGE)

    def samples(self, tree: Tree, split: str) -> list[Sample]:
        """The images of the split; those of `train` without a mask are unlabeled."""
        if split not in _FOLDERS:
            return []
        folder = _FOLDERS[split]
        self.require(tree, f"images/{folder}", f"annotations/{folder}")
        images = self.files(tree, f"images/{folder}")
        return self.paired(tree, images, self.files(tree, f"annotations/{folder}"), images)

    def classes(self, tree: Tree, masks: Sequence[Path]) -> Classes:
        """By ids from 1 on."""
        return self.by_codes(range(1, len(self.names) + 1), [0])
