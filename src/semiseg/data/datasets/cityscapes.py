"""Cityscapes: road scenes of fifty cities."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from semiseg.core.types import Sample
from semiseg.data.datasets.base import PublishedDataset
from semiseg.data.formats.masks import Classes
from semiseg.data.tree import Tree

_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
_CITIES = """
aachen bochum bremen cologne darmstadt dusseldorf erfurt hamburg hanover jena krefeld
monchengladbach strasbourg stuttgart tubingen ulm weimar zurich frankfurt lindau munster berlin
bielefeld bonn leverkusen mainz munich
"""
_FRAME = re.compile(rf"({'|'.join(_CITIES.split())})_\d{{6}}_\d{{6}}_leftImg8bit")
_ALL = 34  # labelIds go from 0 to 33
_TRAIN_IDS, _LABEL_IDS = "_gtFine_labelTrainIds", "_gtFine_labelIds"


class Cityscapes(PublishedDataset):
    """Cityscapes with fine annotations, 19 classes.

    ```
    cityscapes/
      leftImg8bit/{train,val}/CITY/CITY_000000_000019_leftImg8bit.png
      gtFine/{train,val}/CITY/CITY_000000_000019_gtFine_labelTrainIds.png   or _labelIds.png
    ```

    semiseg reads `labelTrainIds` (0 to 18, 255 ignored) if each image of `train` and `val` with a
    mask has one of them. Otherwise it reads `labelIds`: 19 of their 34 ids are classes, and it
    ignores the others. The truth of `test` is not public, so `test` has no images.
    """

    name = "cityscapes"
    title = "Cityscapes"
    mask_forms = 2
    home = "https://www.cityscapes-dataset.com (leftImg8bit_trainvaltest.zip, gtFine_trainvaltest)"
    license = "Cityscapes license: non-commercial, after registration"
    names = (
        *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light"),
        *("traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car", "truck"),
        *("bus", "train", "motorcycle", "bicycle"),
    )
    colors = (
        *((128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153)),
        *((153, 153, 153), (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152)),
        *((70, 130, 180), (220, 20, 60), (255, 0, 0), (0, 0, 142), (0, 0, 70), (0, 60, 100)),
        *((0, 80, 100), (0, 0, 230), (119, 11, 32)),
    )

    def recognizes(self, tree: Tree) -> bool:
        """By the folder of the left camera's images, and by the names of cities and frames."""
        return self.named_as(tree, "leftImg8bit", _FRAME)

    def samples(self, tree: Tree, split: str) -> list[Sample]:
        """The images of the split; those of `train` without a mask are unlabeled."""
        if split == "test":
            return []
        self.require(tree, f"leftImg8bit/{split}", f"gtFine/{split}")
        images = self.files(tree, f"leftImg8bit/{split}", "_leftImg8bit")
        masks = self.files(tree, f"gtFine/{split}", _ending(self, tree))
        return self.paired(tree, images, masks, images)

    def classes(self, tree: Tree, masks: Sequence[Path]) -> Classes:
        """By train ids or by label ids, as the masks' names say."""
        if all(mask.stem.endswith(_TRAIN_IDS) for mask in masks):
            return self.by_codes(range(len(_IDS)))
        return self.by_codes(_IDS, set(range(_ALL)) - set(_IDS))


def _ending(data: Cityscapes, tree: Tree) -> str:
    """The ending of the masks that are read."""
    masks = [data.files(tree, "gtFine", ending) for ending in (_TRAIN_IDS, _LABEL_IDS)]
    return _TRAIN_IDS if masks[0] and masks[0].keys() >= masks[1].keys() else _LABEL_IDS
