"""The settings of the commands: each field is a parameter in Python and a flag on the command line.

`train`, `plan` and `dry_run` take a `TrainConfig` instead, and `compare` passes the settings of its
runs on. This module must not import torch, since the help texts come from here.
"""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from semiseg.config.axes import check_axes
from semiseg.config.bands import (
    Band,
    ValueRange,
    check_bands,
    check_range,
    named_bands,
    reading_of,
)
from semiseg.config.methods import (
    DEFAULT_METHOD,
    FALLBACK_METHOD,
    METHODS,
    ONLINE_METHOD,
)
from semiseg.config.scale import Scale
from semiseg.config.settings import (
    AUTO,
    Auto,
    Bounds,
    Choices,
    Count,
    PlaceName,
    Positive,
    PositiveInt,
    Settings,
    Share,
    Value,
    plain,
    unless_auto,
)
from semiseg.config.shard import parse_shard
from semiseg.config.tool_formats import ToolFormat
from semiseg.config.train import ArrangedData, ReadData, parse_duration
from semiseg.core.addresses import is_url
from semiseg.core.errors import ConfigError, SettingError
from semiseg.core.reading import Reading
from semiseg.core.types import NamedBands
from semiseg.inference.formats import FORMATS

VECTOR_SUFFIXES = (".gpkg", ".geojson")
"""The suffixes of files of polygons that `predict` writes."""

_DECISIVE = (
    *("colors", "overlay", "probabilities", "confidence", "reliability", "abstain"),
    *("scale", "value_range", "bands", "rgb", "axes", "tta"),
)
"""The settings of `predict` that decide about the bytes of its files."""

_UNITS = {"k": 10**3, "m": 10**6, "g": 10**9}
_MIN_SHARD, _MAX_SHARD = 10**4, 10**10

Split: TypeAlias = Literal["train", "val", "test"]
FileFormat: TypeAlias = Annotated[str, Choices(tuple(FORMATS))]


@dataclass(frozen=True, kw_only=True)
class Device(Settings):
    """Where a model runs."""

    accelerator: str = AUTO
    """The device: `auto`, `cpu`, `gpu` or `mps`."""
    threads: PositiveInt | Auto = AUTO
    """CPU threads of the network, as for `train`. With `auto`, PyTorch's own number: that of the
    cores. Give the cores of a job that shares its machine with others."""


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
class EvaluateSettings(Device, ArrangedData):
    """Score a trained model on all masks of one split, at the size of the images."""

    run: Path
    """The run folder, a model that was exported as `.onnx`, or a model on the Hugging Face hub,
    such as `hf-hub:OWNER/NAME`."""
    data: Path
    """The data folder."""
    _: KW_ONLY
    split: Split = "val"
    """The split to score. Where the data have no `val`, semiseg scores the images that the
    training held out."""
    listed: Path | None = None
    """A text file that names the images to score, in place of a split: one on each line, such as
    `RUN/split/val.txt`. It lets you score an exported model on the images that its training held
    out."""
    dataset: str = AUTO
    """The published data set in its official tree, as for `train`."""
    scale: Scale = AUTO
    """The scale of the images, as for `predict`."""


@dataclass(frozen=True)
class PredictSettings(Device):
    """Segment images: a file, a folder, a pattern or a list."""

    run: Path
    """The run folder, a model that was exported as `.onnx`, or a model on the Hugging Face hub,
    such as `hf-hub:OWNER/NAME`."""
    images: PlaceName
    """An image, a folder (semiseg searches its subfolders, too), a pattern in quotes, or a text
    file with one path on each line, or one name of an image of the run, such as
    `RUN/split/unlabeled.txt`; or a pool of images in tar files, as for `train`. Images, folders of
    images and pools may lie at addresses, such as `s3://bucket/pool`."""
    _: KW_ONLY
    out: PlaceName
    """The folder for the masks, or an address in an object store, such as `s3://bucket/masks`. It
    gets one PNG file for each image, with its name and its size; for a GeoTIFF, a GeoTIFF at the
    same place. The values are the ids of the training masks. If those
    masks hold colors, the values are class indices, and the colors are the palette."""
    colors: bool = False
    """Also write `colors/NAME.png`: the mask in RGB."""
    overlay: bool = False
    """Also write `overlays/NAME.jpg`: the image with the contours of the classes in their colors,
    and a light tint inside."""
    probabilities: bool = False
    """Also write `probabilities/NAME.npz`: the probabilities of all classes in half precision."""
    confidence: bool = False
    """Also write `confidence/NAME.png`: the confidence, where 255 means 1."""
    reliability: bool = False
    """Also write `reliability/NAME.png`. Red is the confidence, green is the similarity to the
    nearest prototype, and blue shows where both agree. The model must have prototypes."""
    abstain: Share | None = None
    """Write 255 where the confidence is lower than this value, or where the nearest prototype
    belongs to another class."""
    polygons: Path | None = None
    """Also write the polygons of all GeoTIFFs into this file: `.gpkg` or `.geojson`. Each has the
    attributes `source`, `class`, `class_id` and `area`."""
    min_area: Positive | None = None
    """The smallest area that counts. Smaller objects are not counted in the table (`--table`,
    `--shard`), and smaller polygons (`--polygons`) join those around them. The unit is that of the
    map, such as square meters; for photographs, it is pixels."""
    scale: Scale = AUTO
    """How large the model sees an image. `fit` scales its short side to the size of the training:
    for photographs of the same scene, with any number of pixels. `keep` gives it the scale that the
    training images had: for a mosaic of the same ground resolution, which semiseg segments in
    windows. A number is a factor on the image's pixels. `auto` is `keep` where GeoTIFFs give the
    ground resolution of the image and of the training images, and else `fit`."""
    value_range: ValueRange = AUTO
    """The values that become black and white in images of more than 8 bits, such as
    `--range=0,4095`; in images of several bands, two for all or two for each band. With `auto`,
    semiseg uses the ranges of the training."""
    bands: tuple[Band, ...] | None = None
    """The bands of a TIFF or JPEG 2000 file, counted from 1 or by their names, in the order of
    those of the training. It is for files whose bands lie otherwise than in those of the training;
    without it, semiseg reads the same ones."""
    rgb: tuple[Band, ...] | None = None
    """The three bands that an overlay shows as red, green and blue, such as `3,2,1`. Without it,
    semiseg shows those of the training."""
    axes: str | None = None
    """The axes of stacks, as for `train`. Without it, they are as in the training."""
    tta: bool = False
    """Average over three scales and both mirror images. This takes six times as long."""
    overwrite: bool = False
    """Replace existing files. Without it, semiseg keeps them and skips images that have all their
    files."""
    table: bool = False
    """Also write `predictions.csv`: for each image, what became of it, the mean confidence, how
    unlike the images of the training it is (1 is as far as the most unusual 1 % of them), and of
    each class the share of the pixels, the number of objects and the area. An object is an area of
    connected pixels. `ledger/` in the folder of the masks keeps the rows, so that a killed call
    goes on."""
    shard: str | None = None
    """Segment only a part of the images, such as `3/64`: the third of 64 shards, which as many
    processes or machines segment side by side into one folder. The hash of its name decides where
    an image belongs. `ledger/` notes what became of each image."""
    merge: bool = False
    """Segment nothing: check that all shards in `--out` are finished, and write
    `predictions.csv`, as with `--table`. Repeat RUN and IMAGES of the shards."""
    engine: Literal["local", "ray"] = "local"
    """What does the work. `local` is this process. `ray` is Ray Data, which uses all cores or GPUs
    of this machine, or of the cluster that the environment variable `RAY_ADDRESS` names. The masks
    are the same."""

    def check(self) -> None:
        """The bands can be meant, and the first value of each range is the smaller one."""
        check_bands(self.bands, self.rgb)
        check_range(self.value_range, self.bands)
        check_axes(self.axes)
        if self.polygons is not None and self.polygons.suffix.lower() not in VECTOR_SUFFIXES:
            allowed = f"a file that ends in {' or '.join(VECTOR_SUFFIXES)}"
            raise SettingError("polygons", self.polygons, allowed=allowed, flag="--polygons")
        counts = self.table or self.merge or self.shard is not None
        if self.min_area is not None and self.polygons is None and not counts:
            raise ConfigError(
                "--min-area is for the polygons of GeoTIFFs and for counting objects. Leave it "
                "out, or add --polygons FILE.gpkg or --table."
            )
        if self.shard is not None:
            parse_shard(self.shard)
            for name in ("merge", "table", "polygons"):
                if getattr(self, name) not in (False, None):
                    raise ConfigError(
                        f"--{name} needs all images, and --shard {self.shard} segments a part of "
                        "them. Leave one of the two out; --merge writes the table when all shards "
                        "are finished."
                    )

        if is_url(self.out):
            for name in ("merge", "table", "shard", "polygons"):
                if getattr(self, name) not in (False, None):
                    raise ConfigError(
                        f"--{name} writes a file that grows, which an object store cannot hold. "
                        "Name a folder as --out, or leave it out."
                    )
        if self.shard is not None and self.engine == "ray":
            raise ConfigError(
                f"--shard {self.shard} and --engine ray both divide the images among processes. "
                "Leave one of the two out."
            )

    @property
    def decisive(self) -> dict[str, Value]:
        """The settings that decide about the files, where they differ from their defaults."""
        return {
            one.name: plain(value)
            for one in fields(self)
            if one.name in _DECISIVE and (value := getattr(self, one.name)) != one.default
        }

    @property
    def reading(self) -> Reading:
        """What the user says of the way in which images are read, without names of bands."""
        return reading_of(self.value_range, self.bands, self.rgb, AUTO, self.axes)

    @property
    def named_bands(self) -> NamedBands:
        """The bands that have names."""
        return named_bands(self.bands, self.rgb)


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


@dataclass(frozen=True)
class CompareSettings(Settings):
    """Train several methods with several numbers of labels and seeds, and compare them."""

    data: Path
    """The data folder, as for `train`."""


@dataclass(frozen=True)
class ExportSettings(Settings):
    """Write a trained model for other programs, and compare it with the original."""

    run: Path
    """The run folder."""
    _: KW_ONLY
    out: Path
    """The file to write, or a folder for `model.onnx`. With `hub`, the folder to write."""
    file_format: FileFormat = field(
        default="onnx",
        metadata={"help": "; ".join(f"`{n}` {f.purpose}" for n, f in FORMATS.items()) + "."},
    )
    ground_resolution: Positive | None = None
    """The length on the ground of a pixel's side in the training images, in meters. `qgis` needs
    it. By default, it is that of the training images, if they are GeoTIFFs."""
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    """The numbers that an ONNX model computes with. `int8` makes the file up to four times smaller,
    and is faster on many CPUs. `fp16` halves the file, and is for GPUs. `export` measures the loss
    of mIoU and the speed on the validation images, and prints them."""
    data: Path | None = None
    """The data folder, if you moved it after the training. `--precision` needs its images."""
    license: str | None = None
    """The license that you give the model, as the hub abbreviates it, such as `apache-2.0` or
    `cc-by-4.0`. `hub` writes it on the model card; without it, the card says `unknown`."""
    overwrite: bool = False
    """Replace files that exist."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.precision != "fp32" and self.file_format != "onnx":
            raise ConfigError(
                f"--precision {self.precision} is for --format onnx; --format {self.file_format} "
                "writes full precision. Leave one of the two out."
            )


@dataclass(frozen=True)
class ReportSettings(Settings):
    """Write a run or a comparison as one HTML file that opens in any browser."""

    run: Path
    """The run folder, or the folder of a comparison."""
    _: KW_ONLY
    out: Path | None = None
    """The file to write. By default, it is `report.html` in the folder."""
    data: Path | None = None
    """The data folder, if you moved it after the training."""
    accelerator: str = AUTO
    """The device that segments some validation images again: `auto`, `cpu`, `gpu` or `mps`."""


@dataclass(frozen=True)
class OpenSettings(Settings):
    """Open the report of a run or a comparison in the browser, also while a run trains."""

    run: Path
    """The run folder, or the folder of a comparison."""


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


@dataclass(frozen=True)
class PackSettings(Settings):
    """Pack images into a pool: tar files for trainings from millions of unlabeled images."""

    images: Path
    """A folder (semiseg searches its subfolders, too), a pattern in quotes, or a text file with one
    path on each line."""
    _: KW_ONLY
    out: Path
    """The folder to write: tar files that WebDataset reads, too, with an index and a manifest. If
    it holds a pool that was interrupted, semiseg continues with it."""
    shard_size: str = "128MB"
    """The size of a tar file, such as `64MB` or `256MB`. An object store is fast with files of 64
    to 256 MB."""

    def check(self) -> None:
        """The size can be meant."""
        _ = self.shard_bytes

    @property
    def shard_bytes(self) -> int:
        """The size of a tar file in bytes."""
        text = self.shard_size.strip().lower()
        match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*([kmg])b?", text)
        size = round(float(match[1]) * _UNITS[match[2]]) if match else 0
        if not _MIN_SHARD <= size <= _MAX_SHARD:
            allowed = "a size from 10kB to 10GB, such as 128MB"
            raise SettingError("shard_size", self.shard_size, allowed=allowed, flag="--shard-size")
        return size


@dataclass(frozen=True)
class FramesSettings(Settings):
    """Write frames of videos, without near-duplicates, and the slices of stacks as images."""

    videos: Path
    """A video, or a stack (a TIFF of several pages, NIfTI, DICOM); a folder of them (semiseg
    searches its subfolders, too), or a pattern in quotes. All slices of a stack are written, as
    PNG files with the same values, or as TIFF files where PNG cannot hold them."""
    _: KW_ONLY
    out: Path
    """The folder to write, such as `DATA/unlabeled`. It gets `VIDEO_000012.jpg`, where the number
    counts the frames of the video from 0 on."""
    every: str = "1s"
    """The distance from one frame to the next: a time such as `0.5s`, `10s` or `2m`, or a number of
    frames such as `10`."""
    file_format: Literal["jpg", "png"] = "jpg"
    """The format of the images: `jpg` (quality 95), or `png` (without any loss)."""
    axes: str | None = None
    """The axes of stacks, such as `CYX`, `ZCYX` or `TZCYX`: C numbers the bands of an image, Z
    depths, T times, and Y and X are the rows and columns. Those of NIfTI begin with `XYZ`, such as
    `XYZC`. By default, the file says what its axes are."""
    similar: bool = False
    """Also write frames that are nearly the same as the one before. Without it, semiseg leaves them
    out."""
    overwrite: bool = False
    """Replace existing files. Without it, semiseg keeps them and writes those that are missing."""

    def check(self) -> None:
        """The distance is a time or a number of frames, and the axes can be meant."""
        _ = self.spacing
        check_axes(self.axes)

    @property
    def spacing(self) -> tuple[float | None, int | None]:
        """The seconds, or the number of frames, from one frame to the next."""
        text = self.every.strip()
        if text.isdecimal() and int(text) > 0:
            return None, int(text)
        try:
            return parse_duration(text, "every"), None
        except SettingError:
            allowed = "a time such as 0.5s, 10s or 2m, or a number of frames such as 10"
            raise SettingError("every", text, allowed=allowed, flag="--every") from None


@dataclass(frozen=True)
class DoctorSettings(Settings):
    """Show versions, devices, image formats, caches and optional parts, and what is missing."""


@dataclass(frozen=True)
class DemoSettings(Settings):
    """Draw scenes, train `supervised` and `css` on them, and compare the two models."""

    _: KW_ONLY
    out: Path = Path("demo")
    """The folder to write: `data/`, `runs/` and `demo.png`."""
    steps: PositiveInt = 200
    """Optimizer steps of each training."""
    seed: Count = 0
    """The seed of the scenes and of the trainings."""


@dataclass(frozen=True)
class TrainData(Settings):
    """The data folder of a training, which `--config` may name instead."""

    data: Path | None = None
    """The data folder, with `train/images`, `train/masks`, `val/` and `unlabeled/`."""


@dataclass(frozen=True, kw_only=True)
class MethodChoice(Settings):
    """How a training learns."""

    method: str = field(
        default=AUTO,
        metadata={
            "help": f"The method: {', '.join(f'`{name}`' for name in METHODS)}. With `auto`, it is "
            f"`{DEFAULT_METHOD}`; `{ONLINE_METHOD}` for a pool; or `{FALLBACK_METHOD}` where "
            "unlabeled images are too few or too different to help. "
            "`--method NAME --help` lists its settings."
        },
    )


@dataclass(frozen=True, kw_only=True)
class Output(Settings):
    """What a command prints."""

    quiet: bool = False
    """Print warnings, errors and the result only."""


@dataclass(frozen=True, kw_only=True)
class JsonOutput(Output):
    """What a command prints that has a JSON form."""

    json: bool = False
    """Print the result as JSON."""


@dataclass(frozen=True, kw_only=True)
class Sources(Output):
    """Where the settings of a training come from. A flag wins over a file, a file over a recipe."""

    config: Path | None = None
    """A YAML file with settings, such as the `config.yaml` of a run."""
    recipe: str | None = None
    """A named set of settings that repeats an experiment. Those of the CSS paper are for GPUs:
    `voc-classic`, `voc-blender`, `cityscapes`, `ade20k`, `cocostuff10k`. Our own are for a CPU:
    `camvid-cpu`, `peanut-cpu`. Other flags win over the recipe."""
    print_config: bool = False
    """Print all settings as YAML for `--config`, and stop."""


@dataclass(frozen=True, kw_only=True)
class CompareOptions(Output):
    """What `compare` does besides a comparison."""

    dry_run: bool = False
    """Show the runs with their steps and their expected time, and stop. semiseg measures a few
    steps of each method first, and remembers their speed for an hour. Nothing is trained."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Sources):
    """What `train` does with a run folder that exists."""

    dry_run: bool = False
    """Build everything, take one small step and estimate the time and memory. Nothing is written.
    """
    overwrite: bool = False
    """Replace an existing run folder."""
    resume: bool = False
    """Continue a training that was stopped, from its newest checkpoint and with its settings. On a
    CPU the result equals that of an uninterrupted training, bit by bit. Without a checkpoint, the
    training starts from the beginning."""
