"""COCO's instances in the official tree; `semiseg.data.formats.coco` reads the JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from semiseg.core.errors import DataError
from semiseg.core.types import Sample
from semiseg.data.datasets.base import PublishedDataset
from semiseg.data.formats.coco import CocoFormat
from semiseg.data.formats.masks import Classes
from semiseg.data.layouts.annotation_layout import AnnotationLayout
from semiseg.data.layouts.layout import Listing
from semiseg.data.tree import Tree

_FORMATS = (CocoFormat(),)


class Coco(PublishedDataset):
    """COCO's layout with instance annotations: the classes are the JSON's categories.

    ```
    DATA/
      annotations/instances_train2017.json
      annotations/instances_val2017.json     optional
      train2017/  val2017/                   or images/train2017/, ...
    ```

    An annotation tool's export as COCO, whatever its names, is read in the same way.
    """

    name = "coco"
    title = "COCO instances"
    home = "https://cocodataset.org (or the export of your annotation tool)"
    license = "annotations CC BY 4.0, images under Flickr's terms of use"
    names = ()  # those of the JSON
    colors = ()

    def recognizes(self, tree: Tree) -> bool:
        """By the JSON's name."""
        files = tree.files(tree.root / "annotations", (".json",), deep=False)
        return any(path.name.lower().startswith("instances_") for path in files)

    def samples(self, tree: Tree, split: str) -> list[Sample]:
        """The images of the JSON, and those beside them that it does not list."""
        return list(self.listing(tree, split).samples)

    def listing(self, tree: Tree, split: str) -> Listing:
        """The samples, with what is skipped."""
        try:
            return AnnotationLayout(tree, _FORMATS).read(split)
        except DataError as error:
            raise DataError(error.message, f"{error.remedy} Origin: {self.home}.") from error

    def classes(self, tree: Tree, masks: Sequence[Path]) -> Classes:
        """The background and the categories."""
        return AnnotationLayout(tree, _FORMATS).classes(masks)[0]
