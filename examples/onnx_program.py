"""An exported model in a program with onnxruntime, numpy and Pillow, and without semiseg.

python examples/onnx_program.py model.onnx image.jpg mask.png
"""

import json
import sys

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image, ImageOps

Windows = list[tuple[slice, slice, NDArray[np.float32]]]


def windows(length: int, side: int, stride: int) -> Windows:
    """The pixels of each window along an axis, its cells of four pixels, and their weights."""
    step = max(stride, side * 3 // 4 // stride * stride)
    last = max(0, -(-(length - side) // stride) * stride)
    parts, total = [], np.zeros(-(-length // 4), np.float32)
    for start in (*range(0, last, step), last):
        stop = min(start + side, length)
        cells = slice(start // 4, -(-stop // 4))
        ramp = (np.arange(cells.stop - cells.start) + 0.5) / max(1, (side - step) // 4)
        ramps = np.minimum(ramp + (start == 0), ramp[::-1] + (stop == length))
        parts.append((slice(start, stop), cells, np.minimum(ramps, 1).astype(np.float32)))
        total[cells] += parts[-1][2]
    return [(pixels, cells, weights / total[cells]) for pixels, cells, weights in parts]


def enlargement(pixels: int, source: int, cells: int) -> NDArray[np.float32]:
    """The matrix `(pixels, cells)` that enlarges cells of four pixels of `source` bilinearly."""
    places = ((np.arange(pixels) + 0.5) * (source / pixels) / 4 - 0.5).clip(0, cells - 1)
    shares: NDArray[np.float64] = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(cells)))
    return shares.astype(np.float32)


def main(model: str, image: str, mask: str) -> None:
    """Write a mask of the size of the image, with the numbers of the classes from 0 on."""
    session = onnxruntime.InferenceSession(model)
    about = json.loads(session.get_modelmeta().custom_metadata_map["semiseg"])
    picture = ImageOps.exif_transpose(Image.open(image)).convert("RGB")
    factor = about["size"] / min(picture.size)
    width, height = (max(1, round(factor * side)) for side in picture.size)
    scaled = picture.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(scaled).transpose(2, 0, 1)[None]  # (1, 3, height, width), uint8
    stride, crop = about["stride"], about["network"].get("crop")
    side = -(-2 * crop // stride) * stride if crop else max(width, height)
    logits = np.zeros((len(about["classes"]["names"]), -(-height // 4), -(-width // 4)), np.float32)
    for rows, cell_rows, up in windows(height, side, stride):
        for columns, cell_columns, across in windows(width, side, stride):
            part = session.run(["logits"], {"image": pixels[:, :, rows, columns]})[0][0]
            logits[:, cell_rows, cell_columns] += part * (up[:, None] * across)
    left = enlargement(picture.height, height, logits.shape[1])
    right = enlargement(picture.width, width, logits.shape[2]).T
    labels = np.stack([(row @ logits @ right).argmax(axis=0) for row in left])  # row by row
    Image.fromarray(labels.astype(np.uint8)).save(mask)


if __name__ == "__main__":
    main(*sys.argv[1:4])
