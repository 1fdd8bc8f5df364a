"""The data folder of an output: copies of images, masks as those of a person, and the classes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.errors import RunError
from semiseg.core.files import write_bytes, write_text
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.classes.classes_file import unpack
from semiseg.data.classes.classes_writer import classes_yaml
from semiseg.data.classes.tool_labels import background_of
from semiseg.data.formats.labelme import IGNORE, LABELME_SUFFIX
from semiseg.data.formats.masks import Classes
from semiseg.data.formats.outlines import label_of, outlines, whole_image, write_outlines
from semiseg.data.formats.raster_windows import split_window
from semiseg.data.formats.window_copy import copy_window


class Folder:
    """The images and masks of a split that are written.

    Args:
        root: the output folder; nothing is written outside of it.
        split: the name of the folder in it that holds `images` and `masks`.
    """

    def __init__(self, root: Path, split: str = "train") -> None:
        self.root = root
        self.images = root / split / "images"
        self.masks = root / split / "masks"

    def copy_image(self, image: Path, stem: str) -> Path:
        """Copy an image; a tile of a raster becomes a GeoTIFF with its place on earth.

        Args:
            image: the file, or the window of a raster.
            stem: the path of the copy below `images`, without a suffix.

        Returns:
            The copy.
        """
        is_tile = split_window(image)[1] is not None
        copy = self.images / f"{stem}{'.tif' if is_tile else image.suffix}"
        self._make(copy.parent)
        if is_tile:
            remove_link(copy)
            copy_window(image, copy)
            return copy
        if not copy.exists() or not copy.samefile(image):
            remove_link(copy)
            shutil.copyfile(image, copy)
        return copy

    def write_image(self, content: bytes, stem: str, suffix: str) -> Path:
        """Write the content of an image file.

        Args:
            content: the encoded image.
            stem: the path of the file below `images`, without a suffix.
            suffix: its suffix, such as `.jpg`.

        Returns:
            The file.
        """
        file = self.images / f"{stem}{suffix}"
        self._make(file.parent)
        remove_link(file)
        write_bytes(file, content)
        return file

    def write_mask(self, mask: NDArray[np.uint8], classes: Classes, image: Path, stem: str) -> Path:
        """Write a mask as a person's masks of these classes are: LabelMe's shapes, ids or colors.

        Where the classes of shapes say nothing about the background, pixels that no shape of a
        class covers are ignored.

        Args:
            mask: `(H, W)` class indices, 255 where ignored.
            classes: the classes.
            image: the copy of its image.
            stem: the path of the mask below `masks`, without a suffix.

        Returns:
            The file: shapes lie beside the image.
        """
        shapes = classes.encoding == "labels"
        path = image.with_suffix(LABELME_SUFFIX) if shapes else self.masks / f"{stem}.png"
        self._make(path.parent)
        remove_link(path)
        if shapes:
            labels = dict(enumerate(_labelme_labels(classes)))
            labels[IGNORE_INDEX] = IGNORE
            size = mask.shape[1], mask.shape[0]
            if 0 in classes.indices:
                parts = outlines(mask, background_of(classes))
            else:  # what lies between the polygons would be the background, which is no class
                parts = [whole_image(IGNORE_INDEX, size), *outlines(mask, IGNORE_INDEX)]
            write_outlines(path, parts, labels, image, size)
        else:
            picture_of(mask, classes).save(path, "PNG")
        return path

    def _make(self, folder: Path) -> None:
        """Create a folder.

        Raises:
            RunError: a link leads out of the output folder.
        """
        if not folder.resolve().is_relative_to(self.root.resolve()):
            raise RunError(
                f"A link leads from {folder} out of {self.root}. Remove the link, or choose "
                "another --out."
            )
        folder.mkdir(parents=True, exist_ok=True)


def picture_of(mask: NDArray[np.uint8], classes: Classes) -> Image.Image:
    """A mask as the image that a person's masks of these classes are."""
    if classes.encoding != "colors":
        return classes.to_image(mask)
    picture = classes.to_rgb(mask)
    if classes.ignored and (mask == IGNORE_INDEX).any():
        where = Image.fromarray((mask == IGNORE_INDEX).astype(np.uint8) * 255)
        picture.paste(unpack(classes.ignored[0]), mask=where)
    return picture


def write_classes(classes: Classes, out: Path) -> None:
    """Write `classes.yaml`, and LabelMe's list of labels."""
    remove_link(out / "classes.yaml")
    text = yaml.safe_dump(classes_yaml(classes), sort_keys=False, allow_unicode=True)
    (out / "classes.yaml").write_text(text, encoding="utf-8")
    if classes.encoding == "labels":
        lines = (IGNORE, *_labelme_labels(classes))
        write_text(out / "labels.txt", "".join(f"{line}\n" for line in lines))


def stem_of(name: str, suffix: str) -> str:
    """The name of an image and its mask, without a suffix.

    If another image differs only in its suffix, the suffix becomes a part of the name.

    Args:
        name: of the image, which has its suffix where another image differs only in it.
        suffix: of the image.

    Example:
        >>> stem_of("a", ".jpg"), stem_of("a.jpg", ".jpg")
        ('a', 'a_jpg')
    """
    if not suffix or not name.endswith(suffix):
        return name
    return f"{name.removesuffix(suffix)}_{suffix[1:]}"


def remove_link(path: Path) -> None:
    """Remove a link with the name of a file, whose target would be overwritten."""
    if path.is_symlink():
        path.unlink()


def _labelme_labels(classes: Classes) -> list[str]:
    """The labels of the classes in LabelMe, by their indices."""
    return [label_of(*pair) for pair in zip(classes.names, classes.codes, strict=True)]
