"""The settings of the commands that score, compare, show and export runs, and of `demo`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from semiseg.commands.settings.models import Device, FileFormat
from semiseg.config.data import ArrangedData
from semiseg.config.scale import Scale
from semiseg.config.settings import AUTO, Count, Positive, PositiveInt, Settings
from semiseg.core.errors import ConfigError
from semiseg.inference.formats import FORMATS

Split: TypeAlias = Literal["train", "val", "test"]


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
class DoctorSettings(Settings):
    """Show versions, devices, image formats, caches and optional parts, and what is missing."""


@dataclass(frozen=True)
class DemoSettings(Settings):
    """Draw scenes, train `supervised` and the default method on them, and compare both models."""

    _: KW_ONLY
    out: Path = Path("demo")
    """The folder to write: `data/`, `runs/` and `demo.png`."""
    steps: PositiveInt = 200
    """Optimizer steps of each training."""
    seed: Count = 0
    """The seed of the scenes and of the trainings."""
