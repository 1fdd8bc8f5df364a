"""An outside model that turns clicks into a mask: the encoder and decoder of SAM as ONNX files.

The names and shapes are those that the exports of Segment Anything, MobileSAM and SAM 2 share. The
encoder turns an image into one or several arrays, and the decoder turns these and some points into
a mask. Two things differ between the families. SAM scales an image so that its longest side fits
the encoder and pads the rest; SAM 2 scales both sides, and its decoder needs several arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.errors import ConfigError, DataError
from semiseg.core.reading import Reading
from semiseg.correction.model_view import Bytes, map_size
from semiseg.inference.large import read_picture

_SIDE = 1024  # pixels of the encoder's input, where its file leaves the size open
_KEPT_IMAGES = 4
_MEAN = np.array([123.675, 116.28, 103.53], np.float32)  # of ImageNet, as SAM subtracts it
_DEVIATION = np.array([58.395, 57.12, 57.375], np.float32)
_PADDING = (0.0, 0.0, -1.0)  # the point that SAM's decoder expects where there is no box
_POINTS = {"point_coords", "point_labels"}
_OPTIONAL = {"mask_input", "has_mask_input", "orig_im_size"}
_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
}
_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")

Floats = NDArray[np.float32]


class Click(NamedTuple):
    """A point of a selection.

    Attributes:
        x: its place, as a share of the width.
        y: the same, as a share of the height.
        wanted: whether it belongs to the selection.
    """

    x: float
    y: float
    wanted: bool


class _Encoded(NamedTuple):
    """An image as the encoder sees it.

    Attributes:
        arrays: the outputs of the encoder, by the names of the decoder's inputs.
        scale: width and height of the image in the encoder's input, in pixels.
        size: width and height of the map of the image.
    """

    arrays: dict[str, NDArray[Any]]
    scale: tuple[int, int]
    size: tuple[int, int]


class Assistant:
    """A model that finds what was clicked.

    Args:
        source: a folder with two ONNX files, or the paths of the two with a comma between them.
        reading: how images are read.

    Raises:
        ConfigError: onnxruntime is missing, or the files are no such model.
    """

    def __init__(self, source: str, reading: Reading) -> None:
        self._reading = reading
        self._encoder, self._decoder = _open_pair(source)
        self._input = _encoder_input(self._encoder, source)
        self._maps = _decoder_maps(self._encoder, self._decoder, source)
        wants_size = "orig_im_size" in [one.name for one in self._decoder.get_inputs()]
        self._keeps_shape = wants_size and len(self._maps) == 1
        self._lock = Lock()  # one image at a time, so that nothing is computed twice
        self._encoded = lru_cache(_KEPT_IMAGES)(self._encode)

    def select(self, image: Path, clicks: Sequence[Click]) -> Bytes:
        """What the clicks select.

        Args:
            image: the file.
            clicks: at least one.

        Returns:
            `(h, w)` how sure the model is, as 0 to 255; 128 and more is selected. The longest side
            is at most `model_view.MAX_SIDE`.

        Raises:
            DataError: the image cannot be read, or the model fails on it.
        """
        with self._lock:
            encoded = self._encoded(image)
        width, height = encoded.scale
        points = [(c.x * width, c.y * height, float(c.wanted)) for c in clicks]
        if self._keeps_shape:
            points.append(_PADDING)
        table = np.array(points, np.float32)
        feed: dict[str, NDArray[Any]] = {
            **encoded.arrays,
            "point_coords": table[None, :, :2],
            "point_labels": table[None, :, 2],
            "has_mask_input": np.zeros(1, np.float32),
            "orig_im_size": np.array(encoded.size[::-1], np.float32),
        }
        for one in self._decoder.get_inputs():
            if one.name == "mask_input":
                sides = [side if isinstance(side, int) else _SIDE // 4 for side in one.shape[2:]]
                feed["mask_input"] = np.zeros((1, 1, *sides), np.float32)
        outputs = _run(self._decoder, feed, image)
        logits = self._logits(outputs, encoded)
        probability = 1 / (1 + np.exp(-logits.clip(-30, 30)))
        selected: Bytes = (probability * 255).astype(np.uint8)
        return selected

    def _logits(self, outputs: dict[str, NDArray[Any]], encoded: _Encoded) -> Floats:
        """The best mask of the decoder, at the size of the map."""
        names = [*outputs]
        low = "low_res_masks" in outputs
        # SAM's own decoder crops its full masks for the shape of the image that it was exported
        # with. The small ones still have their padding.
        masks = outputs["low_res_masks" if low else "masks" if "masks" in outputs else names[0]]
        if masks.ndim != 4:
            raise DataError(
                f"The assistant's mask has {masks.ndim} dimensions instead of 4.",
                "Export the decoder again, as the docs say.",
            )
        scores = outputs.get("iou_predictions")
        best = 0
        if scores is not None and scores.size == masks.shape[1]:
            best = int(scores.reshape(-1).argmax())
        picture = Image.fromarray(masks[0, best].astype(np.float32))
        box = None
        if low and self._keeps_shape:
            side = max(encoded.scale)
            box = (
                0.0,
                0.0,
                picture.width * encoded.scale[0] / side,
                picture.height * encoded.scale[1] / side,
            )
        return np.asarray(picture.resize(encoded.size, Image.Resampling.BILINEAR, box))

    def _encode(self, image: Path) -> _Encoded:
        picture = read_picture(image, self._reading).convert("RGB")
        shape = self._input.shape
        side = shape[-2] if len(shape) == 4 and isinstance(shape[-2], int) else _SIDE
        scale = (side, side)
        if self._keeps_shape:
            factor = side / max(picture.size)
            scale = (
                max(1, round(picture.width * factor)),
                max(1, round(picture.height * factor)),
            )
        pixels = np.asarray(picture.resize(scale, Image.Resampling.BILINEAR), np.float32)
        if len(shape) == 4:  # without one, the file itself centers and pads the pixels
            canvas = np.zeros((side, side, 3), np.float32)
            canvas[: scale[1], : scale[0]] = (pixels - _MEAN) / _DEVIATION
            pixels = canvas.transpose(2, 0, 1)[None]
        outputs = _run(self._encoder, {self._input.name: pixels}, image)
        arrays = {name: outputs[source] for name, source in self._maps.items()}
        return _Encoded(arrays, scale, map_size(picture.size))


def _open_pair(source: str) -> tuple[Any, Any]:
    """The sessions of the encoder and the decoder."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError(
            "--assistant needs onnxruntime, which is not installed: pip install 'semiseg[onnx]'."
        ) from error
    folder = Path(source)
    names = sorted(folder.glob("*.onnx")) if folder.is_dir() else source.split(",")
    files = [Path(name) for name in names]
    if len(files) != 2:
        listed = ", ".join(file.name for file in files) or "none"
        raise ConfigError(
            "--assistant takes the two ONNX files of an encoder and a decoder: a folder that holds "
            f"them and no others, or ENCODER.onnx,DECODER.onnx. Here are {len(files)}: {listed}."
        )
    providers = [p for p in _PROVIDERS if p in onnxruntime.get_available_providers()]
    sessions = []
    for file in files:
        if not file.is_file():
            raise ConfigError(f"There is no file {file}, which --assistant names.")
        try:
            sessions.append(onnxruntime.InferenceSession(file, providers=providers))
        except Exception as error:  # onnxruntime raises many kinds
            raise ConfigError(f"{file} of --assistant cannot be read ({error}).") from error
    decoders = [s for s in sessions if {one.name for one in s.get_inputs()} >= _POINTS]
    if len(decoders) != 1:
        raise ConfigError(
            "One of the two files of --assistant must be a decoder, which takes the inputs "
            f"point_coords and point_labels, and the other an encoder. {_inputs(files, sessions)}"
        )
    (encoder,) = [session for session in sessions if session is not decoders[0]]
    return encoder, decoders[0]


def _encoder_input(encoder: Any, source: str) -> Any:  # noqa: ANN401 - onnxruntime has no types
    """The one input of an encoder: `(1, 3, side, side)`, or `(height, width, 3)` as it is."""
    inputs = encoder.get_inputs()
    shape = inputs[0].shape
    is_picture = len(shape) == 3 and shape[2] == 3
    is_open = not all(isinstance(side, int) for side in shape[-2:])
    is_batch = len(shape) == 4 and shape[1] == 3 and (is_open or shape[2] == shape[3])
    if len(inputs) == 1 and (is_picture or is_batch):
        return inputs[0]
    raise ConfigError(
        "The encoder of --assistant must take one image, of the shape 1 x 3 x side x side or "
        f"height x width x 3. {source} takes {_shapes(encoder)}."
    )


def _decoder_maps(encoder: Any, decoder: Any, source: str) -> dict[str, str]:  # noqa: ANN401
    """The encoder's output for each input of the decoder that is none of the points."""
    outputs = [one.name for one in encoder.get_outputs()]
    inputs = [one.name for one in decoder.get_inputs() if one.name not in _POINTS | _OPTIONAL]
    if len(inputs) == 1 and len(outputs) == 1:
        return {inputs[0]: outputs[0]}  # exports call them as they like
    if inputs and set(inputs) <= set(outputs):
        return {name: name for name in inputs}
    raise ConfigError(
        f"The decoder of --assistant {source} takes {_shapes(decoder)}; the encoder gives "
        f"{', '.join(outputs)}. Beside point_coords, point_labels, mask_input, has_mask_input and "
        "orig_im_size, the decoder may only take what the encoder gives."
    )


def _run(session: Any, feed: dict[str, NDArray[Any]], image: Path) -> dict[str, NDArray[Any]]:  # noqa: ANN401
    """The outputs of a model by name; each input gets the type that it declares."""
    inputs = {
        one.name: np.ascontiguousarray(feed[one.name], _TYPES.get(one.type, np.float32))
        for one in session.get_inputs()
    }
    names = [one.name for one in session.get_outputs()]
    try:
        return dict(zip(names, session.run(names, inputs), strict=True))
    except Exception as error:  # onnxruntime raises many kinds
        raise DataError(
            f"The assistant fails on {image} ({error}).",
            "Export the model again, or start semiseg without --assistant.",
        ) from error


def _inputs(files: list[Path], sessions: list[Any]) -> str:
    return " ".join(
        f"{file.name} takes {_shapes(session)}."
        for file, session in zip(files, sessions, strict=True)
    )


def _shapes(session: Any) -> str:  # noqa: ANN401
    """The inputs of a model with their shapes, for a sentence."""
    return ", ".join(
        f"{one.name} ({' x '.join(map(str, one.shape))})" for one in session.get_inputs()
    )
