"""The settings of `suggest` and `correct`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, fields
from pathlib import Path
from typing import Annotated

from semiseg.commands.settings.models import Device
from semiseg.config.axes import check_axes
from semiseg.config.bands import Band, check_bands
from semiseg.config.settings import (
    AUTO,
    Auto,
    Bounds,
    Count,
    PlaceName,
    PositiveInt,
    Settings,
    Value,
    plain,
    unless_auto,
)
from semiseg.config.shard import parse_shard
from semiseg.config.tool_formats import ToolFormat
from semiseg.core.errors import ConfigError


@dataclass(frozen=True)
class SuggestSettings(Device):
    """Choose the images to label next, or first if there is no trained model yet."""

    run: PlaceName
    """The run folder. Without a trained model, leave it out and name the images alone: `semiseg
    suggest IMAGES`. Then semiseg chooses the images to label first."""
    images: PlaceName | None = None
    """An image, a folder, a pattern in quotes, or a text file with one path on each line; or a pool
    of images in tar files, which may lie at an address, such as `s3://bucket/pool`. semiseg skips
    images that have masks, and those of `val` and `test`."""
    more: tuple[PlaceName, ...] = ()
    """Further folders of images, with a run: `semiseg suggest RUN FOLDER1 FOLDER2`. semiseg chooses
    the best images over all folders, and names them by their folder."""
    _: KW_ONLY
    out: Path | Auto = AUTO
    """The folder to write. `auto` means `next`, or `first` without a run. It gets the list
    (`suggested.txt`), the list with the reasons (`suggested.csv`), a picture of the images, and a
    data folder with copies of the images and the masks of the model. If the masks of the run are
    LabelMe files, these masks are LabelMe files, too. Without a run, there are no masks: you draw
    them."""
    n: PositiveInt = 20
    """The number of images to choose."""
    data: Path | None = None
    """The data folder of the run, if you moved it after the training. Without a run, a data folder
    whose labeled images the new ones shall complement; by default, it is the folder of the
    images."""
    encoder: str = AUTO
    """The encoder that compares the images, for a choice without a run. With `auto`, it is the one
    that `train` would choose."""
    weights: str = AUTO
    """The encoder's pretrained weights, as for `train`, for a choice without a run."""
    bands: tuple[Band, ...] | None = None
    """The bands of a TIFF or JPEG 2000 file, as for `train`, for a choice without a run."""
    rgb: tuple[Band, ...] | None = None
    """The bands that the picture of the choice shows as red, green and blue, as for `train`."""
    axes: str | None = None
    """The axes of stacks, as for `train`, for a choice without a run."""
    file_format: ToolFormat | Auto = AUTO
    """The labeling tool in which you correct the masks. `auto` writes masks as those of the run:
    PNG files, or LabelMe files. `labelme` writes polygons, `coco` and `cvat` write one file with
    run-length codes, `label-studio` writes tasks with predictions. A choice without a run has no
    masks, and so no format."""
    min_area: Count | Auto = AUTO
    """The smallest region of a proposed mask in pixels, for LabelMe and the other labeling tools.
    Smaller ones, which are hardly objects, become what surrounds them; 0 keeps them all. `auto` is
    the area of 4 x 4 pixels of the image as the model sees it: what is smaller, it cannot see. PNG
    masks keep all regions."""
    shard: str | None = None
    """Compute only the features of a part of a pool's images, such as `3/64`: the third of 64 equal
    parts, which as many processes or machines compute side by side into one folder `--out`. Nothing
    is chosen before `--merge`."""
    merge: bool = False
    """Compute no features: check that all shards in `--out` are finished, and choose the images.
    Repeat RUN and IMAGES of the shards."""
    overwrite: bool = False
    """Replace the masks of an earlier call, even if you corrected them. The features of a pool stay
    as they are."""

    def check(self) -> None:
        """The bands can be meant, and settings of a choice without a run stand alone."""
        check_bands(self.bands, self.rgb)
        check_axes(self.axes)
        if self.shard is not None:
            parse_shard(self.shard)
            if self.merge:
                raise ConfigError(
                    f"--shard {self.shard} computes a part of the features, and --merge chooses "
                    "when all parts are there. Leave one of the two out."
                )
        if self.images is None:
            if self.file_format != AUTO:
                raise ConfigError(
                    f"--format {self.file_format} is for the masks of a model, and a choice "
                    "without a run has none. Leave --format out, or name the run before the images."
                )
            if self.min_area != AUTO:
                raise ConfigError(
                    "--min-area is for the masks of a model, and a choice without a run has none. "
                    "Leave it out, or name the run before the images."
                )
            return
        for name in ("encoder", "weights", "bands", "rgb", "axes"):
            if getattr(self, name) not in (AUTO, None):
                raise ConfigError(
                    f"--{name} is for a choice without a run, but {self.run} is named as the run. "
                    f"Leave --{name} out, or name the images alone."
                )

    @property
    def folder(self) -> Path:
        """The folder to write."""
        return unless_auto(self.out, Path("first" if self.images is None else "next"))

    @property
    def decisive(self) -> dict[str, Value]:
        """The settings that decide about the features of a pool, if they are no defaults."""
        names = ("encoder", "weights", "bands", "rgb", "axes")
        defaults = {one.name: one.default for one in fields(self)}
        return {
            name: plain(value) for name in names if (value := getattr(self, name)) != defaults[name]
        }


@dataclass(frozen=True)
class CorrectSettings(Settings):
    """Correct the masks that a model proposes, in a browser on this machine."""

    run: Path
    """The run folder of the model, which shows where it doubts."""
    images: Path | None = None
    """The images to choose from, as for `suggest`. Leave it out to go on with the masks in
    `--out`."""
    _: KW_ONLY
    out: Path = Path("next")
    """The folder of the images and masks. If it holds none yet, `suggest` chooses the images and
    writes the masks of the model there."""
    n: PositiveInt = 20
    """The number of images to choose, if the folder holds none yet."""
    data: Path | None = None
    """The data folder of the run, if you moved it after the training."""
    port: Annotated[int, Bounds(0, 65_535)] = 0
    """The port of the server on this machine. 0 takes a free one."""
    assistant: str | None = None
    """The ONNX files of an outside model that turns clicks into a selection, such as SAM: a folder
    with its encoder and its decoder, or `ENCODER.onnx,DECODER.onnx`. It takes the place of what is
    alike."""
    browser: bool = True
    """Open the page in your browser. With `--no-browser`, semiseg only prints its address."""
    accelerator: str = AUTO
    """The device: `auto`, `cpu`, `gpu` or `mps`."""
