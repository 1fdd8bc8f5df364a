"""The layout in which polygons of vector files say what rasters show."""

from __future__ import annotations

import re
from functools import cached_property
from itertools import islice
from pathlib import Path

from semiseg.core.errors import DataError
from semiseg.core.types import Sample
from semiseg.data.formats.grid import read_place
from semiseg.data.formats.raster_windows import RASTER_SUFFIXES
from semiseg.data.formats.vectors import VECTOR_SUFFIXES
from semiseg.data.layouts.annotation_layout import common_folder, has_masks
from semiseg.data.layouts.annotation_source import list_files
from semiseg.data.layouts.image_index import folder_split, split_word
from semiseg.data.layouts.layout import Layout, Listing
from semiseg.data.pairing.pairs import duplicates, index
from semiseg.data.tree import SPLITS, Tree

_SAMPLED = 5  # rasters of which one must have a place on earth
_WORDS = ("mask", "masks", "label", "labels", "annotation", "annotations", "classes", "polygons")
_ENDING = re.compile(rf"[ ._-]+({'|'.join(_WORDS)})$", re.IGNORECASE)


class VectorLayout(Layout):
    """Polygons give the classes of rasters: one file for each raster, or one file for all of them.

    ```
    DATA/
      images/field1.tif     a GeoTIFF with coordinates; also in train/ and val/
      images/field2.tif
      labels.gpkg           for all rasters; or masks/field1.gpkg, or field1.geojson beside it
    ```

    A file with the name of a raster, such as `field1` or `field1_labels`, belongs to this raster.
    One other file belongs to all rasters without a file of their own. Rasters without polygons are
    unlabeled.
    """

    name = "vectors"
    title = "Polygons of vector files, laid over rasters"

    @classmethod
    def recognizes(cls, tree: Tree) -> bool:
        """By vector files, if a raster has a place on earth and there are no masks."""
        if not list_files(tree, *VECTOR_SUFFIXES):
            return False
        rasters = islice(list_files(tree, *RASTER_SUFFIXES), _SAMPLED)
        headers = [header for path in rasters if (header := read_place(path)) is not None]
        return any(header.has_place for header in headers) and not has_masks(tree)

    def read(self, split: str) -> Listing:
        """The images of the split, each with the file of its polygons as its mask.

        Raises:
            DataError: several files may hold the polygons of an image.
        """
        named = ("train", "") if split == "train" else (split,)
        families = [f for f in self.families if f.content != "masks" and f.split in named]
        images = sorted({path for family in families for path in family.images})
        home = common_folder(images, self.tree.root)
        by_name, repeated = index(images, home)
        samples = [Sample(name, path, self._file_of(path, split)) for name, path in by_name.items()]
        findings = duplicates(self.tree.root, repeated)
        remedy = (
            f"{', '.join(map(self._name, self._vectors[:3]))}: give the file of the polygons the "
            "name of its raster."
        )
        return Listing(samples, findings, remedy, self._vectors if split == "train" else ())

    @cached_property
    def _vectors(self) -> list[Path]:
        return list_files(self.tree, *VECTOR_SUFFIXES)

    @cached_property
    def _stems(self) -> set[str]:
        """The names of all rasters, in small letters."""
        return {path.stem.lower() for path in list_files(self.tree, *RASTER_SUFFIXES)}

    def _file_of(self, image: Path, split: str) -> Path | None:
        """The file of the polygons of an image; None without one.

        Raises:
            DataError: several may be meant.
        """
        if image.suffix.lower() not in RASTER_SUFFIXES:
            return None
        own = [path for path in self._vectors if _names(path) & {image.stem.lower()}]
        beside = [path for path in own if path.parent == image.parent]
        near = beside or [path for path in own if self._split_of(path) in (split, "")]
        files = near or [path for path in self._shared if self._split_of(path) == split]
        files = files or [path for path in self._shared if not self._split_of(path)]
        if len(files) > 1:
            files = [path for path in files if path.stem.lower() in _WORDS] or files
        if len(files) > 1:
            raise DataError(
                f"{' and '.join(map(self._name, files[:2]))} may both hold the polygons of "
                f"{self._name(image)}.",
                "Keep one of them, or give each the name of its raster.",
            )
        return files[0] if files else None

    @cached_property
    def _shared(self) -> list[Path]:
        """The files that are not named after a raster."""
        return [path for path in self._vectors if not _names(path) & self._stems]

    def _split_of(self, file: Path) -> str:
        word = split_word(file.stem) or folder_split(file, self.tree.root)
        return word if word in SPLITS else ""

    def _name(self, path: Path) -> str:
        return path.relative_to(self.tree.root).as_posix()


def _names(vector: Path) -> set[str]:
    """The names of the raster that a file may belong to, in small letters."""
    stem = vector.stem.lower()
    return {stem, _ENDING.sub("", stem)}
