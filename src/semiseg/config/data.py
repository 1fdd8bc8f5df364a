"""The settings of a data folder: where its images and masks lie, and how they are read."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from semiseg.config.bands import BandSettings, names_of
from semiseg.config.label_list import label_list
from semiseg.config.settings import AUTO, Auto, Count, Settings, flag
from semiseg.core.addresses import is_url
from semiseg.core.errors import SettingError
from semiseg.core.files import is_file, relative_folder
from semiseg.core.types import Arrangement

Exif: TypeAlias = Literal["auto", "apply", "ignore"]

Outside: TypeAlias = Literal["auto", "background", "ignore"]


@dataclass(frozen=True, kw_only=True)
class ArrangedData(Settings):
    """Where the images and masks of a data folder lie, where a person says so."""

    images: Path | None = None
    """The folder of the images, where semiseg does not recognize it: relative to the data folder,
    or any path. It may hold the folders `train`, `val` and `test`. Needs --masks."""
    masks: Path | None = None
    """The folder of the masks, relative to the data folder, or any path. Name the folder of
    --images again if masks lie beside their images. Needs --images."""
    unlabeled: str | None = None
    """Further images without masks, instead of `unlabeled` in the data folder: a folder, or a pool
    of tar files in a folder or at an address such as `s3://bucket/pool`."""
    group: str | None = None
    """A regular expression that finds the patient, plot, drive or video in the name of an image,
    such as `^(.*?)_`. semiseg keeps the images of one group in one split."""

    exif: Exif = AUTO
    """How masks fit photographs that their EXIF data turn. With `apply`, the masks show the turned
    photographs. With `ignore`, they show the stored pixels, and semiseg turns the masks too. With
    `auto`, semiseg finds it out from the sizes and the areas of the masks."""

    tile: Count | Auto = AUTO
    """The side in pixels of the tiles in which semiseg reads large rasters; 0 reads each raster as
    one image. `auto` means 512 for maps of at least 1536 pixels along their short side, and no
    tiles for other images."""
    class_attribute: str | None = None
    """The attribute of polygons (GeoPackage, GeoJSON) that holds their classes, where semiseg does
    not recognize it."""
    outside: Outside = AUTO
    """The meaning of pixels that no polygon of a vector file covers: `background`, or `ignore`.
    `auto` means `background`, or `ignore` if polygons are drawn around the background."""

    @property
    def arrangement(self) -> Arrangement:
        """These settings as the reader takes them."""
        return Arrangement(
            self.images,
            self.masks,
            self.unlabeled,
            self.group,
            None if self.exif == "auto" else self.exif,
            None if self.tile == "auto" else self.tile,
            self.class_attribute,
            None if self.outside == "auto" else self.outside,
        )

    def check(self) -> None:
        """Refer to folders from the data folder, so that a run can be read from anywhere."""
        root = getattr(self, "data", None)
        if root is not None:
            for name in ("images", "masks"):
                folder = getattr(self, name)
                if folder is not None:
                    object.__setattr__(self, name, relative_folder(folder, root))
            if self.unlabeled is not None and not is_url(self.unlabeled):
                object.__setattr__(self, "unlabeled", _relative_place(self.unlabeled, root))
        if self.group is not None:
            check_group(self.group)


def _relative_place(place: str, root: Path) -> str:
    """How a folder, a tar, a pattern of tars or a list of them is written down.

    As `relative_folder`: what does not lie in the data folder is relative to the working folder.
    """
    path = Path(place)
    suffix = path.suffix.lower()
    if suffix not in (".tar", ".txt"):
        return str(relative_folder(path, root))
    # A pattern of tars is no file itself.
    files = path.name if is_file(root / path) or suffix == ".txt" else "*.tar"
    if not path.is_absolute() and not any((root / path.parent).glob(files)):
        path = Path(os.path.normpath(path.absolute()))
    return str(path)


def check_group(pattern: str) -> None:
    """Refuse what is no regular expression.

    Raises:
        SettingError: the pattern cannot be compiled.
    """
    try:
        re.compile(pattern)
    except re.error as error:
        raise SettingError(
            "group",
            pattern,
            allowed=f"a regular expression such as ^(.*?)_ ({error})",
            flag=flag("group"),
        ) from error


@dataclass(frozen=True, kw_only=True)
class ReadData(BandSettings, ArrangedData):
    """Where the files of a data folder lie, and how the images among them are read."""

    @property
    def arrangement(self) -> Arrangement:
        """Where the files lie, and the bands that have names."""
        flags = super().arrangement
        return flags._replace(bands=names_of(self.bands), rgb=names_of(self.rgb))


@dataclass(frozen=True, kw_only=True)
class DataConfig(ReadData):
    """Which images and masks are used."""

    data: Path
    """The data folder, as `semiseg check` reads it: images with masks or annotations beside them or
    in folders of their own."""
    dataset: str = AUTO
    """The published data set in its official tree, such as `voc-blender` or `cityscapes`; `folder`
    for your own data. With `auto`, semiseg recognizes the tree."""
    labels: str = "all"
    """The masks to use; the others are hidden. `all`, a number, a share (`0.1`, `10%`, `1/8`), or a
    file with one image name on each line. A mask behind the image on its line is the mask that is
    used, as in the lists of UniMatch."""
    split_seed: Count = 0
    """The seed for choosing labeled images and for holding out validation images."""
    classes: Path | None = None
    """A YAML file that names the classes. It replaces `classes.yaml` in the data folder."""
    corrected: tuple[Path, ...] = ()
    """Folders of corrected masks, which `semiseg suggest`, `correct` and `convert` write; several
    have commas between them. Their images and masks are added to those of the data folder, which
    stays as it is. Of masks that you saw in the browser, only the accepted ones are added. They
    never become validation images, and `--labels` does not count them."""
    reserved: Path | None = None
    """A list of images that take no part in the training, with masks or without: one name on each
    line, such as `reserved.txt` of `semiseg split --test`. Those with masks are images of `test`,
    which `semiseg evaluate RUN DATA --split test` scores."""

    @property
    def arrangement(self) -> Arrangement:
        """Where the files lie, with the corrected ones, and what lists say."""
        return super().arrangement._replace(
            corrected=self.corrected, label_list=label_list(self.labels), reserved=self.reserved
        )

    def check(self) -> None:
        """Name the corrected folders and the list so that a run can be read from anywhere."""
        super().check()
        if self.reserved is not None:
            reserved = Path(os.path.normpath(self.reserved.absolute()))
            object.__setattr__(self, "reserved", reserved)
        folders = (Path(os.path.normpath(folder.absolute())) for folder in self.corrected)
        object.__setattr__(self, "corrected", tuple(dict.fromkeys(folders)))
