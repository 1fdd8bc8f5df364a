"""How unlike the images of the training an image is, without semiseg.

python examples/onnx_unlike.py model.onnx image.jpg
"""

import json
import sys
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image, ImageOps


def blocks(values: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """The means of squares of pixels."""
    count = len(values) // side
    means: NDArray[np.float64] = values.reshape(count, side, count, side).mean(axis=(1, 3))
    return means


def unlike(picture: Image.Image, references: dict[str, Any]) -> float:
    """1 is as far as the most unusual 1 % of the training; above 1.5 is clearly beyond it."""
    small = picture.resize((128, 128), Image.Resampling.BOX, reducing_gap=4.0)
    red, green, blue = np.moveaxis(np.asarray(small, np.float64) / 255, 2, 0)
    gray = (red + green + blue) / 3
    axes = [blocks(values, 2) for values in (gray, red - green, (red + green) / 2 - blue)]
    grids = [blocks(gray, side) for side in (1, 2, 4, 8)]
    contrasts = [np.mean([np.abs(np.diff(grid, axis=i)).mean() for i in (0, 1)]) for grid in grids]
    sizes = np.array([*(values.std() for values in axes), *contrasts])
    features = [*(values.mean() for values in axes), *np.log(sizes + 2 / 255)]
    rows = np.array([row.split() for row in references["images"]]).astype(float)
    distance = np.sqrt(
        np.square(rows - np.array(features) / references["scale"]).mean(axis=1)
    ).min()
    return round(float(distance) / float(references["limit"]), 2)


def main(model: str, image: str) -> float:
    """Print the number of an image of 8 bits."""
    session = onnxruntime.InferenceSession(model)
    about = json.loads(session.get_modelmeta().custom_metadata_map["semiseg"])
    picture = ImageOps.exif_transpose(Image.open(image)).convert("RGB")
    number = unlike(picture, about["references"])
    print(number)
    return number


if __name__ == "__main__":
    main(*sys.argv[1:3])
