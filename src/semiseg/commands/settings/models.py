"""The settings of `predict`, and of all commands that run a model."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, fields
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from semiseg.config.axes import check_axes
from semiseg.config.bands import Band, ValueRange, check_bands, check_range, named_bands, reading_of
from semiseg.config.scale import Scale
from semiseg.config.settings import (
    AUTO,
    Auto,
    Choices,
    PlaceName,
    Positive,
    PositiveInt,
    Settings,
    Share,
    Value,
    plain,
)
from semiseg.config.shard import parse_shard
from semiseg.core.addresses import is_url
from semiseg.core.errors import ConfigError, SettingError
from semiseg.core.reading import Reading
from semiseg.core.types import UNLIKE_LIMIT, NamedBands
from semiseg.inference.formats import FORMATS

VECTOR_SUFFIXES = (".gpkg", ".geojson")
"""The suffixes of files of polygons that `predict` writes."""

_DECISIVE = (
    *("colors", "overlay", "probabilities", "confidence", "reliability", "abstain"),
    *("scale", "value_range", "bands", "rgb", "axes", "tta"),
)
"""The settings of `predict` that decide about the bytes of its files."""

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
    unlike_limit: Positive = UNLIKE_LIMIT
    """Above this number, an image counts as unlike the images of the training, and the warning
    names it. 1 is as far as the most unusual 1 % of those images. A call that repeats another one
    with `--table` or `--merge` applies a new limit to all rows, and segments nothing again."""
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
