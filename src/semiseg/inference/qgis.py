"""A released model as an ONNX file for the QGIS plugin Deepness, and for the program GeoDeep.

Both cut a raster into square tiles and divide its values by a number: Deepness by 255 whatever the
type of the raster, GeoDeep by 255 or, for 16 bits, by 65535. The graph undoes that. It takes one
tile and gives the probability of each class for each pixel of the tile.
"""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from semiseg.core.errors import ConfigError
from semiseg.data.formats.band_image import AnyImage
from semiseg.inference.onnx_graph import exportable, require_onnx, to_onnx
from semiseg.inference.scenes import segmenter
from semiseg.model.metadata import ModelMetadata
from semiseg.model.release import Release

logger = logging.getLogger(__name__)

INPUT, OUTPUT = "image", "probabilities"
_OPSET = 18  # the first that shrinks an image as Pillow does
_IR_VERSION = 8  # of onnxruntime 1.14; Deepness installs 1.17 or an older one
_BYTE, _SHORT = 255, 65_535  # the largest values of 8 and of 16 bits
_OVERLAP = 25  # percent of a tile's side, as in `predict`
_DECIMALS = 6  # of a resolution in centimeters; GeoDeep divides by it without a remainder


class Tiling(NamedTuple):
    """How a program has to cut a raster.

    Attributes:
        side: of a tile, in pixels.
        inner: the side of the tile as the network sees it, in pixels.
        resolution: the side of a tile's pixel on the ground, in centimeters.
    """

    side: int
    inner: int
    resolution: float


def tiling_of(metadata: ModelMetadata, inner: int) -> Tiling:
    """The tiles that show the network a raster at the scale of its training.

    The programs enlarge the pixels of a raster by whole numbers only. The graph does the rest.

    Args:
        metadata: of the model.
        inner: the side of the tile as the network sees it, in pixels.

    Raises:
        ConfigError: the model does not know the ground resolution, or the size, of its training
            images.
    """
    ground, side = metadata.ground_resolution, metadata.side
    if ground is None or ground.unit != "meter":
        unit = "" if ground is None else f" in meters, but {ground}"
        raise ConfigError(
            f"QGIS needs the ground resolution of the training images. The model has none{unit}. "
            "Give it in meters per pixel, such as --ground-resolution 0.1."
        )
    if side is None:
        raise ConfigError(
            "QGIS needs the size of the training images, which this model of an earlier version "
            "of semiseg does not hold. Train it again."
        )
    factor = metadata.size / side  # the factor on the pixels of the training images
    larger = max(1, math.floor(1 / factor))
    resolution = round(100 * ground.size * larger, _DECIMALS)
    return Tiling(max(1, round(inner / (factor * larger))), inner, resolution)


class Tile(nn.Module):
    """What the graph computes.

    Args:
        release: the model.
        tiling: how rasters are cut.
    """

    low: Tensor
    step: Tensor

    def __init__(self, release: Release, tiling: Tiling) -> None:
        super().__init__()
        networks = [one for one in (release.network, release.second) if one is not None]
        self.networks = nn.ModuleList(map(exportable, networks))
        self.tiling = tiling
        reading = release.metadata.reading
        ranges = np.array(reading.ranges or reading.value_range or (0, _BYTE), np.float32)
        low, high = torch.from_numpy(ranges.reshape(-1, 2)).T[..., None, None]
        self.register_buffer("low", low)
        self.register_buffer("step", _BYTE / (high - low))
        # Only Deepness gives values above 1: those of a raster of more than 8 bits.
        if reading.ranges or reading.value_range:
            self.small, self.large = (_SHORT if high.max() > _BYTE else _BYTE), float(_BYTE)
        else:
            self.small, self.large = _BYTE, _BYTE * _BYTE / _SHORT

    def forward(self, image: Tensor) -> Tensor:
        """The probabilities of a tile.

        Args:
            image: `(1, N, side, side)` values that were divided by 255 or by 65535.

        Returns:
            `(1, C, side, side)`.
        """
        numbers = torch.nan_to_num(image)
        values = numbers * torch.where(numbers.max() > 1, self.large, float(self.small))
        pixels = ((values - self.low) * self.step).clamp(0, _BYTE).round()
        side, inner = self.tiling.side, self.tiling.inner
        if side != inner:
            pixels = F.interpolate(pixels, (inner, inner), mode="bilinear", antialias=True)
        logits = [network(pixels / _BYTE).logits for network in self.networks]
        scores = logits[0]
        if logits[1:]:  # the logarithm is what `predict` enlarges, too
            mean = torch.stack([one.softmax(dim=1) for one in logits]).mean(dim=0)
            scores = mean.clamp_min(torch.finfo(mean.dtype).tiny).log()
        return F.interpolate(scores, (side, side), mode="bilinear").softmax(dim=1)

    def input_of(self, pixels: NDArray[np.uint8]) -> Tensor:
        """An image as the programs would give it, `(1, N, side, side)`.

        Args:
            pixels: `(side, side, N)`, as semiseg reads it.
        """
        values = torch.from_numpy(pixels).permute(2, 0, 1).float() / self.step + self.low
        return values[None] / self.small


def tile_of(release: Release) -> Tile:
    """What the graph of a model computes.

    Raises:
        ConfigError: as `tiling_of`.
    """
    metadata, network = release.metadata, release.network
    window = segmenter(network, metadata.size).window
    inner = window or -(-2 * metadata.size // network.stride) * network.stride
    return Tile(release, tiling_of(metadata, inner)).eval()


def write_qgis(release: Release, path: Path) -> None:
    """Write a release as an ONNX file for Deepness and GeoDeep.

    Raises:
        ConfigError: as `tiling_of`; or a package is missing, or ONNX cannot express a part of the
            network.
    """
    require_onnx()
    import onnx

    tile, metadata = tile_of(release), release.metadata
    side = tile.tiling.side
    example = torch.zeros(1, release.network.spec.channels, side, side)
    model = to_onnx(tile, example, ({},), INPUT, [OUTPUT], release.network.spec, _OPSET)
    model.ir_version = _IR_VERSION
    # The values are JSON. Deepness names `tiles_size` in its docs, and reads `tile_size`.
    values = {
        "model_type": "Segmentor",
        "class_names": {str(i): name for i, name in enumerate(metadata.classes.names)},
        "resolution": tile.tiling.resolution,
        "tiles_size": side,
        "tile_size": side,
        "tiles_overlap": _OVERLAP,
        "seg_thresh": 0,
        "seg_small_segment": 0,
    }
    texts = {key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}
    onnx.helper.set_model_props(model, texts)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    bands = metadata.reading.bands
    logger.info(
        "a tile has %d x %d pixels of %g cm%s",
        side,
        side,
        tile.tiling.resolution,
        f"; its channels are the bands {', '.join(map(str, bands))} of a raster" if bands else "",
    )


@torch.no_grad()
def tile_scores(release: Release, path: Path, image: AnyImage) -> tuple[NDArray[np.float32], ...]:
    """The probabilities `(C, side, side)` that the model and its file give for one tile.

    Args:
        release: the model.
        path: of the file.
        image: as semiseg reads it, of any size.

    Raises:
        ConfigError: onnxruntime is not installed.
    """
    import onnxruntime

    tile = tile_of(release)
    side = tile.tiling.side
    resized = image.resize((side, side), Image.Resampling.BILINEAR)
    batch = tile.input_of(np.array(resized))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (exported,) = session.run([OUTPUT], {INPUT: batch.numpy()})
    return tile(batch)[0].numpy(), exported[0]
