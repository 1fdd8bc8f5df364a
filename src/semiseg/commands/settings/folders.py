"""The settings of the commands that look at data folders and divide them."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from semiseg.config.data import ArrangedData, ReadData
from semiseg.config.settings import AUTO, Count, Settings


@dataclass(frozen=True)
class CheckSettings(ReadData):
    """Find what would spoil a training: broken files, wrong masks, leaks, missing classes."""

    data: Path
    """The data folder."""
    _: KW_ONLY
    dataset: str = AUTO
    """The published data set in its official tree, such as `voc`, or `folder` for your own data.
    With `auto`, semiseg recognizes the tree."""
    classes: Path | None = None
    """A YAML file that names the classes. It replaces `classes.yaml` in the data folder."""
    picture: Path | None = None
    """An image file to write. It shows up to 12 labeled images with their masks over them."""
    labels: str | None = None
    """The masks that a training would use, as for `train`: a number, a share (`0.1`, `10%`, `1/8`),
    `all`, or a file with one image name on each line. semiseg then also checks these images, and
    names the classes that none of them holds."""
    split_seed: Count = 0
    """The seed for choosing these images, as for `train`."""
    reserved: Path | None = None
    """A list of images that take no part in a training, as for `train`."""


@dataclass(frozen=True)
class InitSettings(ReadData):
    """Write `dataset.yaml` and `classes.yaml` with what semiseg finds in a data folder."""

    data: Path
    """The data folder."""
    _: KW_ONLY
    dataset: str = AUTO
    """The published data set in its official tree, as for `check`."""
    classes: Path | None = None
    """A file that names the classes, as for `check`."""
    overwrite: bool = False
    """Replace files that exist."""


@dataclass(frozen=True)
class SplitSettings(ArrangedData):
    """Choose the labeled images of a data folder, and write the lists of their names."""

    data: Path
    """The data folder."""
    _: KW_ONLY
    labels: str = "all"
    """The masks to use: a number, a share (`0.1`, `10%`, `1/8`), `all`, or a file with one image
    name on each line."""
    out: Path
    """The folder to write: `labeled.txt`, `unlabeled.txt` and `val.txt`, with one name on each
    line. `train --labels OUT/labeled.txt` uses the same images."""
    test: str | None = None
    """The labeled images to reserve for a test: a number or a share. semiseg writes them to
    `test.txt`; `reserved.txt` also holds the images without masks that resemble or belong to them.
    None of them is in the list of `--labels`, if you give one.
    `train --reserved OUT/reserved.txt` uses none of these."""
    reserved: Path | None = None
    """A list of images that take no part in a training, as for `train`."""
    seed: Count = 0
    """The seed of the choice. `train --split-seed` with the same seed makes the same choice."""
    dataset: str = AUTO
    """The published data set in its official tree, as for `train`."""
    classes: Path | None = None
    """A YAML file that names the classes, as for `train`."""


@dataclass(frozen=True)
class ConvertSettings(Settings):
    """Write the annotations of a data folder as masks, which can join those of a run."""

    data: Path
    """The data folder, with annotations of any kind that semiseg reads: COCO, CVAT, Label Studio,
    LabelMe, and so on."""
    _: KW_ONLY
    out: Path
    """The folder to write. It gets copies of the labeled images and their masks in `train/images`
    and `train/masks` (also `val` and `test`), and `classes.yaml`."""
    like: Path | None = None
    """A run folder. The masks then have the ids or the colors of its classes, or are LabelMe files,
    and semiseg shows how to add them to its data. The names of the classes must be the same.
    Without a run, the masks hold ids."""
    overwrite: bool = False
    """Replace the files of an earlier call."""


@dataclass(frozen=True)
class DownloadSettings(Settings):
    """Download a published data set that needs no registration."""

    name: str
    """The data set, such as `voc`."""
    _: KW_ONLY
    out: Path
    """The folder to unpack the data set in."""
